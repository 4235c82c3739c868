"""Find the CTs named by `--input`, choose an output name for each, and open them."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import math
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from kits_tf import files
from kits_tf.data import kits19, records
from kits_tf.errors import InputError, UsageError
from kits_tf.evaluation import matching
from kits_tf.inference.outputs import is_output_of
from kits_tf.io import dicom, dicom_folder, nifti, privacy, volume
from kits_tf.io.volume import Volume

_ENDING = "_segmentation.nii.gz"


@dataclasses.dataclass(frozen=True, eq=False)
class Input:
    """One CT to segment; `fault` is why it cannot be, and is raised instead of reading it."""

    path: pathlib.Path  # the file, or the folder of a DICOM series
    output_name: str  # of its label file
    case: str | None = None  # KiTS19 case id
    series: dicom.Series | None = None
    fault: InputError | None = None

    @property
    def name(self) -> str:
        """Name in the sidecar and reports; never that of a patient in a DICOM series."""
        return self.case or (self.series.name if self.series else self.path.name)

    @property
    def where(self) -> str:
        """Name in messages; never that of a patient in a DICOM series."""
        return self.fault.path if self.fault else self.series.where if self.series else str(self.path)

    @functools.cached_property
    def digest(self) -> str:
        """Digest of the file, or of the images of the DICOM series: 16 hexadecimal digits."""
        if not self.series:
            return files.digest(self.path)
        uids = sorted(str(header.SOPInstanceUID) for header in self.series.headers)
        return hashlib.sha256("\n".join(uids).encode()).hexdigest()[:16]

    @property
    def voxels(self) -> int:
        """Number of voxels, from the header alone."""
        if self.series:
            return math.prod(dicom.stack(self.series).grid.shape)
        if records.is_record(self.path):
            return math.prod(int(size) for size in records.read_header(str(self.path))["full_shape"])
        return math.prod(volume.read_grid(self.path).shape)

    def read_ahead(self) -> None:
        """Start reading the CT in the background, for the next call of `read`."""
        pool = concurrent.futures.ThreadPoolExecutor(1)
        self.__dict__["_reading"] = pool.submit(self._read)
        pool.shutdown(wait=False)

    def read(self) -> Volume:
        """Read the CT; InputError if it cannot be read."""
        reading = self.__dict__.pop("_reading", None)
        return reading.result() if reading else self._read()

    def _read(self) -> Volume:
        if self.fault:
            raise self.fault
        self.digest  # noqa: B018  # before reading, so that the next run notices a change meanwhile
        if self.series:
            return dicom.read_series(self.series)
        return records.read_volume(self.path) if records.is_record(self.path) else volume.read_volume(self.path)


class Found(NamedTuple):
    """The CTs that `--input` names, and the names of skipped files, neither CTs nor outputs of this package."""

    inputs: list[Input]
    skipped: list[str]


def find_inputs(path: str | os.PathLike, series: str | None = None, split: str | None = None) -> Found:
    """Find the CTs of a NIfTI file, a DICOM series, a prepared folder, or any tree of these.

    Args:
        path: One of these, or a `.txt` file that lists several, one per line.
        series: Series Number or Series Instance UID of a DICOM series; None for all CTs.
        split: "training", "validation" or "test", to select prepared cases; None for all CTs.

    Returns:
        Every CT once, with a unique output name; one that cannot be used has the reason as its `fault`.

    Raises:
        UsageError: There is no such file or folder, no CT in it, no such series, or no case of the split.
    """
    path = pathlib.Path(path)
    inputs, skipped = _from_list(path) if path.is_file() and path.suffix.lower() == ".txt" else _find(path)
    if series:
        found = [f"{one.where}: {one.series.describe()}" for one in inputs if one.series]
        inputs = [one for one in inputs if one.series and series in (str(one.series.number), one.series.uid)]
        if not inputs:
            raise UsageError("series", f"must be one of the series in {path}: {'; '.join(found[:20]) or 'none'}")
    return Found(_with_own_names(_of_split(inputs, split, path) if split else inputs), skipped)


def _of_split(inputs: Sequence[Input], split: str, path: pathlib.Path) -> list[Input]:
    """Return the prepared cases of a split; raise UsageError if there are none."""
    cases = [one for one in inputs if records.is_record(one.path)]
    splits = {folder: records.split_of(folder) for folder in {one.path.parent.parent for one in cases}}
    found = [one for one in cases if splits[one.path.parent.parent][str(one.case)] == split]
    if not found:
        raise UsageError("split", f"must be one that kits-prepare made; {path} has no prepared case for {split}")
    return found


def share_of(inputs: Sequence[Input], shard: str) -> list[Input]:
    """Return the part of a list that `--shard=I/N` selects: every N-th from the I-th; UsageError if invalid."""
    try:
        number, count = map(int, shard.split("/"))
    except ValueError:
        number = count = 0
    if not 1 <= number <= count:
        raise UsageError("shard", f"must be I/N with I from 1 to N, such as 2/8, got {shard!r}")
    return list(inputs[number - 1 :: count])


def mask_path(folder: str | os.PathLike, source: Input) -> pathlib.Path:
    """Return the path of a CT's kidney mask, named like its output or as in KiTS19; InputError if there is none."""
    path = pathlib.Path(folder) / source.output_name
    in_layout = pathlib.Path(folder) / (source.case or "") / kits19.LABEL_NAME
    if not path.is_file() and not (source.case and in_layout.is_file()):
        raise InputError(path, f"no such file; it should be the kidney mask of {source.where}")
    return path if path.is_file() else in_layout


