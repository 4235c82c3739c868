"""Which prediction belongs to which reference: by name in folders, file against file otherwise."""

import dataclasses
import pathlib
import re

import numpy as np

from kits_tf.data import kits19
from kits_tf.errors import InputError, UsageError
from kits_tf.io import dicom, nifti

_CASE = re.compile(r"(?:case|prediction)_(\d{5})")
_RESULT = "_segmentation"  # what kits-predict adds to the name of a CT that is no KiTS19 case
_PROBABILITIES = tuple(kits19.PROBABILITY_SUFFIXES.values())
_TOLERANCE = 0.1  # of a voxel's shortest side: what rounding in headers may displace a corner of the grid


@dataclasses.dataclass(frozen=True)
class Match:
    """Files by case id.

    Attributes:
        pairs: {id: (prediction, reference)}.
        without: {id: reference} of references without a prediction.
        extra: prediction files without a reference.
        absent: ids of the cases asked for that have neither.
    """

    pairs: dict
    without: dict
    extra: list
    absent: list = dataclasses.field(default_factory=list)

    @property
    def missing(self):
        """Ids of references without a prediction."""
        return list(self.without)


def match(predictions, references, cases="", flag="predictions"):
    """Pairs predictions with references.

    In a folder, `prediction_00210.nii.gz`, `case_00210.nii.gz` and the folder `case_00210` with its
    `segmentation.nii.gz` all stand for case_00210 (the first of these that is there); any other NIfTI file goes by its
    name, `scan_segmentation.nii.gz` as `scan`. Two files belong together whatever their names.

    Args:
        predictions: a folder or a file.
        references: a folder or a file; a KiTS19-layout folder as a rule.
        cases: case numbers and ranges that alone are looked at; "" for all.
        flag: the flag that named the predictions, for errors.

    Returns:
        A `Match`, ids sorted.

    Raises:
        UsageError: one of the two is not there or empty, or nothing belongs together.
    """
    predictions, references = pathlib.Path(predictions), pathlib.Path(references)
    wanted = set(map(kits19.case_name, kits19.parse_cases(cases))) if cases else None
    found = find_labels(predictions, flag, wanted)
    known = find_labels(references, "references", wanted)
    if predictions.is_file() and references.is_file():
        name = next(iter(known))
        return Match({name: (predictions, references)}, {}, [])
    common = [name for name in sorted(known) if name in found]
    if not common:
        first = min(known)
        such = f"such as {expected_file(flag, first)} for {first}"
        raise UsageError(flag, f"{predictions} holds nothing for the cases of {references}, {such}")
    one_asked_for = predictions.is_file()
    return Match(
        pairs={name: (found[name], known[name]) for name in common},
        without={} if one_asked_for else {name: known[name] for name in sorted(set(known) - set(found))},
        extra=[] if references.is_file() else [found[name] for name in sorted(set(found) - set(known))],
        absent=sorted((wanted or set()) - set(known) - set(found)),
    )


def find_images(path, flag="images"):
    """The CTs of a folder, or the one file, by the id under which `find_labels` finds their labels.

    Args:
        path: pathlib.Path of a KiTS19-layout folder, a case folder, a folder of NIfTI files or a file; or of a folder
            with none of these and DICOM series in it or below it.
        flag: the flag that named it, for the error.

    Returns:
        {id: path}, or {name: `dicom.Series`}.

    Raises:
        UsageError: there is no such file or folder, or no CT in it, or its DICOM files cannot be read.
    """
    if path.is_dir() and not _images(path) and dicom.holds_dicom(path):
        return _series(path, flag)
    takes = f"CTs (.nii.gz, .nii), DICOM series or case_NNNNN folders with an {kits19.IMAGE_NAME}"
    return _by_id(path, flag, _images, takes)


def find_labels(path, flag, wanted=None):
    """The label files of a folder, or the one file, by case id.

    Args:
        path: pathlib.Path of a folder or a file.
        flag: the flag that named it, for the error.
        wanted: set of ids that alone are taken; None for all.

    Raises:
        UsageError: there is no such file or folder, or none of the files wanted is in it.
    """
    takes = f"label files (.nii.gz, .nii) or case_NNNNN folders with a {kits19.LABEL_NAME}"
    found = _by_id(path, flag, _labels, takes)
    if wanted is None:
        return found
    found = {name: candidate for name, candidate in found.items() if name in wanted}
    if not found:
        such = expected_file(flag, min(wanted))
        raise UsageError(flag, f"{path} holds none of the cases of --cases, such as {such}")
    return found


