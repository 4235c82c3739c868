"""Proves the flags of kits-export: all that is asked for, or one line with the flag's name and exit code 2."""

import dataclasses
import subprocess
import sys

import pytest

from kits_tf.cli import app, export
from kits_tf.export import folder
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
        (["--output_dir=models", "--version=0"], "--version"),
    ],
)
def test_unusable_flags(arguments, named, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and named in line
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_is_there(tmp_path, capsys):
    (tmp_path / "tumor" / "4").mkdir(parents=True)
    assert run(f"--output_dir={tmp_path}", "--version=4") == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "--version" in line and "tumor/4" in line
    assert [path.name for path in tmp_path.iterdir()] == ["tumor"]


@pytest.mark.parametrize("damage", ["config.json", "model.weights.h5"])
def test_a_damaged_checkpoint_leaves_nothing(tmp_path, capsys, damage):
    weights = write_checkpoint(tmp_path / "weights")
    (weights / "kidney_axial" / damage).write_bytes(b"no such thing")
    assert run(f"--checkpoint_dir={weights}", f"--output_dir={tmp_path / 'models'}") == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and damage in line
    assert not (tmp_path / "models").exists() or list((tmp_path / "models").iterdir()) == []


def test_networks_that_do_not_go_together_are_one_line(tmp_path, capsys):
    configs = tiny_configs()
    configs["tumor"] = dataclasses.replace(configs["tumor"], min_component_share=0.0)
    weights = write_checkpoint(tmp_path / "weights", configs)
    assert run(f"--checkpoint_dir={weights}", f"--output_dir={tmp_path / 'models'}") == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and f"--checkpoint_dir: {weights / 'tumor'}" in line and "min_component_share" in line
    assert not (tmp_path / "models").exists()


def test_nothing_is_said_but_what_is_wrong(tmp_path):
    """In a process of its own, as every process shows TensorFlow's opening lines once."""
    weights = write_checkpoint(tmp_path / "weights")
    (weights / "kidney_axial" / "model.weights.h5").write_bytes(b"no such thing")
    flags = [f"--checkpoint_dir={weights}", f"--output_dir={tmp_path / 'models'}"]
    result = subprocess.run([sys.executable, "-m", "kits_tf.cli.export", *flags], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("kits-export: --checkpoint_dir") and result.stderr.count("\n") == 1


@pytest.mark.parametrize("kind, count", [("saved_model", 5), ("openvino", 4), ("onnx", 4)])
def test_all_is_done(tmp_path, monkeypatch, capsys, kind, count):
    def write(source, configs, temporary, asked, report):
        for name in [*folder.NETWORKS, folder.SYSTEM][:count]:
            (temporary / name).mkdir()
            report(f"{name}: {asked}")

    monkeypatch.setattr(folder, "write", write)
    assert run(f"--output_dir={tmp_path}", f"--format={kind}", "--version=2") == 0
    assert len(list(tmp_path.glob("*/2/MODEL_CARD.md"))) == count
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == count and all(line.endswith(kind) for line in lines)
