"""Splits by patient: drawn by hash, so that they are equal on every machine, or read from a file."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import pathlib
from typing import TYPE_CHECKING

from kits_tf.config import SPLITS
from kits_tf.errors import InputError, UsageError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence


@dataclasses.dataclass(frozen=True)
class Split:
    """How to split cases."""

    num_validation: int = 27
    num_test: int = 27
    seed: int = 0
    num_folds: int = 0  # of the cases that are not for testing, for cross-validation; 0 for none
    fold: int = 0  # for validation, in place of `num_validation` cases
    path: str | None = None  # of a given split, in place of a draw; see `read_split_file`

    def apply(self, ids: Sequence[str]) -> dict[str, dict[str, str | int | None]]:
        """Return the "split" of each case id, and its "fold" if there are folds.

        Raises:
            UsageError: No case is left for training, or there are fewer cases than folds.
            InputError: The split file is unusable.
        """
        if self.num_folds:
            folds = fold_cases(ids, self.num_folds, self.num_test, self.seed)
            names = {None: "test", self.fold: "validation"}
            return {name: {"split": names.get(fold, "training"), "fold": fold} for name, fold in folds.items()}
        if self.path is None:
            split = split_cases(ids, self.num_validation, self.num_test, self.seed)
        else:
            split = read_split_file(self.path, ids)
        return {name: {"split": split[name]} for name in ids}


def shuffled(ids: Iterable[str], seed: int) -> list[str]:
    """Return the ids sorted by the SHA-256 of "seed:id": adding or removing one keeps the order of the others."""
    return sorted(ids, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def split_cases(ids: Sequence[str], num_validation: int, num_test: int, seed: int) -> dict[str, str]:
    """Return "training", "validation" or "test" by case id; in KiTS19 each case is a different patient.

    Example:
        >>> split_cases(["case_00000", "case_00001", "case_00002"], num_validation=1, num_test=1, seed=0)
        {'case_00000': 'test', 'case_00001': 'validation', 'case_00002': 'training'}
    """
    order = shuffled(ids, seed)
    if len(order) <= num_validation + num_test:
        reason = f"{num_validation} validation and {num_test} test cases of {len(order)} leave none for training"
        raise UsageError("num_validation", f"{reason}; choose fewer, such as --num_validation=0 --num_test=0")
    split = dict.fromkeys(order[:num_test], "test")
    split |= dict.fromkeys(order[num_test : num_test + num_validation], "validation")
    return {name: split.get(name, "training") for name in ids}


def fold_cases(ids: Sequence[str], num_folds: int, num_test: int, seed: int) -> dict[str, int | None]:
    """Return the fold by case id, None for the test cases of `split_cases`; folds differ by at most one case."""
    order = shuffled(ids, seed)[num_test:]
    if len(order) < num_folds:
        raise UsageError("num_folds", f"must be at most {len(order)}, the cases that are not for testing")
    folds = {name: position % num_folds for position, name in enumerate(order)}
    return {name: folds.get(name) for name in ids}


def read_split_file(path: str | os.PathLike[str], ids: Iterable[str]) -> dict[str, str]:
    """Return "training", "validation" or "test" by id, of every case in a file.

    Args:
        path: JSON such as {"training": ["case_00000", ...], "validation": [...], "test": [...]}.
        ids: Cases that must be in it.

    Raises:
        InputError: The file is unreadable, repeats a case, lacks one of `ids`, or has none of them for training.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        named = [(name, split) for split in content for name in content[split]]
        if not set(content) <= set(SPLITS) or not all(isinstance(name, str) for name, _ in named):
            raise ValueError
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})") from None
    except (ValueError, TypeError):
        raise InputError(path, f"must be JSON with lists of case ids under {', '.join(SPLITS)}") from None
    split = dict(named)
    if len(split) < len(named):
        [(repeated, _)] = collections.Counter(name for name, _ in named).most_common(1)
        raise InputError(path, f"{repeated} is repeated")
    missing = [name for name in ids if name not in split]
    if missing:
        raise InputError(path, f"{missing[0]} is missing")
    if "training" not in {split[name] for name in ids}:
        raise InputError(path, "no case is left for training")
    return split
