"""Proves the flags of kits-export: all that is asked for, or one line that names the flag and exit code 2."""

import subprocess
import sys

import pytest

from kits_tf import config
from kits_tf.cli import app, export
from kits_tf.export import formats
from tests.tiny import tiny_configs, write_checkpoint


def run(*arguments):
    return app.execute(export.main, export.FLAGS, ["kits-export", *map(str, arguments)])


@pytest.mark.parametrize(
    "arguments, named",
    [
        ([], "--output_dir"),
        (["--output_dir=models", "--checkpoint_dir=/nowhere"], "--checkpoint_dir"),
        (["--output_dir=models", "--checkpoint_dir="], "--checkpoint_dir"),
        (["--output_dir=models", "--format=caffe"], "--format"),
        (["--output_dir=models", "--model_version=0"], "--model_version"),
    ],
)
def test_unusable_flags(arguments, named, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and named in line
    assert list(tmp_path.iterdir()) == []


def test_an_existing_version(tmp_path, capsys):
    (tmp_path / "tumor" / "4").mkdir(parents=True)
    assert run(f"--output_dir={tmp_path}", "--model_version=4") == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "--model_version" in line and "tumor/4" in line
    assert [path.name for path in tmp_path.iterdir()] == ["tumor"]


def test_a_damaged_checkpoint_is_one_line_and_leaves_nothing(tmp_path):
    """In a process of its own, as every process shows TensorFlow's opening lines once."""
    weights = write_checkpoint(tmp_path / "weights")
    (weights / "kidney_axial" / "model.weights.h5").write_bytes(b"no such thing")
    flags = [f"--checkpoint_dir={weights}", f"--output_dir={tmp_path / 'models'}"]
    result = subprocess.run([sys.executable, "-m", "kits_tf.cli.export", *flags], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("kits-export: --checkpoint_dir") and result.stderr.count("\n") == 1
    assert list((tmp_path / "models").iterdir()) == []


def test_networks_that_do_not_go_together_are_one_line(tmp_path, capsys):
    for name, one in tiny_configs().items():
        changed = config.override(one, ["min_agreement=0.2"] if name == "tumor" else [])
        config.save(changed, tmp_path / name / "config.json")
        (tmp_path / name / "model.weights.h5").touch()
    assert run(f"--checkpoint_dir={tmp_path}", f"--output_dir={tmp_path / 'models'}") == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and f"--checkpoint_dir: {tmp_path / 'tumor'}" in line and "min_agreement" in line
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("kind, count", [("saved_model", 5), ("openvino", 4), ("onnx", 4)])
def test_all_is_done(tmp_path, monkeypatch, capsys, kind, count):
    def write(source, configs, folder, asked, report):
        for name in [*formats.NETWORKS, formats.SYSTEM][:count]:
            (folder / name).mkdir()
            report(f"{name}: {asked}")

    monkeypatch.setattr(formats, "_write", write)
    assert run(f"--output_dir={tmp_path}", f"--format={kind}", "--model_version=2") == 0
    assert len(list(tmp_path.glob("*/2/MODEL_CARD.md"))) == count
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == count and all(line.endswith(kind) for line in lines)
