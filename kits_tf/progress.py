"""Progress of long work on stderr: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 30.0


def progress(items: Iterable[Item], description: str, total: int, unit: str = "case") -> Iterator[Item]:
    """Yield the items and show how many are done: a bar on a terminal, else a line every half minute.

    Args:
        items: an iterable.
        description: such as "Preparing".
        total: number of items.
        unit: name of one item.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=description, total=total, unit=unit, dynamic_ncols=True)
        return
    started = printed = time.monotonic()
    count = 0
    for count, item in enumerate(items, 1):  # noqa: B007
        yield item
        now = time.monotonic()
        if now - printed >= SECONDS_BETWEEN_LINES and count != total:
            print(line(description, count, total, unit, now - started), file=sys.stderr, flush=True)
            printed = now
    if count:
        print(line(description, count, total, unit, time.monotonic() - started), file=sys.stderr, flush=True)


def line(description: str, count: int, total: int, unit: str, seconds: float) -> str:
    """Return a line such as "Preparing: case 5 of 10 (50 %), 61 s"."""
    return f"{description}: {unit} {count} of {total} ({100 * count // total} %), {seconds:.0f} s"


def counted(number: int | str, noun: str) -> str:
    """Return a number with a noun in singular or plural.

    Example:
        >>> counted(1, "case"), counted(0, "case"), counted("1.5", "hour")
        ('1 case', '0 cases', '1.5 hours')
    """
    return f"{number} {noun}" if str(number) == "1" else f"{number} {noun}s"


def say(text: str) -> None:
    """Print a line on stdout without disturbing a progress bar on stderr."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        tqdm.write(text, file=sys.stdout)
    else:
        print(text, flush=True)


@contextlib.contextmanager
def shares(count: int, description: str) -> Iterator[Callable[[Hashable, float], None]]:
    """Show the progress of items that run in parallel: yield a thread-safe function of (item, fraction done)."""
    from tqdm import tqdm

    done: dict[Hashable, float] = {}
    lock, printed, is_terminal = threading.Lock(), time.monotonic(), sys.stderr.isatty()
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    with tqdm(total=count, desc=description, bar_format=bar_format, leave=False, disable=not is_terminal) as bar:

        def update(item: Hashable, share: float) -> None:
            """Show the fraction that is done of an item."""
            nonlocal printed
            with lock:
                done[item] = max(share, done.get(item, 0.0))
                total = sum(done.values())
                bar.update(total - bar.n)
                now = time.monotonic()
                if not is_terminal and now - printed >= SECONDS_BETWEEN_LINES:
                    print(f"{description}: {round(total, 1):g} of {counted(count, 'CT')}", file=sys.stderr, flush=True)
                    printed = now

        yield update