def read_mask(folder: str | os.PathLike, source: Input, ct: Volume) -> np.ndarray:
    """Return the kidney mask of a CT, bool on the CT's grid; InputError if the grids differ."""
    path = mask_path(folder, source)
    labels, grid = volume.read_labels(path)
    matching.check_same_grid(path, grid, ct.grid)
    return labels > 0


def from_file(path: pathlib.Path) -> Input:
    """Return the input of a NIfTI file; `case_00210/imaging.nii.gz` and `case_00210.nii.gz` are KiTS19 cases."""
    folder = path.parent.resolve().name
    is_of_case = path.name == kits19.IMAGE_NAME and kits19.case_number(folder) is not None
    source = _named(path, folder if is_of_case else nifti.stem(path))
    if path.is_file():
        return source
    return _faulty(source, nifti.NOT_A_FILE if path.exists() else "is a link to a file that does not exist")


def _named(path: pathlib.Path, name: str) -> Input:
    """Return an input with its output name, for a KiTS19 case the challenge's own: `prediction_00210.nii.gz`."""
    is_case = kits19.case_number(name) is not None
    return Input(path, kits19.prediction_name(name), name) if is_case else Input(path, f"{name}{_ENDING}")


def _faulty(source: Input, reason: str) -> Input:
    return dataclasses.replace(source, fault=InputError(source.where, reason))


