"""Which prediction belongs to which reference or CT, and the JSON sidecar of a prediction."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable, Mapping, Set
from typing import Any, TypeVar

import numpy as np

from kits_tf.data import kits19
from kits_tf.errors import InputError, UsageError
from kits_tf.io import dicom, nifti
from kits_tf.io.volume import Grid

Path = pathlib.Path
Item = TypeVar("Item")

_CASE = re.compile(r"(?:case|prediction)_(\d{5})")
_RESULT = "_segmentation"  # kits-predict adds this to the name of a CT that is not a KiTS19 case
_PROBABILITIES = tuple(kits19.PROBABILITY_SUFFIXES.values())
_TOLERANCE = 0.1  # of a voxel's shortest side: headers are rounded
NAMING = (
    "labels of case_NNNNN/imaging.nii.gz are prediction_NNNNN.nii.gz, case_NNNNN.nii.gz or "
    "case_NNNNN/segmentation.nii.gz; labels of NAME.nii.gz are NAME_segmentation.nii.gz"
)


@dataclasses.dataclass(frozen=True)
class Match:
    """Predictions and references by case, references without a prediction, the converse, and cases without either."""

    pairs: dict[str, tuple[Path, Path]]
    missing: dict[str, Path]
    extra: list[Path]
    absent: list[str]


def match(predictions: Path, references: Path, cases: str = "", flag: str = "predictions") -> Match:
    """Pair predictions with references.

    Args:
        predictions: A folder or a label file.
        references: A KiTS19-layout folder, a folder of label files or a label file.
        cases: Case numbers and ranges to look at; "" for all.
        flag: The flag that named the predictions, for errors.

    Raises:
        UsageError: One of them does not exist or is empty, or nothing belongs together.
    """
    found, known = find_labels(predictions, flag), find_labels(references, "references")
    wanted = {kits19.case_name(number) for number in kits19.parse_cases(cases)} if cases else set(found) | set(known)
    found = {case: path for case, path in found.items() if case in wanted}
    known = {case: path for case, path in known.items() if case in wanted}
    partners = counterparts(found, known, references.is_file())
    if not partners:
        raise UsageError(flag, f"{predictions} holds no labels of the requested cases of {references}; {NAMING}")
    pairs = {partner: (found[case], known[partner]) for case, partner in partners.items()}
    return Match(
        pairs=dict(sorted(pairs.items())),
        missing={} if predictions.is_file() else {case: known[case] for case in sorted(set(known) - set(pairs))},
        extra=[] if references.is_file() else [found[case] for case in sorted(set(found) - set(partners))],
        absent=sorted(wanted - set(known) - set(found)),
    )


def counterparts(predictions: Set[str] | Mapping[str, Any], others: Mapping[str, Any], is_one: bool) -> dict[str, str]:
    """Return {prediction: its reference or CT} of those that belong together.

    They have the same case or name; but a single prediction belongs to a reference or CT that the user named as one
    file (`is_one`), whatever their names.

    Example:
        >>> counterparts({"case_00001", "b"}, {"case_00001": "imaging.nii.gz"}, False)
        {'case_00001': 'case_00001'}
    """
    if is_one and len(predictions) == len(others) == 1:
        return dict(zip(predictions, others, strict=True))
    return {case: case for case in sorted(predictions) if case in others}


def find_labels(path: Path, flag: str) -> dict[str, Path]:
    """Return the label files of a folder, or the one file, by case; raise a UsageError for `flag` if there is none."""
    expected = f"label files (.nii.gz, .nii) or case_NNNNN folders with a {kits19.LABEL_NAME}"
    return _by_case(path, flag, _labels, expected)


def find_images(path: Path, flag: str = "images") -> dict[str, Path | dicom.Series]:
    """Return the CTs of a folder, or the one file, by the case under which `find_labels` finds their labels.

    DICOM series, in a folder or below it, count if it holds neither NIfTI files nor case folders.

    Raises:
        UsageError: `path` does not exist, holds no CT, or its DICOM files cannot be read.
    """
    if path.is_dir() and not _images(path) and dicom.holds_dicom(path):
        try:
            return {series.name: series for series in dicom.find_series(path)}
        except (InputError, UsageError) as error:
            raise UsageError(flag, error.reason if isinstance(error, UsageError) else str(error)) from None
    expected = f"CTs (.nii.gz, .nii), DICOM series or case_NNNNN folders with an {kits19.IMAGE_NAME}"
    return {case: image for case, image in _by_case(path, flag, _images, expected).items()}


def case_id(path: Path) -> str:
    """Return the KiTS19 case of a label file or CT; else its name without `_segmentation`.

    Example:
        >>> case_id(Path("out/prediction_00210.nii.gz")), case_id(Path("scan_segmentation.nii.gz"))
        ('case_00210', 'scan')
    """
    stem = nifti.stem(path)
    if path.name in (kits19.LABEL_NAME, kits19.IMAGE_NAME) and _CASE.fullmatch(path.resolve().parent.name):
        stem = path.resolve().parent.name
    number = _CASE.fullmatch(stem)
    return kits19.case_name(int(number[1])) if number else stem.removesuffix(_RESULT)


def check_same_grid(path: str | Path, grid: Grid, other: Grid) -> None:
    """Raise an InputError for `path` if its grid differs in shape, or by over a tenth of a voxel in position."""
    if tuple(grid.shape) != tuple(other.shape):
        shapes = ["x".join(map(str, shape)) for shape in (grid.shape, other.shape)]
        raise InputError(path, f"has {shapes[0]} voxels, its counterpart {shapes[1]}")
    corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)]) * [*grid.shape, 1]
    distance_mm = np.linalg.norm((corners @ (grid.affine - other.affine).T)[:, :3], axis=1).max()
    if distance_mm > _TOLERANCE * min(other.spacing_mm):
        raise InputError(path, f"lies up to {distance_mm:.2f} mm away from its counterpart (another affine)")


def read_sidecar(label_path: Path) -> dict[str, Any]:
    """Return the JSON that kits-predict wrote beside a label file; empty if there is none or it is damaged."""
    try:
        found = json.loads(label_path.with_name(f"{nifti.stem(label_path)}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def is_kidney_only(sidecar: Mapping[str, Any], labels: np.ndarray) -> bool:
    """Return whether no tumor network ran: the sidecar's tumor is null, and no one has drawn a tumor since."""
    return sidecar.get("tumor_ml", 0) is None and not (labels > 1).any()


