"""Proves kits-train's messages: every bad combination of flags is one line that names the flag, exit code 2."""

import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from kits_tf import config
from kits_tf.cli import app, train
from tests import planted

KIDNEY = ["--stage=kidney", "--plane=axial"]
TINY = ["--preset=small", "--base_filters=2", "--batch_size=1", "--num_steps=2", "--set=depth=1", "--set=inplane_mm=0"]
PATCH = ["--set=patch_rows=16", "--set=patch_columns=16", "--set=augment=false"]


@pytest.fixture(name="data", scope="module")
def prepared_data(tmp_path_factory):
    return planted.prepared_folder(tmp_path_factory.mktemp("data"), count=1)


def run(data, folder, *arguments):
    line = ["kits-train", f"--data_dir={data}", f"--checkpoint_dir={folder}", *arguments]
    return app.execute(train.main, train.FLAGS, line)


@pytest.mark.parametrize(
    "arguments, flag",
    [
        ([], "--stage"),
        (["--stage=kidney"], "--plane"),
        (["--stage=tumor", "--plane=axial"], "--plane"),
        (["--stage=both"], "--stage"),
        (["--stage=kidney", "--plane=oblique"], "--plane"),
        ([*KIDNEY, "--kidney_masks=labels"], "--kidney_masks"),
        (["--stage=tumor", "--kidney_masks=/nowhere"], "--kidney_masks"),
        ([*KIDNEY, "--data_dir=/nowhere"], "--data_dir"),
        ([*KIDNEY, "--set=schedule=step", "--set=warmup_steps=3"], "warmup_steps"),
        ([*KIDNEY, "--preset=huge"], "--preset"),
        ([*KIDNEY, "--set=nonsense=1"], "--set"),
        ([*KIDNEY, "--set=depth=x"], "--set"),
        ([*KIDNEY, "--set=depth"], "--set"),
        ([*KIDNEY, "--num_steps=0"], "--num_steps"),
        ([*KIDNEY, "--seed=4294967296"], "--seed"),
        ([*KIDNEY, "--batch_size=0"], "--batch_size"),
        ([*KIDNEY, "--learning_rate=-1"], "--learning_rate"),
        ([*KIDNEY, "--learning_rate=nan"], "--learning_rate"),
        ([*KIDNEY, "--precision=mixed_float16"], "--precision"),
        ([*KIDNEY, "--jit=always"], "--jit"),
        ([*KIDNEY, "--jit=on", "--strategy=mirrored"], "--jit"),
        (["--stage=tumor", "--jit=on", "--strategy=one", "--set=grid=0"], "--jit"),
        ([*KIDNEY, "--set=accumulation=3"], "--set"),
        ([*KIDNEY, "--set=average_decay=1"], "--set"),
        ([*KIDNEY, "--set=patience=3"], "--set"),
        ([*KIDNEY, "--set=patch_rows=100"], "patch_rows must be"),
        ([*KIDNEY, "--preset=small", "--set=depth=5"], "patch_rows must be"),
        (["--stage=tumor", "--set=grid=97"], "grid"),
        (["--stage=tumor", "--set=grid=8", "--set=blocks=overlap"], "grid"),
        ([*KIDNEY, "--strategy=one", "--tpu=local"], "--tpu"),
        ([*KIDNEY, "--strategy=multi_worker"], "--strategy"),
        ([*KIDNEY, "--strategy=tpu"], "--tpu: is required by --strategy=tpu here"),
        ([*KIDNEY, "--pretrained=nothing"], "nothing: no such checkpoint folder"),
    ],
)
def test_bad_flags_are_one_line_and_write_nothing(data, tmp_path, capsys, monkeypatch, arguments, flag):
    for name in ("TF_CONFIG", "TPU_NAME", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS"):
        monkeypatch.delenv(name, raising=False)
    assert run(data, tmp_path / "out", *arguments) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and flag in errors[0]
    assert not (tmp_path / "out").exists()


def test_options_are_listed(data, capsys):
    assert app.execute(train.main, train.FLAGS, ["kits-train", *KIDNEY, "--preset=small", "--list_options"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "num_steps=3300" in lines and "plane=axial" in lines


def test_an_empty_data_folder(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", tmp_path / "out", *KIDNEY) == 2
    assert "--data_dir" in capsys.readouterr().err


def test_flags_and_set_reach_the_config(data, monkeypatch):
    seen = []
    from kits_tf.training import run as training

    monkeypatch.setattr(training, "run", lambda config, *others: seen.append((config, others)) or True)
    assert run(data, "x", *KIDNEY, *TINY, "--learning_rate=0.5", "--seed=4", "--set=mirror=true") == 0
    config, (_, _, settings, machine, _) = seen[0]
    assert (config.base_filters, config.batch_size, config.num_steps, config.depth) == (2, 1, 2, 1)
    assert (config.learning_rate, config.mirror, config.plane, settings.seed) == (0.5, True, "axial", 4)
    assert settings.kidney_masks is None and machine.strategy == "auto" and machine.jit == "auto"
    assert run(data, "x", "--stage=tumor", "--batch_size=12", "--set=accumulation=4") == 0  # the preset's batch is 2
    assert seen[1][1][2].kidney_masks == "labels"
    assert (seen[1][0].batch_size, seen[1][0].accumulation) == (12, 4)


def test_a_folder_with_another_network_is_left_alone(data, tmp_path, capsys):
    assert run(data, tmp_path / "out", *KIDNEY, *TINY, *PATCH) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert (tmp_path / "out" / "kidney_axial" / "model.weights.h5") in before
    capsys.readouterr()
    other = tmp_path / "other"
    shutil.copytree(data, other)
    index = (other / "dataset.json").read_text()
    (other / "dataset.json").write_text(index.replace('"image_digest": "', '"image_digest": "0'))
    for change in (["--base_filters=4"], ["--seed=9"], ["--num_steps=3"], [f"--data_dir={other}"]):
        assert run(data, tmp_path / "out", *KIDNEY, *TINY, *PATCH, *change) == 2
        errors = capsys.readouterr().err.strip().splitlines()
        assert (
            len(errors) == 1
            and "--checkpoint_dir" in errors[0]
            and change[0][2:].split("=")[0].removesuffix("_dir") in errors[0]
        )
    assert run(data, tmp_path / "out", *KIDNEY, *TINY, *PATCH) == 0
    assert "training is complete" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}


def test_a_folder_that_cannot_be_written_is_one_line(data, tmp_path, capsys):
    (tmp_path / "kidney_axial").write_text("a file where the network's folder should be")
    assert run(data, tmp_path, *KIDNEY, *TINY, *PATCH) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and "kidney_axial" in errors[0]


def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_step(data, tmp_path, capsys):
    assert run(data, tmp_path, *KIDNEY, *TINY, *PATCH, "--learning_rate=1e38", "--num_steps=6") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(r"kits-train: .*kidney_axial: [\w ]+ is not finite at step \d; no state is saved yet; ", last)


def test_ctrl_c_saves_and_says_where_the_run_goes_on(data, tmp_path):
    flags = [f"--data_dir={data}", f"--checkpoint_dir={tmp_path}", *KIDNEY, *TINY, *PATCH, "--num_steps=100000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "kits_tf.cli.train", *flags, "--notensorboard"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what starts the tests may ignore it
    )
    folder = tmp_path / "kidney_axial"
    while process.poll() is None and not (folder / "history.csv").is_file():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 130, errors
    step = len((folder / "history.csv").read_text().splitlines()) - 1
    assert step > 0 and (folder / "state" / f"step-{step}.index").is_file()
    assert errors.splitlines()[-1].startswith(f"kits-train: interrupted; {folder} is saved at step {step}; ")


def test_a_network_that_would_not_go_with_its_siblings_is_refused_before_it_trains(data, tmp_path, capsys):
    config.save(config.preset("best", "tumor"), tmp_path / "tumor" / "config.json")
    assert run(data, tmp_path, *KIDNEY, *TINY, *PATCH, "--set=min_component_share=0.2") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kits-train: --checkpoint_dir: min_component_share must be the same")
    assert not (tmp_path / "kidney_axial").exists()
