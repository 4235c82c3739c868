"""Runs the package's commands from an experiment, in this checkout, as a reader would type them."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def command(name, *flags):
    """Runs `kits-NAME` with flags and stops with its exit code if it fails."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    line = [sys.executable, "-m", f"kits_tf.cli.{name}", *flags]
    code = subprocess.run(line, env=environment, check=False).returncode
    if code:
        sys.exit(code)
