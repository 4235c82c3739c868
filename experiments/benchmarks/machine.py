"""What a figure was measured on, and the memory of a process with its children."""

import os
import pathlib
import platform
import threading

PERIOD_S = 0.1


def machine():
    """A description of this machine, as a dict."""
    info = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "system": f"{platform.system()}-{platform.machine()}",
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def family(pid):
    """A process and its descendants, as ids."""
    children = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for known in found:
        found += children.get(known, [])
    return found


def resident_mb(pid):
    """Resident memory of a process and its descendants; pages that they share count once for each."""
    total = 0
    for member in family(pid):
        try:
            status = pathlib.Path(f"/proc/{member}/statm").read_text()
        except OSError:
            continue
        total += int(status.split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total / 1e6


class MemoryWatch:
    """Samples the memory of a process and its descendants while a `with` block runs.

    Attributes:
        peak_mb: the highest sum seen.
    """

    def __init__(self, pid=None):
        self.pid = pid or os.getpid()
        self.peak_mb = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self._end.wait(PERIOD_S):
            self.peak_mb = max(self.peak_mb, resident_mb(self.pid))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._end.set()
        self._thread.join()
