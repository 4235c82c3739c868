"""Measurements of `accelerator_step.py` in processes of their own, which prepare ahead and take turns on the card."""

import collections
import json
import os
import pathlib
import subprocess
import sys
import time

SCRIPT = pathlib.Path(__file__).with_name("accelerator_step.py")
OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "out of memory", "OutOfMemory")
Job = collections.namedtuple("Job", "side network precision")  # side: "ceilings", "ours" or "peer"


def take_turns(jobs, arguments, batch_size):
    """(job, what it found) of each: as many as there are cores prepare ahead, one at a time is let onto the card.

    Args:
        jobs: list of `Job`.
        arguments: those of the command line of `accelerator_step.py`.
        batch_size: the batch size of a job, a function; of the card's own ceilings it is 1.
    """
    deadline = time.monotonic() + arguments.seconds
    ahead = len(os.sched_getaffinity(0))
    started = collections.deque(start(job, arguments) for job in jobs[:ahead])
    try:
        for index, job in enumerate(jobs):
            process = started.popleft()
            if time.monotonic() > deadline:
                stop(process)
                found = {"error": "not begun, as --seconds were over"}
            else:
                found = finished(process, arguments)
                found = with_less(job, found, arguments, batch_size(job))
            yield job, found
            if index + ahead < len(jobs):
                started.append(start(jobs[index + ahead], arguments))
    finally:
        for process in started:
            stop(process)


def start(job, arguments, batch=0):
    """A process that prepares one measurement and waits for a line before it uses the card."""
    flags = [f"--{name}={getattr(arguments, name)}" for name in ("steps", "peer_layout")]
    flags += [f"--{name}" for name in ("small", "peer_compile") if getattr(arguments, name)]
    line = [sys.executable, str(SCRIPT), "--only", *job, f"--batch={batch}", *flags]
    xla = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_autotune_level={arguments.autotune_level}"
    platforms = os.environ.get("JAX_PLATFORMS", "")
    environment = os.environ | {
        "JAX_PLATFORMS": f"{platforms},cpu" if platforms and "cpu" not in platforms else platforms,
        "KERAS_BACKEND": "jax",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "XLA_FLAGS": xla.strip(),
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    return subprocess.Popen(line, env=environment, text=True, **pipes)


def finished(process, arguments):
    """What a process finds once it is let go, or {"error"}."""
    try:
        output, errors = process.communicate("go\n", timeout=arguments.job_seconds)
    except subprocess.TimeoutExpired:
        stop(process)
        return {"error": f"took more than {arguments.job_seconds:.0f} s"}
    if process.returncode or not output.strip():
        return {"error": f"exit {process.returncode}: {errors.strip()[-600:]}"}
    return json.loads(output.splitlines()[-1])


def stop(process):
    """Ends a process that was started here."""
    process.kill()
    process.communicate()


def with_less(job, found, arguments, batch):
    """What was found or, where the card's memory did not hold the batch, what half of it gives, and so on."""
    while batch > 1 and any(words in found.get("error", "") for words in OUT_OF_MEMORY):
        print(f"{' '.join(job)}: a batch of {batch} does not fit", flush=True)
        batch //= 2
        found = finished(start(job, arguments, batch), arguments)
    return found


def wait_for_turn():
    """Returns when the process that started this one says so; ends this one if that is gone."""
    if not sys.stdin.readline():
        sys.exit(1)