def expected_file(flag, name):
    """The file that a case or CT has in the folder of a flag, as errors name it for an example.

    Args:
        flag: "images" for the CT, "references" for labels beside it, any other for what kits-predict writes.
        name: as `case_id` gives it.
    """
    if kits19.case_number(name) is None:
        return f"{name}.nii.gz" if flag == "images" else f"{name}{_RESULT}.nii.gz"
    beside = {"images": kits19.IMAGE_NAME, "references": kits19.LABEL_NAME}
    return f"{name}/{beside[flag]}" if flag in beside else kits19.prediction_name(name)


def case_id(path):
    """What a label file or a CT is about: its KiTS19 case, or its own name without `_segmentation`."""
    stem = nifti.stem(path)
    if path.name in (kits19.LABEL_NAME, kits19.IMAGE_NAME) and _CASE.fullmatch(path.resolve().parent.name):
        stem = path.resolve().parent.name
    number = _CASE.fullmatch(stem)
    return kits19.case_name(int(number.group(1))) if number else stem.removesuffix(_RESULT)


def check_same_grid(path, grid, other):
    """Refuses two grids that differ in shape, or place a corner of the volume elsewhere.

    Args:
        path: the file that the error names.
        grid: its `Grid`.
        other: the `Grid` it should have.

    Raises:
        InputError: they differ by more than a tenth of a voxel's shortest side.
    """
    if tuple(grid.shape) != tuple(other.shape):
        raise InputError(path, f"has {_times(grid.shape)} voxels, its counterpart {_times(other.shape)}")
    corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)]) * [*grid.shape, 1]
    distance_mm = np.linalg.norm((corners @ (grid.affine - other.affine).T)[:, :3], axis=1).max()
    if distance_mm > _TOLERANCE * min(other.spacing_mm):
        raise InputError(path, f"lies up to {distance_mm:.2f} mm away from its counterpart (another affine)")


def _times(shape):
    return "x".join(map(str, shape))


def _by_id(path, flag, candidates, takes):
    """{id: file} of a folder's candidates, the first of each id, or of the one file."""
    if not path.exists():
        raise UsageError(flag, f"{path}: no such file or folder")
    found = {}
    for candidate in [path] if path.is_file() else candidates(path):
        found.setdefault(case_id(candidate), candidate)
    if not found:
        raise UsageError(flag, f"{path} holds no {takes}")
    return found


def _labels(folder):
    """The label files of a folder in the order in which they are preferred."""
    if (folder / kits19.LABEL_NAME).is_file():
        return [folder / kits19.LABEL_NAME]
    files = sorted(_nifti_files(folder), key=lambda path: not _is_result(path))
    return files + [case.label for case in kits19.find_cases(folder) if case.label]


def _images(folder):
    """The CTs of a folder in the order in which they are preferred."""
    if (folder / kits19.IMAGE_NAME).is_file():
        return [folder / kits19.IMAGE_NAME]
    files = [path for path in _nifti_files(folder) if not _is_result(path)]
    return files + [case.image for case in kits19.find_cases(folder) if case.image]


def _series(folder, flag):
    """{name: `dicom.Series`} of a folder that holds DICOM files."""
    try:
        return {one.name: one for one in dicom.find_series(folder)}
    except (InputError, UsageError) as error:
        raise UsageError(flag, error.reason if isinstance(error, UsageError) else str(error)) from None


def _nifti_files(folder):
    """The NIfTI files of a folder, without hidden ones and without probabilities that lie beside predictions."""
    names = (path for path in folder.iterdir() if nifti.is_nifti(path))
    files = (path for path in names if not path.name.endswith(_PROBABILITIES))
    return sorted(path for path in files if path.is_file())


def _is_result(path):
    """Whether a file is named as kits-predict names what it writes."""
    return path.name.startswith("prediction_") or nifti.stem(path).endswith(_RESULT)
