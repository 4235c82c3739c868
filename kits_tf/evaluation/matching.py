"""Match predictions with their references or CTs, and read the JSON sidecars of predictions."""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kits_tf import files, geometry
from kits_tf.data import kits19, records
from kits_tf.errors import InputError, UsageError
from kits_tf.io import nifti, volume
from kits_tf.io.volume import Grid

_CASE = re.compile(r"(?:case|prediction)_(\d{5})")
_RESULT = "_segmentation"  # appended by kits-predict to the name of a CT that is not a KiTS19 case
_PROBABILITIES = tuple(kits19.PROBABILITY_SUFFIXES.values())
_TOLERANCE = 0.1  # of a voxel's shortest side, since headers are rounded
NAMING = (
    "labels belong to the CT that their JSON names by its digest, else to that of their name: labels of "
    "case_NNNNN/imaging.nii.gz are prediction_NNNNN.nii.gz, case_NNNNN.nii.gz or case_NNNNN/segmentation.nii.gz; "
    "labels of NAME.nii.gz are NAME_segmentation.nii.gz"
)


class Other(NamedTuple):
    """A CT or reference that a prediction may belong to: its names, and a function that hashes its CT."""

    names: Collection[str]
    digest: Callable[[], str | None]  # None if there is no CT or it cannot be read


@dataclasses.dataclass(frozen=True)
class Match:
    """Pairs by case, references without a prediction, predictions without a reference, and cases with neither."""

    pairs: dict[str, tuple[Path, Path]]
    missing: dict[str, Path]
    extra: list[Path]
    absent: list[str]


def match(
    predictions: Path, references: Path, cases: str = "", flag: str = "predictions", split: str | None = None
) -> Match:
    """Pair predictions with references, each a label file or any tree of them, such as the KiTS19 layout.

    Args:
        predictions: Folder or file, named by `flag`.
        references: Folder or file, or a prepared folder.
        cases: Case numbers and ranges to look at; "" for all.
        split: Split of the prepared folder to look at; None for all.
        flag: Named by the UsageError if a folder is missing or empty, nothing matches, or two predictions are of one
            case.
    """
    found = find_labels(predictions, flag)
    known = find_labels(references, "references", ct_digests(found.values()))
    wanted = {kits19.case_name(number) for number in kits19.parse_cases(cases)} if cases else set(found) | set(known)
    wanted &= split_cases([references], split) if split else wanted
    found, known = ({case: path for case, path in all_of.items() if case in wanted} for all_of in (found, known))
    partners = counterparts(found, as_others(known, references), references.is_file())
    if not partners:
        raise UsageError(flag, f"{predictions} holds no labels of the requested cases of {references}; {NAMING}")
    predicted = _by_case(((partner, found[case]) for case, partner in partners.items()), flag)
    pairs = {case: (path, known[case]) for case, path in predicted.items()}
    return Match(
        pairs=dict(sorted(pairs.items())),
        missing={} if predictions.is_file() else {case: known[case] for case in sorted(set(known) - set(pairs))},
        extra=[] if references.is_file() else [found[case] for case in sorted(set(found) - set(partners))],
        absent=sorted(wanted - set(known) - set(found)),
    )


def counterparts(predictions: Mapping[str, Path], others: Mapping[str, Other], is_one: bool = False) -> dict[str, str]:
    """Return {prediction: its reference or CT}.

    They match if the prediction's sidecar has the digest of the other's CT, else if no others share their name; also
    if they are the only two and the user named a file (`is_one`).

    Example:
        >>> counterparts({"case_00001": Path("a.nii")}, {"b": Other(["case_00001"], lambda: None)})
        {'case_00001': 'b'}
    """
    if is_one and len(predictions) == len(others) == 1:
        return dict(zip(predictions, others, strict=True))
    named: dict[str, list[str]] = collections.defaultdict(list)
    for other, one in others.items():
        for name in set(one.names):
            named[name].append(other)
    digests = {case: read_sidecar(path).get("input_digest") for case, path in predictions.items()}
    digests = {case: digest for case, digest in digests.items() if digest}
    pairs: dict[str, str] = {}
    for case, digest in digests.items():  # those of the same name first, so that few CTs are hashed
        alike = [other for other in named[case] if others[other].digest() == digest]
        pairs |= {case: alike[0]} if len(alike) == 1 else {}
    if set(digests) - set(pairs):
        holders: dict[str | None, list[str]] = collections.defaultdict(list)
        for other in others:
            holders[others[other].digest()].append(other)
        alone = {case: holders[digest][0] for case, digest in digests.items() if len(holders[digest]) == 1}
        pairs = alone | pairs
    for case in predictions:
        if case not in pairs and len(free := set(named[case]) - set(pairs.values())) == 1:
            pairs |= {case: free.pop()}
    return dict(sorted(pairs.items()))


