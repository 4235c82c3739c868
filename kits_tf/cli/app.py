"""The entry that every command shares: flags in, an exit code out, and no traceback for what a user got wrong.

A command is a module with flags of its own, so that many of them can be imported into one process:

    FLAGS = flags.FlagValues()
    flags.DEFINE_string("input", None, "What to segment.", required=True, flag_values=FLAGS)

    def main() -> int:
        ...
        return 0

    def run():
        app.run(main, FLAGS)

    if __name__ == "__main__":
        run()

The module's docstring is the description that `--help` prints. Console scripts point to `run`; tests call
`app.execute(main, FLAGS, ["kits-predict", "--input=scan.nii.gz"])`. Heavy imports belong inside `main`.
"""

import errno
import logging
import os
import pathlib
import sys

from absl import flags

from kits_tf.cli import flag_errors, help_text
from kits_tf.cli.signals import EXIT_INTERRUPTED, EXIT_TERMINATED, Terminated, lost_signals_raised, signals_taken
from kits_tf.errors import InputError, UsageError

EXIT_DONE = 0
EXIT_SOME_FAILED = 1
EXIT_UNUSABLE = 2
EXIT_BROKEN_PIPE = 141

HELP_ARGUMENTS = {"--help", "-help", "-h", "--helpfull", "--helpshort"}

# Faults of a path or a disk rather than of the program; their own text says enough.
FILE_FAULTS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EIO,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
    errno.ESTALE,
}


def run(main, flag_values):
    """Runs a command as the whole program: parses `sys.argv`, calls `main` and exits with its code."""
    quieten_libraries()
    sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be UTF-8
    os.environ["KERAS_BACKEND"] = "tensorflow"  # the commands train and predict with TensorFlow
    with signals_taken():
        code = execute(main, flag_values, sys.argv)
    sys.exit(code)


def execute(main, flag_values, argv):
    """Runs a command inside this process.

    Args:
        main: a function without arguments that does the work and returns an exit code (None counts as 0).
        flag_values: the command's own `flags.FlagValues`; whatever an earlier call set is forgotten first.
        argv: the program's name, then its arguments.

    Returns:
        The exit code. Messages for the user go to stderr, one line each; help goes to stdout.
    """
    name = program_name(argv[0])
    try:
        with lost_signals_raised():
            if asks_for_help(argv[1:]):
                code = print(help_text.render(name, main.__globals__.get("__doc__"), flag_values))
            else:
                problem = parse(flag_values, argv)
                if problem:
                    complain(name, problem)
                    return EXIT_UNUSABLE
                code = main()
            sys.stdout.flush()
            return EXIT_DONE if code is None else int(code)
    except (UsageError, InputError) as error:
        complain(name, error)
        return EXIT_UNUSABLE
    except BrokenPipeError:
        # The reader of a pipe has left; without this, the interpreter's own flush at exit fails once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except OSError as error:
        if error.errno not in FILE_FAULTS:
            raise
        complain(name, f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
        return EXIT_UNUSABLE
    except KeyboardInterrupt as error:
        complain(name, str(error) or "interrupted")
        return EXIT_INTERRUPTED
    except Terminated:
        complain(name, "terminated")
        return EXIT_TERMINATED


def parse(flag_values, argv):
    """Parses the arguments into `flag_values`; returns what is wrong with them in one line, or None."""
    flag_values.unparse_flags()
    flag_values.set_gnu_getopt(True)  # or everything after a stray argument would be left unread
    try:
        stray = flag_values(argv)[1:]
    except flags.Error as error:
        return flag_errors.translate(error, flag_values)
    empty = flag_errors.empty_flag(flag_values)
    if empty:
        return empty
    return f"{stray[0]!r} is not a flag; --help lists what there is" if stray else None


def asks_for_help(arguments):
    """Whether a help flag stands among the arguments, before any `--`."""
    if "--" in arguments:
        arguments = arguments[: arguments.index("--")]
    return not HELP_ARGUMENTS.isdisjoint(arguments)


def program_name(path):
    """The command's name, whether it runs as a console script (`kits-predict`) or as a module (`predict.py`)."""
    name = pathlib.Path(path).stem
    return name if name.startswith("kits-") else f"kits-{name}"


def complain(name, message):
    """Prints one line on stderr."""
    print(f"{name}: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


def quieten_libraries():
    """Hides what TensorFlow and absl log at every start; must come before TensorFlow is imported.

    On a machine without a GPU some of it is logged as errors; what does go wrong is raised as an exception as well.
    `TF_CPP_MIN_LOG_LEVEL=0` in the environment brings it all back.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("absl").setLevel(logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
