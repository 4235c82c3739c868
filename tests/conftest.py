"""What all tests share: quiet libraries, the folder of real data that a few of them need, an exported system."""

import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read once, when TensorFlow is first imported

import pytest  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"

# Networks converted in tests are kept for the other tests, not for the user.
CONVERTED = tempfile.TemporaryDirectory(prefix="kits-tf-converted-")
os.environ["KITS_TF_CACHE"] = CONVERTED.name

# Programs that a test starts see this checkout, as the tests themselves do.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def pytest_collection_modifyitems(items):
    """Skips the tests marked `shared` where their data is not there."""
    if SHARED_DATA.is_dir():
        return
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason=f"{SHARED_DATA} is not there"))


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real label volumes and the real CT; only for tests marked `shared`."""
    return SHARED_DATA


@pytest.fixture(params=["numpy", "tensorflow"])
def xp(request):
    """The array modules that geometry runs on."""
    from kits_tf import arrays

    return arrays.NumPy if request.param == "numpy" else arrays.tensorflow()


@pytest.fixture(scope="session")
def decisive_weights(tmp_path_factory):
    """A checkpoint of tiny networks that find something in `tests.tiny.small_ct`."""
    from tests.export.decisive import decisive_checkpoint

    return decisive_checkpoint(tmp_path_factory.mktemp("decisive"))


@pytest.fixture(scope="session")
def exported_models(decisive_weights, tmp_path_factory):
    """The folder that `kits-export` makes of `decisive_weights`."""
    from kits_tf.export.formats import export

    folder = tmp_path_factory.mktemp("models")
    export(decisive_weights, folder, report=lambda line: None)
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A prepared folder of four cases, two of them for validation; tests must not change it."""
    from tests import planted

    return planted.prepared_folder(tmp_path_factory.mktemp("prepared"), count=4, num_validation=2)
