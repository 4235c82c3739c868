"""What tests of kits-predict share: tiny networks with random weights, loaded once."""

import pytest

from kits_tf.inference import segmenter
from tests.tiny import write_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The folder of tiny networks with random weights."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def load_once():
    """Networks are loaded once for all tests of a module that ask for the same ones."""
    load, loaded = segmenter.load_segmenter, {}

    def cached(*arguments):
        key = repr(arguments)
        if key not in loaded:
            loaded[key] = load(*arguments)
        return loaded[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segmenter, "load_segmenter", cached)
        yield
