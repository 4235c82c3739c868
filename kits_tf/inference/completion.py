"""Writes what is lacking beside labels that are there already, from their files: no network is asked again."""

import functools

from kits_tf.errors import InputError
from kits_tf.evaluation import matching
from kits_tf.inference import companions, reading
from kits_tf.io.volume import read_labels


class Stored:
    """A `companions.Case` whose parts are read when they are first asked for.

    Args:
        source: an Input.
        path: its label file.
    """

    def __init__(self, source, path):
        self.source = source
        self._path = path

    @functools.cached_property
    def volume(self):
        return reading.read(self.source)

    @functools.cached_property
    def labels(self):
        expected = self.volume.grid
        try:
            labels, grid = read_labels(self._path)
            matching.check_same_grid(self._path, grid, expected)
        except InputError as error:
            raise InputError(self.source.shown(self._path), error.reason) from None
        return labels

    @functools.cached_property
    def summary(self):
        return matching.read_sidecar(self._path)


def complete(path, suffixes, writers, source):
    """Writes what is lacking beside a label file.

    Args:
        path: the label file.
        suffixes: of the files that are lacking.
        writers: {suffix: function of (label file, case)}; `companions.own_writers` need not be among them.
        source: the Input of the labels.

    Returns:
        The JSON's content.

    Raises:
        InputError: the CT or the labels cannot be read, or their grids differ.
    """
    case = Stored(source, path)
    writers = companions.own_writers(source) | writers
    for write in dict.fromkeys(writers[suffix] for suffix in suffixes):
        write(path, case)
    return case.summary
