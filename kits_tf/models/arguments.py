"""Checks of construction arguments: each raises a ValueError naming the argument, its value and what it takes."""


def one_of(name, value, choices):
    """Raises ValueError unless `value` is one of the strings `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}={value!r}: takes {' or '.join(map(repr, choices))}")


def positive_integer(name, value):
    """Raises ValueError unless `value` is an integer above zero."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r}: takes a positive integer")


def true_or_false(name, value):
    """Raises ValueError unless `value` is a bool."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}={value!r}: takes True or False")


def fraction(name, value):
    """Raises ValueError unless `value` is a number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ValueError(f"{name}={value!r}: takes a number in [0, 1)")


def divisible_size(name, size, rank, divisor):
    """Raises ValueError unless `size` holds `rank` entries, each None or a positive multiple of `divisor`."""
    takes = f"takes {rank} entries, each None or a positive multiple of {divisor}"
    if not isinstance(size, (tuple, list)) or len(size) != rank:
        raise ValueError(f"{name}={size!r}: {takes}")
    for length in size:
        if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 1):
            raise ValueError(f"{name}={tuple(size)!r}: {takes}")
        if length is not None and length % divisor:
            raise ValueError(f"{name}={tuple(size)!r}: {takes}")
