"""Flags that take a finite number; absl's own let NaN through any bound."""

import math

from absl import flags

DAY_S = 86400
"""The longest time to wait that a flag takes; clocks overflow where it is absurd."""


class FiniteParser(flags.FloatParser):
    """Reads a number that is neither infinite nor NaN, within bounds."""

    number_name = "finite number"
    syntactic_help = f"a {number_name}"

    def __init__(self, lower_bound=None, upper_bound=None):
        super().__init__(lower_bound, upper_bound)
        self.syntactic_help = f"a {self.syntactic_help.removeprefix('a ')}"  # absl leaves it out before a bound

    def is_outside_bounds(self, val):
        return not math.isfinite(val) or super().is_outside_bounds(val)


def define(name, default, text, flag_values, lower_bound=None, upper_bound=None):
    """As `flags.DEFINE_float`, of a finite number; `text` is its help."""
    parser = FiniteParser(lower_bound, upper_bound)
    flags.DEFINE(parser, name, default, text, flag_values, flags.ArgumentSerializer())
