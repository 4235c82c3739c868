"""The KiTS19 folder layout: `case_00000/imaging.nii.gz` and `case_00000/segmentation.nii.gz`."""

import dataclasses
import pathlib
import re

from kits_tf.errors import UsageError

IMAGE_NAME = "imaging.nii.gz"
LABEL_NAME = "segmentation.nii.gz"
PROBABILITY_SUFFIXES = {stage: f"_{stage}_probability.nii.gz" for stage in ("kidney", "tumor")}  # beside predictions
NUM_LABELLED = 210  # cases whose labels are public; those after them, up to NUM_CASES, were the challenge's test
NUM_CASES = 300
CASE_FOLDER = re.compile(r"case_(\d{5})")
RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


@dataclasses.dataclass(frozen=True)
class Case:
    """One case's files; a file that is not there is None."""

    id: str
    folder: pathlib.Path
    image: pathlib.Path | None
    label: pathlib.Path | None

    @property
    def number(self):
        """The case's number: 7 for `case_00007`."""
        return case_number(self.id)


def case_name(number):
    """The id of a case: `case_00007` for 7."""
    return f"case_{number:05d}"


def case_number(name):
    """The number of a case's id, None where `name` is not `case_NNNNN`."""
    match = CASE_FOLDER.fullmatch(name)
    return int(match.group(1)) if match else None


def prediction_name(case):
    """What the challenge calls the labels found in a case, by its id: `prediction_00007.nii.gz`."""
    return f"prediction_{case_number(case):05d}.nii.gz"


def find_cases(data_dir):
    """Every case folder of a KiTS19-layout folder, whether its files are there or not.

    Args:
        data_dir: the folder that holds `case_NNNNN` folders; anything else in it is passed over.

    Returns:
        List of Case, sorted by id; empty where `data_dir` is missing or holds no case.
    """
    data_dir = pathlib.Path(data_dir)
    if not data_dir.is_dir():
        return []
    folders = [path for path in data_dir.iterdir() if CASE_FOLDER.fullmatch(path.name) and path.is_dir()]
    return [case_at(folder) for folder in sorted(folders)]


def case_at(folder):
    """The Case of one `case_NNNNN` folder."""
    folder = pathlib.Path(folder)
    image, label = folder / IMAGE_NAME, folder / LABEL_NAME
    return Case(folder.name, folder, image if image.is_file() else None, label if label.is_file() else None)


def parse_cases(text):
    """The case numbers that `--cases` names.

    Args:
        text: numbers and ranges with both ends included, e.g. "0-9,160".

    Returns:
        Sorted list of int without repeats.

    Raises:
        UsageError: `text` is empty, is not of this form, or a range runs backwards.
    """
    numbers = set()
    for part in text.split(","):
        match = RANGE.fullmatch(part.strip())
        first, last = (int(match.group(1)), int(match.group(2) or match.group(1))) if match else (1, 0)
        if last < first:
            raise UsageError("cases", f"takes case numbers and ranges such as 0-9,160; {part.strip()!r} is neither")
        numbers.update(range(first, last + 1))
    return sorted(numbers)


def absent_cases(data_dir, text):
    """The cases that `--cases` names and that have no folder in `data_dir`, as `find_cases` gives others."""
    there = {case.number for case in find_cases(data_dir)}
    numbers = parse_cases(text) if text else []
    return [case_at(pathlib.Path(data_dir) / case_name(number)) for number in numbers if number not in there]


def select_cases(cases, text):
    """The cases among `cases` that `--cases` names; all of them where `text` is empty."""
    if not text:
        return list(cases)
    numbers = set(parse_cases(text))
    return [case for case in cases if case.number in numbers]
