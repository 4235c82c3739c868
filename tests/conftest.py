"""What all tests share: quiet libraries, and the folder of real data that a few of them need."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read once, when TensorFlow is first imported

import pytest  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"

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
