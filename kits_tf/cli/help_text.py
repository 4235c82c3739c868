"""What `--help` prints: the command's description and its own flags, in the order of their definition."""

import inspect
import re
import shutil
import textwrap

from kits_tf.cli import flag_errors

FLAGFILE = "--flagfile=FILE", "Reads flags from a text file, one a line."
HELP = "--help", "Shows this text."


def render(name, description, flag_values):
    """The help text of a command.

    Args:
        name: the program's name.
        description: the command module's docstring.
        flag_values: its `flags.FlagValues`.
    """
    width = max(60, min(shutil.get_terminal_size().columns, 110))
    parts = [f"usage: {usage(name, flag_values)}", inspect.cleandoc(description or ""), "flags:"]
    entries = [(spelling(flag), explanation(flag)) for flag in unique(flag_values)] + [FLAGFILE, HELP]
    indented = [f"  {head}\n{textwrap.fill(text, width, **INDENT)}" for head, text in entries]
    return "\n\n".join(parts[:2]) + f"\n\n{parts[2]}\n" + "\n".join(indented)


INDENT = {"initial_indent": " " * 6, "subsequent_indent": " " * 6}


def unique(flag_values):
    """The flags, each once, although a short name lists a flag a second time."""
    return [flag_values[name] for name in flag_values if flag_values[name].name == name]


def usage(name, flag_values):
    """One line: the flags that must be there, then the rest in brackets."""
    needed = [spelling(flag) for flag in unique(flag_values) if flag_errors.is_required(flag)]
    return " ".join([name, *needed, "[flags]"])


def spelling(flag):
    """How the flag is written, such as `--num_cases=N` or `--stage=kidney|tumor`."""
    if flag.boolean:
        return f"--[no]{flag.name}"
    return f"--{flag.name}={placeholder(flag)}"


def placeholder(flag):
    """A word that stands for the flag's value."""
    choices = getattr(flag.parser, "enum_values", None)
    if choices:
        return "|".join(choices)
    kind = flag.flag_type()
    if "int" in kind:
        return "N"
    if "float" in kind:
        return "X"
    if flag.name.endswith("_dir"):
        return "DIR"
    return "VALUE"


def explanation(flag):
    """The flag's help, with its default where it has one."""
    text = re.sub(r"^<.*?>: ", "", flag.help)  # absl puts an enum's choices in front; the spelling has them already
    text, *repeatable = re.split(r";\s+repeat this option", text)  # absl's words behind a list's help
    text = text if text.endswith(".") else f"{text}."
    if repeatable and "repeat" not in text:
        text += " May be repeated."
    if flag_errors.is_required(flag):
        return f"{text} Required."
    if flag.default in (None, "", [], False):
        return text
    default = ",".join(map(str, flag.default)) if isinstance(flag.default, list) else flag.default
    return f"{text} Default: {default}."
