"""Proves kits-train's messages: every bad combination of flags is one line that names the flag, exit code 2."""

import re
import shutil
import signal

import pytest

from kits_tf import config
from kits_tf.cli import app, train
from kits_tf.training import callbacks

KIDNEY = ["--stage=kidney", "--plane=axial"]
TINY = ["--preset=small", "--base_filters=2", "--batch_size=1", "--num_steps=2", "--set=depth=1", "--set=inplane_mm=0"]
PATCH = ["--set=patch_rows=16", "--set=patch_columns=16", "--set=augment=false"]


def run(data, folder, *arguments):
    line = ["kits-train", f"--data_dir={data}", f"--checkpoint_dir={folder}", *arguments]
    return app.execute(train.main, train.FLAGS, line)


@pytest.mark.parametrize(
    "arguments, flag",
    [
        ("", "--stage"), ("--stage=kidney", "--plane"), ("--stage=tumor --plane=axial", "--plane"),
        ("--stage=kidney --plane=oblique", "--plane"), ("KIDNEY --kidney_masks=labels", "--kidney_masks"),
        ("--stage=tumor --kidney_masks=/nowhere", "--kidney_masks"), ("KIDNEY --data_dir=/nowhere", "--data_dir"),
        ("KIDNEY --set=schedule=step --set=warmup_steps=3", "warmup_steps"), ("KIDNEY --set=nonsense=1", "--set"),
        ("KIDNEY --num_steps=0", "--num_steps"), ("KIDNEY --seed=4294967296", "--seed"),
        ("KIDNEY --learning_rate=-1", "--learning_rate"), ("KIDNEY --precision=mixed_float16", "--precision"),
        ("KIDNEY --jit=always", "--jit"), ("KIDNEY --device=gpu", "--device: must be auto, cpu or gpu:N"),
        ("KIDNEY --device=gpu:9", "--device"), ("KIDNEY --device=cpu --strategy=mirrored", "--device"),
        ("KIDNEY --jit=on --strategy=mirrored", "--jit"),
        ("--stage=tumor --kidney_masks=labels --jit=on --strategy=one --set=grid=0", "--jit"),
        ("KIDNEY --set=accumulation=3", "--set"),
        ("KIDNEY --preset=small --set=depth=5", "patch_rows must be"), ("KIDNEY --strategy=one --tpu=local", "--tpu"),
        ("--stage=tumor --set=grid=8 --set=blocks=overlap", "grid"), ("KIDNEY --strategy=multi_worker", "--strategy"),
        ("KIDNEY --strategy=tpu", "--tpu: is required by --strategy=tpu here"),
        ("KIDNEY --pretrained=nothing", "nothing: no such checkpoint folder"),
    ],
)  # fmt: skip
def test_bad_flags_are_one_line_and_write_nothing(prepared, tmp_path, capsys, monkeypatch, arguments, flag):
    for name in ("TF_CONFIG", "TPU_NAME", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS"):
        monkeypatch.delenv(name, raising=False)
    assert run(prepared, tmp_path / "out", *arguments.replace("KIDNEY", " ".join(KIDNEY)).split()) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert flag in error and not (tmp_path / "out").exists()


def test_options_are_listed(capsys):
    assert app.execute(train.main, train.FLAGS, ["kits-train", *KIDNEY, "--preset=small", "--list_options"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "num_steps=3300" in lines and "plane=axial" in lines


def test_flags_and_set_reach_the_config(prepared, monkeypatch):
    seen = []
    from kits_tf.training import run as training

    monkeypatch.setattr(training, "run", lambda config, *others: seen.append((config, others)) or True)
    assert run(prepared, "x", *KIDNEY, *TINY, "--learning_rate=0.5", "--seed=4", "--set=mirror=true") == 0
    config, (_, _, settings, machine, _) = seen[0]
    assert (config.base_filters, config.batch_size, config.num_steps, config.depth) == (2, 1, 2, 1)
    assert (config.learning_rate, config.mirror, config.plane, settings.seed) == (0.5, True, "axial", 4)
    assert settings.kidney_masks is None and machine.strategy == "auto" and machine.jit == "auto"
    tumor = ["--stage=tumor", "--batch_size=12", "--set=accumulation=4"]
    assert run(prepared, "x", *tumor, "--kidney_masks=labels") == 0
    assert seen[1][1][2].kidney_masks == "labels"
    assert (seen[1][0].batch_size, seen[1][0].accumulation) == (12, 4)


def test_the_tumor_network_learns_from_predicted_kidneys_unless_labels_are_asked_for(
    prepared, tmp_path, capsys, monkeypatch
):
    from kits_tf.training import run as training

    seen = []
    monkeypatch.setattr(training, "run", lambda config, data, folder, settings, *_: seen.append(settings) or True)
    assert run(prepared, tmp_path, "--stage=tumor") == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("kits-train: --kidney_masks: is required, as there are no predicted kidneys in ")
    assert error.endswith("kits-recipe predicts them")
    (tmp_path / "kidneys").mkdir()
    assert run(prepared, tmp_path, "--stage=tumor") == 0
    assert seen[0].kidney_masks == str(tmp_path / "kidneys")


def test_the_opening_says_what_trains_on_what(prepared, tmp_path, capsys, monkeypatch):
    from kits_tf.training import run as training

    assert run(prepared, tmp_path, "--stage=tumor", "--kidney_masks=labels", *TINY[:4], "--set=grid=16") == 0
    lines = capsys.readouterr().out.splitlines()
    [opening] = [line for line in lines if line.startswith("tumor: starts")]
    pattern = (
        r"2 steps of 1 sample from 4 kidneys of the labels; 0\.0\d+ million parameters in float32 on CPU with \d+ c"
    )
    assert re.search(pattern, opening) and not any("warning" in line for line in lines)
    monkeypatch.setattr(training, "is_wide", lambda config: True)
    assert run(prepared, tmp_path, *KIDNEY, *TINY, *PATCH) == 0
    assert any(
        line.startswith("warning: networks as wide as the paper's") for line in capsys.readouterr().out.splitlines()
    )
    monkeypatch.undo()
    wide = {name for name in config.PRESETS if training.is_wide(config.preset(name, "tumor"))}
    assert "paper" in wide and "small" not in wide


def test_a_folder_of_a_finished_run_or_another_network_is_left_alone(prepared, tmp_path, capsys):
    line = [*KIDNEY, *TINY, *PATCH, "--set=validate_every=1", "--set=keep=best"]
    assert run(prepared, tmp_path / "out", *line) == 0
    folder = tmp_path / "out" / "kidney_axial"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert (folder / "best.weights.h5").read_bytes() == (folder / "model.weights.h5").read_bytes()
    capsys.readouterr()
    other = tmp_path / "other"
    shutil.copytree(prepared, other)
    index = (other / "dataset.json").read_text()
    (other / "dataset.json").write_text(index.replace('"image_digest": "', '"image_digest": "0'))
    for change in (["--base_filters=4"], ["--seed=9"], ["--num_steps=3"], [f"--data_dir={other}"]):
        assert run(prepared, tmp_path / "out", *line, *change) == 2
        (error,) = capsys.readouterr().err.splitlines()
        assert "--checkpoint_dir" in error and change[0][2:].split("=")[0].removesuffix("_dir") in error
    assert run(prepared, tmp_path / "out", *line) == 0
    assert "training is complete" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_file_in_place_of_the_networks_folder_is_one_line(prepared, tmp_path, capsys):
    (tmp_path / "kidney_axial").write_text("a file")
    assert run(prepared, tmp_path, *KIDNEY, *TINY, *PATCH) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert "kidney_axial" in error


def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_step(prepared, tmp_path, capsys):
    assert run(prepared, tmp_path, *KIDNEY, *TINY, *PATCH, "--learning_rate=1e38", "--num_steps=6") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(r"kits-train: .*kidney_axial: [\w ]+ is not finite at step \d; .*; nothing is saved yet$", last)


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_says_where_the_run_resumes(prepared, tmp_path, capsys, monkeypatch, number, code):
    log = callbacks.HistoryLogger.on_epoch_end

    def log_and_signal(self, epoch, logs=None):
        log(self, epoch, logs)
        signal.raise_signal(number)

    monkeypatch.setattr(callbacks.HistoryLogger, "on_epoch_end", log_and_signal)
    before = signal.signal(number, signal.SIG_DFL)  # what starts the tests may ignore it
    try:
        assert run(prepared, tmp_path, *KIDNEY, *TINY, *PATCH, "--num_steps=100000") == code
    finally:
        signal.signal(number, before)
    folder = tmp_path / "kidney_axial"
    assert len((folder / "history.csv").read_text().splitlines()) == 2 and (folder / "state/step-1.index").is_file()
    captured = capsys.readouterr()
    assert f"{folder}: " in captured.out + captured.err
    assert "saved at step 1; the same command resumes" in captured.out + captured.err


def test_a_network_that_would_not_go_with_its_siblings_is_refused_before_it_trains(prepared, tmp_path, capsys):
    config.save(config.preset("best", "tumor"), tmp_path / "tumor" / "config.json")
    assert run(prepared, tmp_path, *KIDNEY, *TINY, *PATCH, "--set=min_agreement=0.2") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kits-train: --checkpoint_dir: min_agreement must be the same")
    assert not (tmp_path / "kidney_axial").exists()
