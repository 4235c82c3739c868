"""The entry point that every command shares: flags in, an exit code out, one line per error.

A command is a module with its own `FlagValues`, so that one process can import several:

    FLAGS = flags.FlagValues()
    INPUT = app.group(FLAGS, "Input")
    flags.DEFINE_string("input", None, "What to segment.", required=True, **INPUT)

    def main() -> int:
        ...

    def run() -> None:
        app.run(main, FLAGS)

`--help` lists flags by their group, below the module's docstring. Heavy imports belong inside `main`, so that it
answers at once.
"""

import concurrent.futures
import inspect
import logging
import os
import pathlib
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from absl import flags

import kits_tf
from kits_tf.errors import InputError, UsageError

EXIT_DONE, EXIT_SOME_FAILED, EXIT_UNUSABLE = 0, 1, 2
EXIT_INTERRUPTED, EXIT_BROKEN_PIPE, EXIT_TERMINATED = 130, 141, 143
"""128 plus the number of the signal, as shells report it: SIGINT, SIGPIPE, SIGTERM."""

HELP_FLAGS = {"--help", "-help", "-h", "--helpfull", "--helpshort"}


def group(flag_values: flags.FlagValues, name: str) -> dict[str, Any]:
    """Return the arguments of DEFINE_* that list a command's flag in a group of `--help`."""
    return {"flag_values": flag_values, "module_name": name}


class _DeviceParser(flags.ArgumentParser):
    syntactic_help = "auto, cpu or gpu:N, such as gpu:0"

    def parse(self, argument: str) -> str:
        if not re.fullmatch(r"auto|cpu|gpu:\d+", argument):
            raise ValueError(argument)
        return argument


def define_device(flag_values: flags.FlagValues, group_name: str) -> None:
    """Define `--device`, for `runtime.load_tensorflow`."""
    text = "Device of the networks: auto (all GPUs, else the CPU), cpu, or one GPU, such as gpu:0."
    flags.DEFINE(_DeviceParser(), "device", "auto", text, **group(flag_values, group_name))


def require_unless(other: str, names: Sequence[str], flag_values: flags.FlagValues) -> None:
    """Require flags unless another one, a bool, is set; `required=True` of DEFINE_* requires them always."""
    for name in names:
        flags.register_validator(
            name,
            lambda value: value is not None or flag_values[other].value,
            f"must have a value other than None unless --{other}",
            flag_values,
        )


def requirement(message: str) -> str:
    """Return what the message of a validator requires: "required", "required unless --FLAG", or "" for nothing."""
    match = re.search(r"must have a value other than None\.?( unless --\w+)?", message)
    return f"required{match[1] or ''}" if match else ""


