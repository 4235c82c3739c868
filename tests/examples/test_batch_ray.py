"""Proves that examples/batch_ray.py writes and says what kits-predict does, with two workers of a local cluster."""

import json
import shutil

import numpy as np
import pytest

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

from examples import batch_ray  # noqa: E402
from kits_tf.cli import app, predict  # noqa: E402
from tests.cli.predicting import image_of, labels_of, names_in, read_csv, save  # noqa: E402
from tests.tiny import small_ct  # noqa: E402


@pytest.fixture(scope="module")
def cluster():
    """A local cluster for two workers."""
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=2**27, log_to_driver=False)
    yield
    ray.shutdown()


def test_labels_sidecars_table_and_messages_are_those_of_kits_predict(cluster, decisive_weights, tmp_path, capsys):
    data, folders = tmp_path / "data", {"predict": tmp_path / "predict", "ray": tmp_path / "ray"}
    weights = shutil.copytree(decisive_weights, tmp_path / "weights")
    (weights / "notice.txt").write_text("They never saw a tumor.")
    for number in range(4):
        save(image_of(small_ct(seed=number), "RAS"), data / f"{number}.nii.gz")
    (data / "bad.nii.gz").write_text("no CT")
    (data / "notes.doc").write_text("about the CTs")
    said, content = {}, {}
    for name, module in (("predict", predict), ("ray", batch_ray)):
        flags = [f"--input={data}", f"--output_dir={folders[name]}", f"--checkpoint_dir={weights}"]
        flags += ["--engine=tensorflow", "--format=stl", "--workers=2"]
        assert app.execute(module.main, module.FLAGS, [f"kits-{name}", *flags]) == 1
        said[name] = capsys.readouterr()
        assert app.execute(module.main, module.FLAGS, [f"kits-{name}", *flags]) == 1
        assert "4 of 5 CTs are already written" in capsys.readouterr().out
        content[name] = {one: sidecar(folders[name] / f"{one}_segmentation.json") for one in range(4)}
    assert names_in(folders["ray"]) == names_in(folders["predict"]) and len(names_in(folders["ray"])) == 4 * 4
    assert content["ray"] == content["predict"]
    for number in range(4):
        ours, theirs = (labels_of(folder / f"{number}_segmentation.nii.gz") for folder in folders.values())
        assert set(np.unique(ours)) == {0, 1, 2}
        np.testing.assert_array_equal(ours, theirs)
    tables = [read_csv(folder / "summary.csv").values() for folder in folders.values()]
    ours, theirs = ([row | {"seconds": "", "date": ""} for row in table] for table in tables)
    assert ours == theirs
    lines = {name: [line.partition("] ")[2] for line in text.err.splitlines()] for name, text in said.items()}
    assert lines["ray"] == lines["predict"] and len(lines["ray"]) == 2 and "bad.nii.gz: not a NIfTI" in lines["ray"][1]
    assert said["ray"].err.startswith("notice: They never saw a tumor.\n")
    assert said["ray"].out.startswith("skipped (not a CT): notes.doc\n")


def sidecar(path):
    """What a sidecar tells, without time and memory."""
    told = json.loads(path.read_text())
    return {name: told[name] for name in set(told) - {"seconds", "peak_memory_mb", "date"}}
