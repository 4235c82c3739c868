"""absl's flag errors, told in one line that names the flag and what it takes."""

import difflib
import re

from absl import flags

IS_REQUIRED = "must have a value other than None"  # how absl words a required flag


def translate(error, flag_values):
    """One line for one of absl's errors.

    Args:
        error: the `flags.Error` raised while parsing.
        flag_values: the `flags.FlagValues` that was parsed into.
    """
    if isinstance(error, flags.UnrecognizedFlagError):
        return unknown_flag(error.flagname, flag_values)
    if isinstance(error, flags.CantOpenFlagFileError):
        return f"--flagfile: takes a readable file ({error.__context__})"
    line = str(error).splitlines()[0]
    match = re.match(r"(?:flag|Missing value for flag) --(\w+)(?:=(.*?): (.*))?$", line)
    if match is None or match[1] not in flag_values:
        return line
    name, text, reason = match.groups()
    flag = flag_values[name]
    if text is None:
        return f"--{name}: takes {what_it_takes(flag)}"
    if IS_REQUIRED in reason:
        return f"--{name}: is required; takes {what_it_takes(flag)}"
    if is_readable(flag, text):
        return f"--{name}: {reason}"
    return f"--{name}: takes {what_it_takes(flag)}, not {text!r}"


def unknown_flag(name, flag_values):
    """The line for a flag that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(name, list(flag_values), n=1)
    return f"--{name}: no such flag; " + (f"did you mean --{near[0]}?" if near else "--help lists what there is")


def empty_flag(flag_values):
    """The line for a required flag that is given without a value, as by a variable that is not set; or None."""
    for name in flag_values:
        if flag_values[name].value == "" and is_required(flag_values[name]):
            return f"--{name}: is empty; takes {what_it_takes(flag_values[name])}"
    return None


def what_it_takes(flag):
    """A phrase for the values that a flag accepts, such as "an integer" or "kidney or tumor", else its help."""
    choices = getattr(flag.parser, "enum_values", None)
    if choices:
        return " or ".join(choices)
    if flag.boolean:
        return "true or false"
    if flag.parser.syntactic_help:
        return flag.parser.syntactic_help
    return f"a value ({flag.help.rstrip('.')})"


def is_readable(flag, text):
    """Whether the flag's parser accepts the text, so that a validator must have refused it."""
    try:
        flag.parser.parse(text)
        return True
    except (TypeError, ValueError, OverflowError):
        return False


def is_required(flag):
    """Whether the command cannot run without the flag."""
    return any(IS_REQUIRED in str(getattr(validator, "message", "")) for validator in flag.validators)
