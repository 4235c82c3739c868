"""What tests of kits-predict share: tiny networks with random weights, loaded once."""

import pytest

from kits_tf.inference import engines, segmenter
from tests.cli.predicting import image_of, save
from tests.identity import IdentityEngine, identity_checkpoint
from tests.tiny import small_ct, write_checkpoint


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


@pytest.fixture
def identity(tmp_path_factory, monkeypatch):
    """A checkpoint folder for kits-predict whose networks return their input, without any library."""
    monkeypatch.setattr(engines, "load", lambda *arguments: IdentityEngine())
    return identity_checkpoint(tmp_path_factory.mktemp("identity") / "networks")


@pytest.fixture
def flags(tmp_path, identity):
    """Flags of kits-predict to segment `ct.nii.gz` into `out` by identity networks."""
    save(image_of(small_ct()), tmp_path / "ct.nii.gz")
    return [f"--input={tmp_path / 'ct.nii.gz'}", f"--output_dir={tmp_path / 'out'}", f"--checkpoint_dir={identity}"]
