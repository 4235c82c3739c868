"""What experiments share: run a command of this checkout, describe the machine, write a result."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psutil

from kits_tf import files

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "experiments"
"""Folder of intermediate files; git ignores it."""
SAMPLING_SECONDS = 0.25


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished process: wall-clock and CPU seconds, peak memory with its children, exit code, captured output."""

    seconds: float
    cpu_seconds: float
    peak_mb: int
    code: int
    output: str

    def figures(self) -> dict[str, float]:
        """Return what a result records."""
        return {
            "seconds": round(self.seconds, 2),
            "cpu_seconds": round(self.cpu_seconds, 2),
            "peak_memory_mb": self.peak_mb,
        }


def command(name: str, *flags: str, check: bool = True, capture: bool = False) -> Run:
    """Run `kits-NAME` of this checkout; exit with its code if it fails, unless `check` is False.

    Args:
        name: Such as "predict".
        *flags: Flags of the command.
        check: Whether a failure ends the experiment.
        capture: Whether to return the output instead of showing it.
    """
    return run([sys.executable, "-m", f"kits_tf.cli.{name}", *flags], check, capture)


def run(line: Sequence[str], check: bool = True, capture: bool = False) -> Run:
    """Run a command line; see `command`."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    variables = os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryFile() as file:
        streams: dict[str, Any] = {"stdout": file, "stderr": subprocess.STDOUT} if capture else {}
        start = time.monotonic()
        process = subprocess.Popen(line, env=variables, **streams)
        with watch_memory(process.pid) as samples:
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = code = os.waitstatus_to_exitcode(status)
        file.seek(0)
        output = file.read().decode(errors="replace")
    if code and check:
        sys.exit(f"{output[-3000:]}\n{' '.join(line)}: exit code {code}")
    peak_mb = max((mb for _, mb in samples), default=0.0)  # ru_maxrss would include this process, before the exec
    return Run(seconds, usage.ru_utime + usage.ru_stime, round(peak_mb), code, output)


@contextlib.contextmanager
def watch_memory(pid: int, period: float = SAMPLING_SECONDS) -> Iterator[list[tuple[float, float]]]:
    """Sample the memory of a process and its children into the yielded list of (seconds, MB)."""
    samples: list[tuple[float, float]] = []
    start, end = time.monotonic(), threading.Event()

    def sample() -> None:
        while True:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                family = [process, *process.children(recursive=True)]
                samples.append((time.monotonic() - start, sum(one.memory_info().rss for one in family) / 1e6))
            if end.wait(period):
                return

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        end.set()
        thread.join()


def machine() -> dict[str, Any]:
    """Return a description of this machine."""
    info = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()}-{platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def parser(description: str | None, script: str) -> argparse.ArgumentParser:
    """Return a parser with --output, by default the recorded result of a script.

    Args:
        description: The script's docstring; its first line is shown.
        script: The script's `__file__`.
    """
    path = pathlib.Path(script)
    is_benchmark = path.parent.name == "benchmarks"
    default = path.parent / "results" / f"{path.stem}.json" if is_benchmark else path.with_name("result.json")
    result = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    result.add_argument("--output", type=pathlib.Path, default=default, help="JSON file of the result")
    return result


def write_result(path: pathlib.Path, result: dict[str, Any]) -> None:
    """Write a result with the machine that it was measured on, and print it."""
    text = json.dumps(result | {"machine": machine()}, indent=1)
    files.write_text(path, text + "\n")
    print(text)
