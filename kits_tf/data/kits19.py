"""The KiTS19 folder layout: `case_00000/imaging.nii.gz` and `case_00000/segmentation.nii.gz`."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from typing import TYPE_CHECKING

from kits_tf.errors import UsageError

if TYPE_CHECKING:
    import os

IMAGE_NAME = "imaging.nii.gz"
LABEL_NAME = "segmentation.nii.gz"
PROBABILITY_SUFFIXES = {stage: f"_{stage}_probability.nii.gz" for stage in ("kidney", "tumor")}  # beside predictions
NUM_LABELLED = 210
"""Cases 0 to 209 have public labels; those up to NUM_CASES were the challenge's test set."""

NUM_CASES = 300
_CASE_FOLDER = re.compile(r"case_(\d{5})")
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


@dataclasses.dataclass(frozen=True)
class Case:
    """A `case_NNNNN` folder; `image` and `label` are None where the file is missing."""

    id: str
    folder: pathlib.Path
    image: pathlib.Path | None
    label: pathlib.Path | None

    @property
    def number(self) -> int:
        """The case number: 7 for `case_00007`."""
        return int(self.id.removeprefix("case_"))


def case_name(number: int) -> str:
    """Return the id of a case: `case_00007` for 7."""
    return f"case_{number:05d}"


def case_number(name: str) -> int | None:
    """Return the number of a case id, None if `name` is not one."""
    return int(match[1]) if (match := _CASE_FOLDER.fullmatch(name)) else None


def prediction_name(case: str) -> str:
    """Return the challenge's file name for predicted labels: `prediction_00007.nii.gz` for `case_00007`."""
    return f"prediction_{case.removeprefix('case_')}.nii.gz"


def find_cases(data_dir: str | os.PathLike[str]) -> list[Case]:
    """Return the case of each `case_NNNNN` folder in `data_dir`, sorted by id; none if `data_dir` is missing."""
    data_dir = pathlib.Path(data_dir)
    folders = data_dir.iterdir() if data_dir.is_dir() else ()
    return [case_at(path) for path in sorted(folders) if _CASE_FOLDER.fullmatch(path.name) and path.is_dir()]


def case_at(folder: str | os.PathLike[str]) -> Case:
    """Return the Case of one `case_NNNNN` folder, which may be missing."""
    folder = pathlib.Path(folder)
    image, label = folder / IMAGE_NAME, folder / LABEL_NAME
    return Case(folder.name, folder, image if image.is_file() else None, label if label.is_file() else None)


def parse_cases(text: str) -> list[int]:
    """Return the case numbers of a `--cases` flag, sorted; raise UsageError if it is malformed.

    Example:
        >>> parse_cases("160,0-2")
        [0, 1, 2, 160]
    """
    numbers: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise UsageError("cases", f"must be case numbers and ranges such as 0-9,160, got {part.strip()!r}")
        numbers.update(range(first, last + 1))
    return sorted(numbers)
