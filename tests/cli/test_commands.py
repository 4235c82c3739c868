"""Proves that every command answers `--help` quickly and alone, and that all of them fit into one process."""

import importlib
import pathlib
import re
import subprocess
import sys

import pytest

from kits_tf.cli import app

PROJECT = (pathlib.Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^kits-(\w+) = ", PROJECT, re.MULTILINE)
HEAVY = {"tensorflow", "keras", "skimage", "scipy", "matplotlib", "nibabel"}


def load(command):
    """The module of a command."""
    return importlib.import_module(f"kits_tf.cli.{command}")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_the_commands_own(command, capsys):
    module = load(command)
    assert app.execute(module.main, module.FLAGS, [f"kits-{command}", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: kits-{command} ")
    assert module.__doc__.splitlines()[0] in out
    for name in module.FLAGS:
        assert re.search(rf"^  --(\[no\])?{name}\b", out, re.MULTILINE), name
    assert "(no help available)" not in out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_slow(command):
    code = (
        f"import sys; from kits_tf.cli import app, {command} as command\n"
        f"app.execute(command.main, command.FLAGS, ['kits-{command}', '--help'])\n"
        f"print('loaded:', *sorted({HEAVY!r} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.splitlines()[-1] == "loaded:"


def test_prediction_starts_without_libraries_that_it_does_not_need(tmp_path):
    """To the first error, an empty file, all of what a run imports but the engine has been imported."""
    (tmp_path / "ct.nii.gz").touch()
    code = (
        "import sys; from kits_tf.cli import app, predict\n"
        f"flags = ['--input={tmp_path}/ct.nii.gz', '--output_dir={tmp_path}/out', '--stage=kidney']\n"
        "code = app.execute(predict.main, predict.FLAGS, ['kits-predict', *flags, '--engine=openvino'])\n"
        "slow = {'pandas', 'pydicom', 'requests', 'scipy.stats', 'matplotlib', 'tensorflow', 'keras'}\n"
        "print('loaded:', code, 'nibabel' in sys.modules, *sorted(slow & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.splitlines()[-1] == "loaded: 1 True"


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_flag_is_one_line(command, capsys):
    module = load(command)
    assert app.execute(module.main, module.FLAGS, [f"kits-{command}", "--no_such_flag"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_without_flags_a_command_says_what_it_needs(command, capsys):
    module = load(command)
    assert app.execute(module.main, module.FLAGS, [f"kits-{command}"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith(f"kits-{command}: --")


def test_a_command_runs_as_a_module():
    result = subprocess.run(
        [sys.executable, "-m", "kits_tf.cli.predict", "--input=nothing.nii.gz"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr.startswith("kits-predict: --output_dir")
