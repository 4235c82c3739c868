"""Proves the flags of kits-export: what cannot be used is one line with the flag's name and exit code 2."""

import pytest

from kits_tf.cli import app, export
from tests.tiny import write_checkpoint


def run(*arguments):
    return app.execute(export.main, export.FLAGS, ["kits-export", *map(str, arguments)])


@pytest.mark.parametrize(
    "arguments, named",
    [
        ([], "--output_dir"),
        (["--output_dir=models", "--checkpoint_dir=/nowhere"], "--checkpoint_dir"),
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


def test_a_version_that_is_there(exported_models, decisive_weights, capsys):
    assert run(f"--checkpoint_dir={decisive_weights}", f"--output_dir={exported_models}") == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "--version" in line


@pytest.mark.parametrize("damage", ["config.json", "model.weights.h5"])
def test_a_damaged_checkpoint_leaves_nothing(tmp_path, capsys, damage):
    weights = write_checkpoint(tmp_path / "weights")
    (weights / "kidney_axial" / damage).write_bytes(b"no such thing")
    assert run(f"--checkpoint_dir={weights}", f"--output_dir={tmp_path / 'models'}") == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and damage in line
    assert not (tmp_path / "models").exists() or list((tmp_path / "models").iterdir()) == []


def test_all_is_done(decisive_weights, tmp_path, capsys):
    pytest.importorskip("openvino")
    models = tmp_path / "models"
    assert (
        run(f"--checkpoint_dir={decisive_weights}", f"--output_dir={models}", "--format=openvino", "--version=2") == 0
    )
    assert (models / "tumor" / "2" / "model.xml").is_file()
    assert len(capsys.readouterr().out.splitlines()) == 4