def _by_case(path: Path, flag: str, find: Callable[[Path], list[Path]], expected: str) -> dict[str, Path]:
    """Return the files that `find` finds in a folder, the first of each case, or the one file."""
    if not path.exists():
        raise UsageError(flag, f"{path}: no such file or folder")
    found: dict[str, Path] = {}
    for file in [path] if path.is_file() else find(path):
        found.setdefault(case_id(file), file)
    if not found:
        raise UsageError(flag, f"{path} must hold {expected}")
    return found


def _labels(folder: Path) -> list[Path]:
    """Return the label files of a folder, those named by kits-predict first."""
    files = sorted(_nifti_files(folder), key=lambda path: not _is_result(path))
    return _case_files(folder, kits19.LABEL_NAME, files)


def _images(folder: Path) -> list[Path]:
    """Return the CTs of a folder."""
    files = [path for path in _nifti_files(folder) if not _is_result(path)]
    return _case_files(folder, kits19.IMAGE_NAME, files)


def _case_files(folder: Path, name: str, others: list[Path]) -> list[Path]:
    """Return the file of a case folder, or other files and those of case folders in the folder."""
    own = folder / name
    return [own] if own.is_file() else others + sorted(folder.glob(f"case_?????/{name}"))


def _nifti_files(folder: Path) -> list[Path]:
    """Return the NIfTI files of a folder, without hidden ones and probabilities."""
    files = (path for path in sorted(folder.iterdir()) if nifti.is_nifti(path) and path.is_file())
    return [path for path in files if not path.name.endswith(_PROBABILITIES)]


def _is_result(path: Path) -> bool:
    """Return whether a file is named as kits-predict names its labels."""
    return path.name.startswith("prediction_") or nifti.stem(path).endswith(_RESULT)
