"""What a person sees of a run: a bar on a terminal, plain lines in a log."""

import sys
import time

LINE_SECONDS = 15.0


class Progress:
    """Shows step, loss parts, steps a second and time left.

    Args:
        name: of the network.
        step: the last step that is done.
        total: steps of the whole run.
    """

    def __init__(self, name, step, total):
        self._name = name
        self._total = total
        self._start = self._previous = (time.monotonic(), step)
        self._bar = self._open_bar(step) if sys.stderr.isatty() else None

    def _open_bar(self, step):
        from tqdm import tqdm

        return tqdm(desc=self._name, total=self._total, initial=step, unit="step")

    def update(self, step, losses):
        """Says that `step` is done, with the losses {name: value} of that step's call."""
        parts = {name: f"{value:.4f}" for name, value in losses.items()}
        if self._bar is not None:
            self._bar.set_postfix(parts, refresh=False)
            self._bar.update(step - self._bar.n)
            return
        now = time.monotonic()
        if now - self._previous[0] < LINE_SECONDS and step < self._total:
            return
        rate = (step - self._previous[1]) / max(now - self._previous[0], 1e-9)
        self._previous = now, step
        left = duration((self._total - step) / rate) if rate > 0 else "?"
        described = " ".join(f"{name} {value}" for name, value in parts.items())
        print(f"{self._name}: step {step}/{self._total}  {described}  {rate:.2f} steps/s  {left} left", flush=True)

    def close(self):
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()


def duration(seconds):
    """Seconds as 2 h 05 min, 3 min 20 s or 12 s."""
    seconds = round(seconds)
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 60} min {seconds % 60:02d} s" if seconds >= 60 else f"{seconds} s"
