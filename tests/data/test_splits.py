"""Proves that splits are disjoint, seeded, and the same on every machine."""

import collections
import json
import random

import pytest

from kits_tf.data.splits import fold_cases, read_split_file, split_cases, split_of_fold
from kits_tf.errors import InputError, UsageError

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


def test_folds_share_out_what_is_not_for_testing():
    folds = fold_cases(IDS, 5, 27, seed=0)
    tests = {name for name, fold in folds.items() if fold is None}
    assert tests == set(members(split_cases(IDS, 27, 27, seed=0), "test"))
    assert sorted(collections.Counter(folds.values())[fold] for fold in range(5)) == [36, 36, 37, 37, 37]
    validations = [set(members(split_of_fold(folds, fold), "validation")) for fold in range(5)]
    assert set.union(*validations) | tests == set(IDS) and sum(map(len, validations)) == 210 - 27
    assert split_of_fold(folds, 3)[min(validations[2])] == "training"
    assert fold_cases(IDS[::-1], 5, 27, seed=0) == folds != fold_cases(IDS, 5, 27, seed=1)
    with pytest.raises(UsageError):
        fold_cases(IDS[:6], 5, 2, seed=0)


def test_a_given_split_is_taken(tmp_path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"training": IDS[:3], "validation": [IDS[3]], "test": []}))
    assert read_split_file(path, IDS[:2]) == dict.fromkeys(IDS[:3], "training") | {IDS[3]: "validation"}


@pytest.mark.parametrize(
    "content, word",
    [
        (None, "cannot be read"),
        ("no JSON", "is not JSON"),
        ([1, 2], "is not JSON"),
        ({"train": IDS}, "is not JSON"),
        ({"training": ["scan"]}, "is not JSON"),
        ({"training": IDS, "test": IDS[:1]}, "more than once"),
        ({"training": IDS[:1]}, "does not say"),
        ({"validation": IDS}, "no case for training"),
    ],
)
def test_unusable_split_files_are_named(tmp_path, content, word):
    path = tmp_path / "split.json"
    if content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError, match=word) as error:
        read_split_file(path, IDS[:2])
    assert error.value.path == str(path)
