"""Proves kits-recipe: its messages, what it prints, and how it runs its commands."""

import re
import signal

import pytest

from kits_tf.cli import app, recipe
from kits_tf.training import recipe as training_recipe

TINY = ["--preset=small", "--kidney_set=num_steps=2", "--fold_set=num_steps=1", "--tumor_set=num_steps=2"]


def run(data, folder, *arguments):
    line = ["kits-recipe", f"--data_dir={data}", f"--checkpoint_dir={folder}", *arguments]
    return app.execute(recipe.main, recipe.FLAGS, line)


@pytest.mark.parametrize(
    "arguments, flag",
    [
        ("--parts=oblique", "--parts"), ("--parts=", "--parts"), ("--set=nonsense=1", "--set"),
        ("--set=grid=16", "--set"), ("--tumor_set=pooling=max", "--tumor_set"), ("--fold=0", "--fold"),
        ("--kidney_set=nonsense", "--kidney_set"), ("--kidney_set=patch_slices=100", "--kidney_set: patch_slices"),
        ("--set=batch_size=8 --fold_set=patch_columns=100", "--fold_set: patch_columns"),
        ("--set=batch_size=6 --tumor_set=accumulation=4", "--tumor_set: accumulation"),
        ("--set=reconstruction=nothing --kidney_set=reconstruction_weight=0.2", "--set: reconstruction"),
        ("--set=accumulation=3 --tumor_set=batch_size=6 --kidney_set=augment=0", "--set: accumulation"),
        ("--kidney_set=depth=9", "--kidney_set: patch_"),
        ("--tumor_set=grid=97", "--tumor_set: grid"), ("--kidney_masks=labels --parts=kidneys", "--parts: kidneys"),
        ("--num_folds=3", "--num_folds"), ("--kidney_masks=/nowhere", "--kidney_masks"),
        ("--data_dir=/nowhere", "--data_dir"),
    ],
)  # fmt: skip
def test_bad_flags_are_one_line_and_train_nothing(prepared, tmp_path, capsys, arguments, flag):
    assert run(prepared, tmp_path / "out", *arguments.split()) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert flag in error and not (tmp_path / "out" / "kidney_axial").exists()


def test_options_of_all_networks_are_listed_without_data(capsys):
    flags = ["--preset=small", "--set=learning_rate=0.5", "--tumor_set=grid=32", "--list_options"]
    assert app.execute(recipe.main, recipe.FLAGS, ["kits-recipe", *flags]) == 0
    text = capsys.readouterr().out
    names = [line[:-1] for line in text.splitlines() if line[0] != " "]
    assert names == ["kidney_axial", "kidney_coronal", "kidney_sagittal", "tumor"]
    assert text.count("  learning_rate=0.5\n") == 4 and text.count("  grid=32\n") == 1


def test_the_commands_can_be_printed_for_other_machines(prepared, tmp_path, capsys):
    flags = ["--num_folds=2", "--print_only", "--parts=coronal", f"--pretrained={tmp_path}"]
    assert run(prepared, tmp_path / "out", *flags, *TINY) == 0
    for line, steps in zip(capsys.readouterr().out.splitlines(), (2, 1, 1), strict=True):
        assert line.startswith("kits-train --stage=kidney --plane=coronal ") and f" --pretrained={tmp_path} " in line
        assert f"--set=num_steps={steps}" in line.split()[-1]


def test_what_printed_commands_read_is_there_and_nothing_else(prepared, tmp_path, capsys):
    assert run(prepared, tmp_path / "out", "--print_only", "--kidney_masks=labels", *TINY) == 0
    assert not (tmp_path / "out").exists()
    capsys.readouterr()
    assert run(prepared, tmp_path / "out", "--print_only", "--num_folds=2", *TINY) == 0
    read = set(re.findall(r"--(?:data_dir|input)=(\S+)", capsys.readouterr().out)) - {str(prepared)}
    assert read == {str(path.parent) for path in (tmp_path / "out").rglob("dataset.json")} and len(read) == 5
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"folds"}


def test_commands_run_in_order_and_a_failure_ends_the_recipe(prepared, tmp_path, capsys, monkeypatch):
    ran = []
    monkeypatch.setattr(recipe, "run_command", lambda words: signal.raise_signal(signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    assert run(prepared, tmp_path / "out", "--num_folds=2", *TINY) == 130
    signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err.startswith("kits-recipe: interrupted in kidney_axial;")
    monkeypatch.setattr(recipe, "run_command", lambda words: ran.append(words) or 143 * ("--stage=tumor" in words))
    assert run(prepared, tmp_path / "out", "--num_folds=2", *TINY) == 143
    captured = capsys.readouterr()
    assert len(ran) == 3 + 6 + 2 + 1 + 1
    assert captured.out.splitlines()[-1] == "[13/13] tumor"
    assert captured.err.startswith("kits-recipe: tumor ended with exit code 143;")


def test_a_command_is_a_process_of_its_own():
    assert recipe.run_command(("kits-evaluate", "--no_such_flag")) == 2


def test_outdated_kidneys_are_overwritten(prepared, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(training_recipe, "is_outdated", lambda step: step.name == "folds/1/kidneys")
    monkeypatch.setattr(recipe, "run_command", lambda words: done.append((words[0], words[-1] == "--overwrite")))
    assert run(prepared, tmp_path / "out", "--num_folds=2", "--parts=coronal,kidneys", *TINY) == 0
    assert done == [("kits-train", False)] * 3 + [("kits-predict", outdated) for outdated in (False, True, False)]
