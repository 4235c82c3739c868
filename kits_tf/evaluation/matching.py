"""Which prediction belongs to which reference or CT, and the JSON sidecar of a prediction."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np

from kits_tf import geometry
from kits_tf.data import kits19
from kits_tf.errors import InputError, UsageError
from kits_tf.io import dicom, nifti
from kits_tf.io.volume import Grid

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
    """Pair predictions with references, each a KiTS19-layout folder, a folder of label files or a label file.

    Args:
        predictions: Folder or file, named by `flag`.
        references: Folder or file.
        cases: Case numbers and ranges to look at; "" for all.
        flag: For the UsageError if one does not exist or is empty, or nothing belongs together.
    """
    found, known = find_labels(predictions, flag), find_labels(references, "references")
    wanted = {kits19.case_name(number) for number in kits19.parse_cases(cases)} if cases else set(found) | set(known)
    found, known = ({case: path for case, path in all_of.items() if case in wanted} for all_of in (found, known))
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
    """Return {prediction: its reference or CT} of equal names, or of single ones if the user named a file (`is_one`).

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
    return _by_case(path, flag, _files(path, kits19.LABEL_NAME), expected)


def find_images(path: Path, flag: str = "images") -> dict[str, Path | dicom.Series]:
    """Return a CT file, or the CTs in a folder (see `find_labels`) or its DICOM series."""
    files = [file for file in _files(path, kits19.IMAGE_NAME) if file == path or not _is_result(file)]
    if path.is_dir() and not files and dicom.holds_dicom(path):
        try:
            return {series.name: series for series in dicom.find_series(path)}
        except (InputError, UsageError) as error:
            raise UsageError(flag, error.reason if isinstance(error, UsageError) else str(error)) from None
    expected = f"CTs (.nii.gz, .nii), DICOM series or case_NNNNN folders with an {kits19.IMAGE_NAME}"
    return dict(_by_case(path, flag, files, expected).items())


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
    distance_mm = geometry.corner_distance_mm(grid.shape, grid.affine, other.affine)
    if distance_mm > _TOLERANCE * min(other.spacing_mm):
        raise InputError(path, f"lies up to {distance_mm:.2f} mm away from its counterpart (another affine)")


def read_sidecar(label_path: Path) -> dict[str, Any]:
    """Return the JSON that kits-predict wrote beside a label file; empty if there is none or it is damaged."""
    try:
        found = json.loads(label_path.with_name(f"{nifti.stem(label_path)}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def is_kidney_only(sidecar: Mapping[str, Any], labels: np.ndarray) -> bool:
    """Return whether no tumor network ran: the sidecar's tumor is null, and no one has drawn a tumor since."""
    return sidecar.get("tumor_ml", 0) is None and not (labels > 1).any()


def _by_case(path: Path, flag: str, files: list[Path], expected: str) -> dict[str, Path]:
    """Return the first file of each case."""
    if not path.exists():
        raise UsageError(flag, f"{path}: no such file or folder")
    if not files:
        raise UsageError(flag, f"{path} must hold {expected}")
    return {case_id(file): file for file in reversed(files)}


def _files(path: Path, name: str) -> list[Path]:
    """Return a file itself, or the files in a folder: that called `name`, else NIfTI files and those of case folders.

    Those named by kits-predict come first; hidden files and probabilities are left out.
    """
    if not path.is_dir() or (path / name).is_file():
        return [path / name if path.is_dir() else path]
    files = [file for file in sorted(path.iterdir()) if nifti.is_nifti(file) and file.is_file()]
    files = [file for file in files if not file.name.endswith(_PROBABILITIES)]
    return sorted(files, key=lambda file: not _is_result(file)) + sorted(path.glob(f"case_?????/{name}"))


def _is_result(path: Path) -> bool:
    """Return whether a file is named as kits-predict names its labels."""
    return path.name.startswith("prediction_") or nifti.stem(path).endswith(_RESULT)