def run(main: Callable[[], int | None], flag_values: flags.FlagValues) -> NoReturn:
    """Run a command as the whole program and exit with its code."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = execute(main, flag_values, sys.argv)
    except SystemExit as signalled:
        code = signalled.code if isinstance(signalled.code, int) else EXIT_SOME_FAILED
    is_stopped = code in (EXIT_INTERRUPTED, EXIT_TERMINATED)
    if is_stopped and any(not one.daemon for one in threading.enumerate() if one is not threading.main_thread()):
        sys.stdout.flush()
        os._exit(code)  # a normal exit would wait for threads, one of which may hang on a dead disk
    sys.exit(code)


def execute(main: Callable[[], int | None], flag_values: flags.FlagValues, argv: Sequence[str]) -> int:
    """Run a command inside this process.

    Args:
        main: The command's work; returns an exit code, None for 0.
        flag_values: The command's flags; values of an earlier call are dropped.
        argv: The program's name and its arguments.

    Returns:
        The exit code. Errors go to stderr, one line each; help and version go to stdout.
    """
    name = pathlib.Path(argv[0]).stem
    name = name if name.startswith("kits-") else f"kits-{name}"
    try:
        if HELP_FLAGS.intersection(argv[1:]):
            print(_help_text(name, main.__globals__.get("__doc__"), flag_values))
            return EXIT_DONE
        if "--version" in argv[1:]:
            print(f"{name} {kits_tf.__version__}")
            return EXIT_DONE
        parse(flag_values, argv)
        code = main()
        sys.stdout.flush()
        return EXIT_DONE if code is None else int(code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's final flush fails, too
        return EXIT_BROKEN_PIPE
    except (UsageError, InputError) as error:
        complain(name, error)
        return EXIT_UNUSABLE
    except OSError as error:
        if error.strerror is None:
            raise
        complain(name, f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
        return EXIT_UNUSABLE
    except concurrent.futures.BrokenExecutor:
        complain(name, "a process was killed, likely for lack of memory; use fewer --workers")
        return EXIT_SOME_FAILED
    except KeyboardInterrupt as error:
        complain(name, str(error) or "interrupted")
        return EXIT_INTERRUPTED


def complain(name: str, message: object) -> None:
    """Print one line on stderr."""
    print(f"{name}: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


def check_output_folder(flag: str, folder: str | os.PathLike) -> None:
    """Refuse a folder that cannot be created or written to, before any work is done.

    Raises:
        UsageError: Names the flag, the folder and the reason.
    """
    path = pathlib.Path(folder).absolute()
    nearest = next(part for part in (path, *path.parents) if os.path.exists(part))
    if not nearest.is_dir():
        raise UsageError(flag, f"{nearest} is a file; must be a folder")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise UsageError(flag, f"{folder}: {error.strerror}") from None


def check_output_file(flag: str, path: str | os.PathLike) -> None:
    """Refuse a file that cannot be written; see `check_output_folder`."""
    if os.path.isdir(path):
        raise UsageError(flag, f"{path} is a folder; must be a file")
    check_output_folder(flag, pathlib.Path(path).absolute().parent)


def _terminate(number: int, frame: object) -> NoReturn:
    """Exit on SIGTERM by an exception, so that temporary files are removed."""
    sys.exit(EXIT_TERMINATED)


def parse(flag_values: flags.FlagValues, argv: Sequence[str]) -> None:
    """Parse the arguments into `flag_values`; raise UsageError if they are invalid."""
    flag_values.unparse_flags()
    flag_values.set_gnu_getopt(True)  # or flags after a stray argument would not be read
    try:
        stray = flag_values(argv)[1:]
    except flags.UnrecognizedFlagError as error:
        hint = str(error).partition(". ")[2] or "--help lists all flags"
        raise UsageError(error.flagname, f"no such flag; {hint}") from None
    except flags.CantOpenFlagFileError as error:
        raise UsageError("flagfile", f"cannot be read ({error.__context__})") from None
    except flags.Error as error:
        raise _flag_error(" ".join(str(error).split()), flag_values) from None
    if stray:
        raise UsageError(None, f"{stray[0]!r} is not a flag; --help lists all flags")
    for name in flag_values:
        if flag_values[name].present and flag_values[name].value == "":
            raise UsageError(name, "must not be empty")


def _flag_error(message: str, flag_values: flags.FlagValues) -> UsageError:
    """Convert absl's message to an error with the flag's name and its valid values."""
    match = re.match(r"(?:flag|Missing value for flag) --(\w+)(?:=(.*?): (.*))?", message)
    if match is None or match[1] not in flag_values:
        return UsageError(None, message)
    name, text, reason = match.groups()
    parser = flag_values[name].parser
    kind = " or ".join(getattr(parser, "enum_values", ())) or parser.syntactic_help
    if text is None:
        return UsageError(name, "needs a value")
    if required := requirement(reason):
        return UsageError(name, f"is {required}; --help describes all flags")
    try:
        parser.parse(text)
    except (TypeError, ValueError):
        return UsageError(name, f"must be {kind or 'true or false'}, got {text!r}")
    return UsageError(name, reason)  # a validator's own words


def _help_text(name: str, description: str | None, flag_values: flags.FlagValues) -> str:
    """Return the text of `--help`."""
    groups = flag_values.get_help(include_special_flags=False).strip()
    common = "Common:\n  --flagfile: Read flags from a text file, one per line.\n  --version: Show the version."
    return f"usage: {name} [flags]\n\n{inspect.cleandoc(description or '')}\n\n{groups}\n\n{common}"