def _from_list(path: pathlib.Path) -> Found:
    """Return the CTs of a file of paths, relative to its folder; a line that fails does not stop the others."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except ValueError:
        raise UsageError("input", f"{path} is not a text file of paths, one per line") from None
    inputs: list[Input] = []
    skipped: list[str] = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if line and not line.startswith("#"):
            try:
                part = _find(path.parent / line)
            except (InputError, UsageError) as error:
                reason = error.reason if isinstance(error, UsageError) else error
                part = Found([Input(path, "", fault=InputError(f"{path.name}, line {number}", reason))], [])
            inputs += part.inputs
            skipped += part.skipped
    if not inputs:
        raise UsageError("input", f"{path} lists nothing")
    return Found(inputs, skipped)


def _find(path: pathlib.Path) -> Found:
    """Return the CTs of a NIfTI file or a tree."""
    if path.is_file():
        if not nifti.is_nifti(path):
            hint = "; a DICOM series is named by its folder" if dicom_folder.is_dicom(path) else ""
            raise UsageError("input", f"{path} is not a NIfTI file (.nii or .nii.gz){hint}")
        return Found([from_file(path)], [])
    if not path.is_dir():
        raise UsageError("input", f"{path}: no such file or folder")
    inputs: list[Input] = []
    others: list[pathlib.Path] = []
    for folder, paths in matching.walk(path):
        if records.is_prepared(folder):
            inputs += [_named(pathlib.Path(file), records.case_of(file)) for file in records.find_records(folder)]
            continue
        cts = [one for one in paths if one.name == kits19.IMAGE_NAME] or list(filter(nifti.is_nifti, paths))
        inputs += map(from_file, cts)
        others += [one for one in paths if one not in cts]
    images = set(filter(dicom_folder.is_dicom, others))
    tree = dicom_folder.read_tree(path) if images else dicom_folder.Tree([], [], None)
    inputs += map(functools.partial(_from_series, path), tree.series)
    if tree.fault and (tree.series or not (inputs and tree.skipped)):  # other series next to CTs are no fault
        inputs = [source for source in inputs if not source.series] + [Input(path, "", fault=tree.fault)]
    inputs += [Input(path, "", fault=tree.lost)] if tree.lost else []
    stems = {source.output_name.removesuffix(".nii.gz") for source in inputs}
    inputs = [source for source in inputs if source.series or not is_output_of(source.path, stems)]
    if not inputs:
        raise UsageError("input", f"{path} holds no NIfTI file, no DICOM series and no prepared case")
    skipped = [one.text for one in tree.skipped if not all(is_output_of(file, stems) for file in one.paths)]
    known = {*(file for one in tree.skipped for file in one.paths)}
    known |= {pathlib.Path(header.filename) for one in tree.series for header in one.headers}
    if rest := [file for file in images - known if tree.series and not is_output_of(file, stems)]:
        skipped.append(f"other DICOM files ({len(rest)})")  # their names may name a patient
    skipped += dict.fromkeys(file.name for file in others if file not in images and not is_output_of(file, stems))
    return Found(inputs, skipped)


def _from_series(root: pathlib.Path, series: dicom.Series) -> Input:
    """Return a CT series of a tree, named after its own folder."""
    own = dicom_folder.own_folder(series.headers)
    if own != root:
        words = privacy.identifying_words(series.headers[0])
        name = privacy.safe_name(own.resolve().name, words, series.uid)
        series = dataclasses.replace(series, name=name, where=privacy.safe_path(own, words, series.uid))
    return dataclasses.replace(_named(own, series.name), series=series)


def _with_own_names(inputs: Iterable[Input]) -> list[Input]:
    """Return the inputs without duplicates, with unique output names; a `fault` where a name cannot be made unique."""
    once: dict[tuple, Input] = {}
    for one in inputs:
        once.setdefault((one.path.resolve(), one.series and one.series.uid, one.fault and str(one.fault)), one)
    result = list(once.values())
    for rename in (_renamed, _refused):
        groups: dict[object, list[Input]] = collections.defaultdict(list)
        for one in result:
            groups[one if one.fault else one.output_name].append(one)
        several = [group for group in groups.values() if len(group) > 1]
        renamed = {one: new for group in several for one, new in zip(group, rename(group), strict=True)}
        result = [renamed.get(one, one) for one in result]
    return result


def _renamed(group: list[Input]) -> list[Input]:
    """Prefix output names with the folders that differ, or append a digest to that of a DICOM series."""
    common = os.path.commonpath([one.path.parent.absolute() for one in group])
    renamed = []
    for one in group:
        stem = one.output_name.removesuffix(_ENDING)
        if one.series:
            stem += f"_{privacy.uid_digest(one.series.uid)}"
        elif not one.case:
            stem = "_".join([*one.path.parent.absolute().relative_to(common).parts, stem])
        renamed.append(one if one.case else dataclasses.replace(one, output_name=stem + _ENDING))
    return renamed


def _refused(group: list[Input]) -> list[Input]:
    others = [group[1], *[group[0]] * (len(group) - 1)]
    reason = "would be written as {}, as would {}; rename one of them"
    pairs = zip(group, others, strict=True)
    return [_faulty(one, reason.format(one.output_name, other.where)) for one, other in pairs]
