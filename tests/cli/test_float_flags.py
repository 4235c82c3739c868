"""Proves that no flag of any command takes a number that is not finite."""

import pytest
from absl import flags

from kits_tf.cli import app, float_flags
from tests.cli.test_commands import COMMANDS, load


def floats(command):
    """The names of a command's flags that take a number with a fraction."""
    values = load(command).FLAGS
    return [name for name in values if "float" in values[name].flag_type()]


@pytest.mark.parametrize("command, name", [(command, name) for command in COMMANDS for name in floats(command)])
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400"])
def test_a_number_that_is_not_finite_is_refused_in_one_line(command, name, text, capsys):
    module = load(command)
    assert app.execute(module.main, module.FLAGS, [f"kits-{command}", f"--{name}={text}"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert line.startswith(f"kits-{command}: --{name}: takes a finite number") and line.endswith(f"not '{text}'\n")


@pytest.mark.parametrize("command, name", [("download", "timeout_s"), ("request", "timeout_seconds")])
def test_a_time_beyond_what_a_clock_holds_is_refused(command, name, capsys):
    module = load(command)
    assert app.execute(module.main, module.FLAGS, [f"kits-{command}", f"--{name}=1e300"]) == 2
    assert f"--{name}: takes a finite number in the range" in capsys.readouterr().err


@pytest.mark.parametrize(
    "bounds, takes",
    [
        ({}, "a finite number"),
        ({"lower_bound": 0.5}, "a finite number >= 0.5"),
        ({"lower_bound": 0}, "a non-negative finite number"),
        ({"lower_bound": 0.5, "upper_bound": 2}, "a finite number in the range [0.5, 2]"),
    ],
)
def test_a_bound_is_kept_and_told(bounds, takes):
    values = flags.FlagValues()
    float_flags.define("size", 1.0, "A size.", values, **bounds)
    values(["kits-toy", "--size=0.75"])
    assert values.size == 0.75 and values["size"].parser.syntactic_help == takes
    if bounds:
        with pytest.raises(flags.IllegalFlagValueError):
            values(["kits-toy", "--size=-1"])
