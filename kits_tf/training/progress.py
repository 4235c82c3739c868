"""What a person sees of a run: a bar on a terminal, plain lines in a log."""

import os
import pathlib
import sys
import time

from kits_tf.training.watcher import Watcher

LINE_SECONDS = 15.0


class Progress(Watcher):
    """Shows step, loss parts, the last validation's Dice, memory, steps a second and time left.

    Args:
        name: of the network.
        step: the last step that is done.
        total: steps of the whole run.
        clock: gives seconds.
    """

    def __init__(self, name, step, total, clock=time.monotonic):
        self._name = name
        self._total = total
        self._clock = clock
        self._previous = None  # the first call, which compiles the step, says nothing of the rate
        self._dice = {}
        self._bar = self._open_bar(step) if sys.stderr.isatty() else None

    def _open_bar(self, step):
        from tqdm import tqdm

        return tqdm(desc=self._name, total=self._total, initial=step, unit="step", dynamic_ncols=True)

    def losses(self, step, names, values):
        step, parts = step + len(values), dict(zip(names, values.mean(axis=0), strict=True))
        parts = {name: f"{value:.4f}" for name, value in parts.items()} | self._dice
        if self._bar is not None:
            self._bar.set_postfix(parts | {"memory": memory()}, refresh=False)
            self._bar.update(step - self._bar.n)
            return
        now = self._clock()
        if self._previous is None:
            self._previous = now, step
        if now - self._previous[0] < LINE_SECONDS and step < self._total:
            return
        rate = (step - self._previous[1]) / max(now - self._previous[0], 1e-9)
        self._previous = now, step
        left = duration((self._total - step) / rate) if rate > 0 else "?"
        described = " ".join(f"{name} {value}" for name, value in parts.items())
        print(
            f"{self._name}: step {step}/{self._total}  {described}  {memory()}  {rate:.2f} steps/s  {left} left",
            flush=True,
        )

    def scores(self, step, name, scores):
        mean, best = scores.means[step], scores.means[scores.best]
        self._dice = {name: f"{mean:.4f}"}
        self._say(f"{self._name}: step {step}  validation {name} {mean:.4f}, best {best:.4f} at step {scores.best}")

    def _say(self, line):
        if self._bar is not None:
            self._bar.write(line)
        else:
            print(line, flush=True)

    def close(self):
        if self._bar is not None:
            self._bar.close()


def memory():
    """Memory of this process, and the most that TensorFlow has taken of the first GPU, such as "2.1 GB"."""
    import tensorflow as tf

    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    text = f"{pages * os.sysconf('SC_PAGE_SIZE') / 1e9:.1f} GB"
    if tf.config.list_logical_devices("GPU"):
        text += f", GPU {tf.config.experimental.get_memory_info('GPU:0')['peak'] / 1e9:.1f} GB"
    return text


def duration(seconds):
    """Seconds as 2 h 05 min, 3 min 20 s or 12 s."""
    seconds = round(seconds)
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 60} min {seconds % 60:02d} s" if seconds >= 60 else f"{seconds} s"
