"""Proves that splits are disjoint, seeded, and the same on every machine."""

import collections
import random

import pytest

from kits_tf.dataset.splits import split_cases
from kits_tf.errors import UsageError

IDS = [f"case_{number:05d}" for number in range(210)]


def members(split, name):
    return sorted(case for case, part in split.items() if part == name)


def test_the_papers_numbers():
    split = split_cases(IDS, 27, 27, seed=0)
    assert collections.Counter(split.values()) == {"training": 156, "validation": 27, "test": 27}
    assert list(split) == IDS


def test_the_order_of_the_ids_does_not_matter():
    shuffled = IDS[:]
    random.Random(3).shuffle(shuffled)
    assert split_cases(shuffled, 27, 27, seed=5) == split_cases(IDS, 27, 27, seed=5)


def test_the_split_of_seed_0_stays_what_it_is():
    """Written down once; it must never change, or reported scores would be of other cases."""
    split = split_cases(IDS[:12], 2, 2, seed=0)
    assert members(split, "test") == EXPECTED_TEST
    assert members(split, "validation") == EXPECTED_VALIDATION


# `printf 0:case_000NN | sha256sum` for each case, sorted: the first two and the next two
EXPECTED_TEST = ["case_00000", "case_00009"]
EXPECTED_VALIDATION = ["case_00003", "case_00006"]


def test_seeds_differ():
    first, second = (members(split_cases(IDS, 27, 27, seed), "test") for seed in (0, 1))
    assert len(set(first) & set(second)) < 15


def test_a_split_without_training_cases_is_refused():
    assert set(split_cases(IDS[:3], 1, 1, 0).values()) == {"training", "validation", "test"}
    with pytest.raises(UsageError, match="leave none for training"):
        split_cases(IDS[:2], 1, 1, 0)
    with pytest.raises(UsageError):
        split_cases([], 0, 0, 0)
