"""Runs the package's commands from an experiment, in this checkout, as a reader would type them."""

import json
import os
import pathlib
import shutil
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


def scores_of(cases, predictions, output, checkpoint_dir, *flags):
    """Segments cases anew and scores them; returns what `kits-evaluate` writes to `output`.

    Args:
        cases: folder in the KiTS19 layout.
        predictions: folder for what is found; emptied first.
        output: the JSON file of scores.
        checkpoint_dir: a folder, or the name of released weights.
        *flags: more of kits-predict.
    """
    shutil.rmtree(predictions, ignore_errors=True)
    folders = f"--input={cases}", f"--output_dir={predictions}", f"--checkpoint_dir={checkpoint_dir}"
    command("predict", *folders, *flags)
    command("evaluate", f"--predictions={predictions}", f"--references={cases}", f"--output={output}")
    return json.loads(output.read_text())