def find_labels(path: Path, flag: str, cts: Collection[str] = ()) -> dict[str, Path]:
    """Return the label files of a tree or of a prepared folder, or the one file, by case.

    A case is named after its file (see `case_id`), and also after its folders if several files share a name. Files
    with one of the digests `cts` are CTs, not labels. Raises a UsageError for `flag` if there are no labels.
    """
    if not path.exists():
        raise UsageError(flag, f"{path}: no such file or folder")
    if not path.is_dir():
        return {case_id(path): path}
    if records.is_prepared(path):
        return {records.case_of(record): Path(record) for record in records.find_records(path)}
    by_place: dict[tuple[str, Path], Path] = {}
    for folder, paths in walk(path):
        labels = [file for file in paths if nifti.is_nifti(file) and not file.name.endswith(_PROBABILITIES)]
        labels = [file for file in labels if file.name == kits19.LABEL_NAME] or [
            file
            for file in labels
            if file.name != kits19.IMAGE_NAME and (_is_result(file) or not cts or _digest(file) not in cts)
        ]
        for file in sorted(labels, key=lambda file: not _is_result(file)):
            is_of_folder = file.name == kits19.LABEL_NAME and folder != path
            by_place.setdefault((case_id(file), folder.parent if is_of_folder else folder), file)
    if not by_place:
        expected = f"label files (.nii.gz, .nii) or case_NNNNN folders with a {kits19.LABEL_NAME}"
        raise UsageError(flag, f"{path} must hold {expected}")
    count = collections.Counter(case for case, _ in by_place)
    named = ((case if count[case] == 1 else _long_name(file, path), file) for (case, _), file in by_place.items())
    return _by_case(named, flag)


def split_cases(folders: Collection[Path | str], split: str) -> set[str]:
    """Return the cases of a split of prepared folders; other folders are ignored unless none is prepared."""
    prepared = [folder for folder in folders if records.is_prepared(folder)]
    if not prepared:
        raise UsageError("split", f"needs a folder of kits-prepare, got {' and '.join(map(str, folders))}")
    return {case for folder in prepared for case, own in records.split_of(folder).items() if own == split}


def read_labels(path: Path) -> tuple[np.ndarray, Grid]:
    """Return the labels of a NIfTI file or a prepared case, uint8, and their grid."""
    return records.read_labels(path) if records.is_record(path) else volume.read_labels(path)


def as_others(labels: Mapping[str, Path], root: Path) -> dict[str, Other]:
    """Return the references that `find_labels` found in `root`; the only CT in a reference's folder is its CT."""
    return {
        case: Other(
            {case, case_id(path), _long_name(path, root)}, functools.cache(functools.partial(_ct_digest, path))
        )
        for case, path in labels.items()
    }


def walk(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield the folders of a tree with their files, see `files.walk`; prepared folders and KiTS19 cases are leaves."""
    return files.walk(root, _is_leaf)


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


def ct_digests(predictions: Iterable[Path]) -> set[str]:
    """Return the digests of the predictions' CTs that their sidecars record."""
    return {digest for path in predictions if (digest := read_sidecar(path).get("input_digest"))}


def is_kidney_only(sidecar: Mapping[str, Any], labels: np.ndarray) -> bool:
    """Return whether no tumor network ran: the sidecar's tumor is null, and nobody has drawn one since."""
    return sidecar.get("tumor_ml", 0) is None and not (labels > 1).any()


def _is_leaf(folder: Path) -> bool:
    """Return whether a folder is prepared data or a KiTS19 case."""
    return records.is_prepared(folder) or kits19.case_number(folder.resolve().name) is not None


def _by_case(files: Iterable[tuple[str, Path]], flag: str) -> dict[str, Path]:
    """Return label files by case; raise a UsageError for `flag` if two have the same case."""
    found: dict[str, Path] = {}
    for case, path in files:
        if (other := found.setdefault(case, path)) != path:
            raise UsageError(flag, f"{other} and {path} are labels of one case, {case}; remove or rename one")
    return found


def _long_name(path: Path, root: Path) -> str:
    """Return the case of a label file with its folders below `root`."""
    folders: Sequence[str] = path.parent.relative_to(root).parts if root.is_dir() else ()
    if path.name == kits19.LABEL_NAME and folders and case_id(path) == folders[-1]:
        folders = folders[:-1]
    return "_".join([*folders, case_id(path)])


def _ct_digest(path: Path) -> str | None:
    """Return the digest of the only NIfTI file beside a reference, predictions left out; None without one."""
    others = [file for file in path.parent.iterdir() if nifti.is_nifti(file) and not _is_result(file)]
    others = [file for file in others if file.name != path.name and file.name[0] != "."]
    return _digest(others[0]) if len(others) == 1 else None


def _digest(path: Path) -> str | None:
    """Return the digest of a file, None if it cannot be read."""
    try:
        return files.digest(path)
    except InputError:
        return None


def _is_result(path: Path) -> bool:
    """Return whether a file is named as kits-predict names its labels."""
    return path.name.startswith("prediction_") or nifti.stem(path).endswith(_RESULT)
