"""How the steps of `accelerator_step.py` are timed, and where."""

import statistics
import time

WARM_UP = 3


def check_card(is_there, arguments):
    """Raises RuntimeError where the networks at full size would have to run without a GPU."""
    if not is_there and not arguments.small:
        raise RuntimeError("no GPU is seen here; --small tries the script without one")


def timed(step, wait, count):
    """Milliseconds of steps, and their losses.

    Args:
        step: takes one step and returns its loss, perhaps before it is done.
        wait: returns when a loss, and all before it, is done.
        count: steps to time one by one, and then once more in a row.
    """
    first = float(wait(step()))
    for _ in range(WARM_UP - 1):
        wait(step())
    each = []
    for _ in range(count):
        begin = time.perf_counter()
        wait(step())
        each.append(1e3 * (time.perf_counter() - begin))
    begin = time.perf_counter()
    losses = [step() for _ in range(count)]
    last = float(wait(losses[-1]))
    in_a_row = 1e3 * (time.perf_counter() - begin) / count
    return {
        "median_ms": round(statistics.median(each), 3),
        "fastest_ms": round(min(each), 3),
        "slowest_ms": round(max(each), 3),
        "in_a_row_ms": round(in_a_row, 3),
        "first_loss": round(first, 5),
        "last_loss": round(last, 5),
    }
