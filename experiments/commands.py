"""Runs the package's commands from an experiment, in this checkout, as a reader would type them."""

import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]


def command(name, *flags, **variables):
    """Runs `kits-NAME` with flags and stops with its exit code if it fails.

    Args:
        name: such as "predict".
        *flags: of the command.
        **variables: more environment variables.

    Returns:
        (seconds, megabytes): what it took, and the peak resident memory of its largest process.
    """
    environment = dict(
        os.environ, **variables, PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    )
    line = [sys.executable, "-m", f"kits_tf.cli.{name}", *flags]
    start = time.monotonic()
    _, status, usage = os.wait4(os.posix_spawn(sys.executable, line, environment), 0)
    if status:
        sys.exit(os.waitstatus_to_exitcode(status))
    return time.monotonic() - start, usage.ru_maxrss / 1000
