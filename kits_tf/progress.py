"""Progress of long work: a bar on a terminal, plain lines in a log."""

import collections.abc
import contextlib
import sys
import threading
import time

SECONDS_BETWEEN_LINES = 30.0


def progress(items, description, total=None, unit="case"):
    """Yields the items and shows on stderr how many are done.

    On a terminal this is a bar; elsewhere a line every half minute and one at the end.

        for case in progress(cases, "Preparing"):
            ...
        for step in progress(1000, "Training kidney_axial", unit="step"):
            ...

    Args:
        items: an iterable, or an integer for `range(items)`.
        description: what is being done.
        total: how many items there are, where `items` has no length.
        unit: what one item is called.
    """
    if isinstance(items, int):
        items = range(items)
    if total is None and isinstance(items, collections.abc.Sized):
        total = len(items)
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=description, total=total, unit=unit, dynamic_ncols=True)
    else:
        yield from logged(items, description, total, unit)


def logged(items, description, total, unit):
    """Yields the items and prints plain lines on stderr; see `progress`."""
    started = printed = time.monotonic()
    count = 0
    for item in items:
        yield item
        count += 1
        now = time.monotonic()
        if now - printed >= SECONDS_BETWEEN_LINES and count != total:
            print(line(description, count, total, unit, now - started), file=sys.stderr, flush=True)
            printed = now
    if count:
        print(line(description, count, total, unit, time.monotonic() - started), file=sys.stderr, flush=True)


def line(description, count, total, unit, seconds):
    """Such as "Training: step 500 of 1000 (50 %), 61 s"."""
    share = f" of {total} ({100 * count // total} %)" if total else ""
    return f"{description}: {unit} {count}{share}, {seconds:.0f} s"


def say(text):
    """Prints a line on stdout without tearing a bar that is showing on stderr."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        tqdm.write(text, file=sys.stdout)
    else:
        print(text, flush=True)


@contextlib.contextmanager
def shares(count, description):
    """Progress of several items that are in work side by side; yields a function of (item, share done).

    The function may be called from several threads. On a terminal this is a bar; elsewhere a line every half minute.

    Args:
        count: of all items.
        description: what is being done.
    """
    from tqdm import tqdm

    done, lock, printed = {}, threading.Lock(), [time.monotonic()]
    is_terminal = sys.stderr.isatty()
    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    with tqdm(total=count, desc=description, bar_format=form, leave=False, disable=not is_terminal) as bar:

        def update(item, share):
            with lock:
                done[item] = max(share, done.get(item, 0.0))
                total = sum(done.values())
                bar.update(total - bar.n)
                now = time.monotonic()
                if not is_terminal and now - printed[0] >= SECONDS_BETWEEN_LINES:
                    print(f"{description}: {total:.1f} of {count} CTs", file=sys.stderr, flush=True)
                    printed[0] = now

        yield update
