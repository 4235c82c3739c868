"""Proves that splits are disjoint, seeded, and the same on every machine."""

import collections
import json

import pytest

from kits_tf.data.splits import Split, fold_cases, read_split_file, split_cases
from kits_tf.errors import InputError, UsageError

IDS = [f"case_{number:05d}" for number in range(210)]


def members(split, name):
    return sorted(case for case, part in split.items() if part == name)


def test_the_papers_numbers():
    split = split_cases(IDS, 27, 27, seed=0)
    assert collections.Counter(split.values()) == {"training": 156, "validation": 27, "test": 27}
    assert list(split) == IDS and split_cases(IDS[::-1], 27, 27, seed=0) == split
    other = split_cases(IDS, 27, 27, seed=1)
    assert len(set(members(split, "test")) & set(members(other, "test"))) < 15


def test_the_split_of_seed_0_never_changes():
    """Or reported scores would be of other cases. By hand: `printf 0:case_000NN | sha256sum` of each, sorted."""
    split = split_cases(IDS[:12], 2, 2, seed=0)
    assert members(split, "test") == ["case_00000", "case_00009"]
    assert members(split, "validation") == ["case_00003", "case_00006"]


@pytest.mark.parametrize("count, parts", [(2, (1, 1)), (0, (0, 0))])
def test_a_split_without_training_cases_is_refused(count, parts):
    with pytest.raises(UsageError, match="none for training"):
        split_cases(IDS[:count], *parts, 0)


def test_folds_divide_what_is_not_for_testing():
    folds = fold_cases(IDS, 5, 27, seed=0)
    tests = {name for name, fold in folds.items() if fold is None}
    assert tests == set(members(split_cases(IDS, 27, 27, seed=0), "test"))
    assert sorted(collections.Counter(folds.values())[fold] for fold in range(5)) == [36, 36, 37, 37, 37]
    assert fold_cases(IDS[::-1], 5, 27, seed=0) == folds != fold_cases(IDS, 5, 27, seed=1)
    for fold in (0, 4):
        applied = Split(0, 27, 0, num_folds=5, fold=fold).apply(IDS)
        names = {None: "test", fold: "validation"}
        assert all(applied[n] == {"fold": f, "split": names.get(f, "training")} for n, f in folds.items())
    with pytest.raises(UsageError, match="num_folds"):
        fold_cases(IDS[:6], 5, 2, seed=0)


def test_a_given_split_is_used(tmp_path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"training": IDS[:3], "validation": [IDS[3]], "test": []}))
    assert read_split_file(path, IDS[:2]) == dict.fromkeys(IDS[:3], "training") | {IDS[3]: "validation"}
    assert Split(path=str(path)).apply(IDS[2:4]) == {IDS[2]: {"split": "training"}, IDS[3]: {"split": "validation"}}


@pytest.mark.parametrize(
    "content, word",
    [
        (None, "cannot be read"), ("no JSON", "must be JSON"), ([1, 2], "must be JSON"),
        ({"train": IDS}, "must be JSON"), ({"training": [7]}, "must be JSON"),
        ({"training": IDS, "test": IDS[:1]}, "repeated"), ({"training": IDS[:1]}, "missing"),
        ({"validation": IDS}, "for training"),
    ],
)  # fmt: skip
def test_unusable_split_files_are_named(tmp_path, content, word):
    path = tmp_path / "split.json"
    if content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError, match=word) as error:
        read_split_file(path, IDS[:2])
    assert error.value.path == str(path)
