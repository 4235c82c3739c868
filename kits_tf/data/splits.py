"""Splits by patient: at random, the same on every machine and in every version, or given by a file."""

import collections
import hashlib
import json
import pathlib

from kits_tf.data.kits19 import case_number
from kits_tf.errors import InputError, UsageError

SPLITS = ("training", "validation", "test")


def shuffled(ids, seed):
    """The ids in an order that is random but a function of the ids and the seed alone.

    Each id is ranked by the SHA-256 of "seed:id", so no random number generator is involved and a case that comes or
    goes leaves the order of the others alone.
    """
    return sorted(ids, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def split_cases(ids, num_validation, num_test, seed):
    """Splits cases at random; in KiTS19 every case is another patient.

    Args:
        ids: case ids.
        num_validation: cases for validation.
        num_test: cases for testing; the others are for training.
        seed: any integer.

    Returns:
        {id: "training" | "validation" | "test"}, in the order of `ids`.

    Raises:
        UsageError: no case is left for training.
    """
    order = shuffled(ids, seed)
    if len(order) <= num_validation + num_test:
        raise UsageError(
            "num_validation",
            f"{num_validation} validation and {num_test} test cases of {len(order)} leave none for training; "
            "takes fewer (as does --num_test)",
        )
    split = dict.fromkeys(order[:num_test], "test")
    split |= dict.fromkeys(order[num_test : num_test + num_validation], "validation")
    return {name: split.get(name, "training") for name in ids}


def fold_cases(ids, num_folds, num_test, seed):
    """Deals cases to folds of nearly equal size; the test cases are those of `split_cases`.

    Args:
        ids: case ids.
        num_folds: two or more.
        num_test: cases for testing, in no fold.
        seed: any integer.

    Returns:
        {id: fold from 0, or None for a test case}, in the order of `ids`.

    Raises:
        UsageError: there are fewer cases than folds.
    """
    order = shuffled(ids, seed)[num_test:]
    if len(order) < num_folds:
        raise UsageError(
            "num_folds", f"{num_folds} folds of {len(order)} cases (without those for testing); takes fewer"
        )
    folds = {name: place % num_folds for place, name in enumerate(order)}
    return {name: folds.get(name) for name in ids}


def split_of_fold(folds, fold):
    """The split in which one fold is for validation and the others for training."""
    names = {None: "test", fold: "validation"}
    return {name: names.get(own, "training") for name, own in folds.items()}


def read_split_file(path, ids):
    """Reads a split that was made elsewhere.

    Args:
        path: JSON: {"training": [ids], "validation": [ids], "test": [ids]}; a split may be left out.
        ids: the cases that need one. The file may name others.

    Returns:
        {id: "training" | "validation" | "test"}, of every case in the file.

    Raises:
        InputError: the file is missing or of another kind, names a case twice, leaves one of `ids` out, or has no
            training case among them.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        named = [(name, split) for split, names in content.items() for name in names]
        if not set(content) <= set(SPLITS) or not all(case_number(name) is not None for name, _ in named):
            raise ValueError
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})") from None
    except (ValueError, AttributeError, TypeError):
        raise InputError(path, f"is not JSON of case ids by split ({', '.join(SPLITS)})") from None
    twice = [name for name, count in collections.Counter(name for name, _ in named).items() if count > 1]
    if twice:
        raise InputError(path, f"names {twice[0]} more than once")
    split = dict(named)
    missing = [name for name in ids if name not in split]
    if missing:
        raise InputError(path, f"does not say where {missing[0]} belongs")
    if "training" not in {split[name] for name in ids}:
        raise InputError(path, "leaves no case for training")
    return split
