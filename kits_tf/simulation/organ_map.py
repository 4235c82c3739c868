"""Organ label maps: a user's own or the bundled ones, read and checked."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from kits_tf.errors import InputError
from kits_tf.io import volume
from kits_tf.simulation.refinement import UNLABELLED, OrganMap, refine
from kits_tf.simulation.structures import INDEX, KIDNEYS, are, indices, structure_of

PathLike = str | os.PathLike
Structures = tuple[np.ndarray, tuple[float, ...]]
"""Numbers of `structures.STRUCTURES` and UNLABELLED, uint8 [slices, rows, columns], axes (I, P, L); spacing in mm."""

BUNDLED = pathlib.Path(__file__).parent / "maps"
"""Folder of the bundled maps, their legend and licences."""
COMPLETE = BUNDLED / "trunk.nii.gz"  # split by its CT


@dataclasses.dataclass(frozen=True)
class Anatomy:
    """The files that describe one body.

    The CT separates fat, muscle, bone and gas where there is no label; without one, the labels' shape does.
    """

    labels: PathLike  # NIfTI, in any orientation
    legend: PathLike  # JSON such as {"2": "kidney_right"} or {"2": {"name": "kidney_right"}}
    ct: PathLike | None = None  # on the same grid
    complete: bool = False  # whether the labels leave nothing to be split

    def check(self) -> Structures:
        """Read the labels as structures.

        Raises:
            InputError: An unreadable file; labels beyond the legend, or no kidney; a CT on another grid.
        """
        structures, spacing_mm = _read_structures(self.labels, read_legend(self.legend))
        if self.ct is not None:
            grid = volume.read_grid(self.ct)  # its origin is not compared, since origins are often lost
            if tuple(grid.shape) != structures.shape or not np.allclose(grid.spacing_mm, spacing_mm, rtol=0.01):
                raise InputError(self.ct, f"is on another grid than its organ map, of {structures.shape}")
        return structures, spacing_mm


def draw_anatomy(rng: np.random.Generator, anatomies: Sequence[Anatomy]) -> int:
    """Return the index of a random map; those with a CT or complete labels are twice as likely as the others."""
    shares = np.array([1.0 + (anatomy.ct is not None or anatomy.complete) for anatomy in anatomies])
    return int(rng.choice(len(anatomies), p=shares / shares.sum()))


def bundled_anatomies() -> tuple[Anatomy, ...]:
    """Return the bundled organ maps."""
    legend = BUNDLED / "legend.json"
    return tuple(Anatomy(path, legend, complete=path == COMPLETE) for path in sorted(BUNDLED.glob("*.nii.gz")))


@functools.lru_cache(maxsize=3)
def load(anatomy: Anatomy) -> OrganMap:
    """Return the refined organ map of an anatomy; the last three are cached, since refining takes seconds."""
    structures, spacing_mm = anatomy.check()
    return refine(structures, spacing_mm, None if anatomy.ct is None else volume.read_volume(anatomy.ct).hu)


def read_legend(path: PathLike) -> dict[int, str]:
    """Return the name of each label of a legend; raise InputError for one that is unusable or names no kidney."""
    try:
        entries = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        names = {int(label): entry if isinstance(entry, str) else entry["name"] for label, entry in entries.items()}
        if not any(structure_of(name).startswith("kidney") for name in names.values()):
            raise InputError(path, "names no kidney")
    except OSError as error:
        raise InputError(path, error.strerror or error) from None
    except (ValueError, AttributeError, KeyError, TypeError):
        raise InputError(path, 'is not a legend; must be JSON such as {"2": "kidney_right"}') from None
    return names


def _read_structures(path: PathLike, legend: dict[int, str]) -> Structures:
    """Return the result of `Anatomy.check` without checking the CT."""
    read = volume.read_volume(path)
    labels = read.hu
    values = np.unique(labels)
    if (values != np.rint(values)).any():
        raise InputError(path, f"labels must be whole numbers, got {values[values != np.rint(values)][0]:g}")
    found = [int(value) for value in values if value]
    if unknown := sorted(set(found) - set(legend)):
        raise InputError(path, f"holds the label {unknown[0]}, which the legend does not name")
    structures = np.full(labels.shape, UNLABELLED, np.uint8)
    sides = np.where(np.arange(labels.shape[2]) < labels.shape[2] / 2, *indices(KIDNEYS))
    for label in found:
        structure = structure_of(legend[label])
        np.copyto(structures, sides if structure == "kidney" else INDEX[structure], "unsafe", where=labels == label)
    if not are(structures, KIDNEYS).any():
        raise InputError(path, "holds no kidney")
    return structures, tuple(read.spacing_mm)
