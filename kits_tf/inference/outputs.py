"""Write the outputs of a CT with a JSON sidecar, and find out which CTs are done. Needs no TensorFlow."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import pathlib
import re
import resource
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import kits_tf
from kits_tf import checkpoint, files, landmarks
from kits_tf.data.kits19 import PROBABILITY_SUFFIXES
from kits_tf.errors import InputError
from kits_tf.evaluation import lesions
from kits_tf.evaluation.matching import read_sidecar
from kits_tf.inference.fusion import UNIT, fusion_of_planes
from kits_tf.io import nifti
from kits_tf.io.volume import Volume, read_labels, write_labels, write_scaled

if TYPE_CHECKING:
    from kits_tf.inference.inputs import Input

SIDECAR_SUFFIX, SEG_SUFFIX, PAGE_SUFFIX, SLICER_SUFFIX = ".json", ".dcm", ".html", ".seg.nrrd"
SURFACE_SUFFIXES = {1: "_kidney.stl", 2: "_tumor.stl"}  # by label
# Suffixes of files derived from a label file; they are deleted when it is replaced.
DERIVED_SUFFIXES = (
    *(SIDECAR_SUFFIX, PAGE_SUFFIX, SEG_SUFFIX, SLICER_SUFFIX),
    *(*SURFACE_SUFFIXES.values(), *PROBABILITY_SUFFIXES.values()),
)
SLICER_COLORS, SNAP_COLORS = "kits_labels.ctbl", "kits_labels_itk_snap.txt"  # one per folder
_CASE_FILE = re.compile(
    rf"(.*_segmentation|prediction_\d{{5}})({'|'.join(map(re.escape, ('.nii.gz', *DERIVED_SUFFIXES)))})"
)
_PART = r"(_\d+_of_\d+)?"  # of --shard
_FOLDER_FILE = re.compile(
    rf"((summary|tumors){_PART}\.csv|index{_PART}\.html)|{re.escape(SLICER_COLORS)}|{re.escape(SNAP_COLORS)}"
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A CT with what was found in it."""

    source: Input
    volume: Volume
    labels: np.ndarray  # uint8 on the CT's working axes
    sidecar: dict[str, Any]
    probabilities: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)  # see `Segmentation`


Writer = Callable[[pathlib.Path, Case], None]  # writes a further file next to a label file


def sibling(path: pathlib.Path, suffix: str) -> pathlib.Path:
    """Return the path of a label file with another suffix."""
    return path.with_name(nifti.stem(path) + suffix)


def network_settings(
    folders: Iterable[pathlib.Path],
    stage: str,
    planes: Iterable[str],
    fusion: str | None,
    tta: str,
    roi: str | None = None,
) -> dict[str, Any]:
    """Return the settings that decide the labels of a run, as JSON types; InputError if weights are missing.

    Engine and precision are not among them, nor planes and fusion for the stage "tumor". `fusion` None is that of the
    first checkpoint; checkpoints that are averaged share it.
    """
    planes, folders = sorted(planes), list(folders)
    names = checkpoint.network_names(stage, planes)
    configs = [checkpoint.load_configs(folder, names) for folder in folders]
    weights = sorted(b"".join(checkpoint.digest(folder, name) for name in names) for folder in folders)
    return {
        "stage": stage,
        "planes": planes if stage != "tumor" else None,
        "fusion": None if stage == "tumor" else fusion or fusion_of_planes(configs[0]),
        "tta": tta,
        "roi": roi,
        "weights": hashlib.sha256(b"".join(weights)).hexdigest()[:16],
    }


def is_done(
    source: Input, output_dir: pathlib.Path, settings: Mapping[str, Any], suffixes: Collection[str] = ()
) -> bool:
    """Return whether the labels of a CT, and the files with these suffixes next to them, exist.

    The labels must have a sidecar with the same input digest and settings. Raises InputError for files of another CT
    or with other settings, and for edited labels if a file is missing: only the user may decide to replace them.
    """
    path = pathlib.Path(output_dir) / source.output_name
    existing = [file for file in (path, *(sibling(path, suffix) for suffix in DERIVED_SUFFIXES)) if file.exists()]
    if not existing:
        return False
    shown = source.output_name if source.series else existing[0]  # the path of a DICOM series may name a patient
    sidecar = read_sidecar(path)
    old_settings, reason = sidecar.get("settings"), ""
    suffixes = [*suffixes, *([SEG_SUFFIX] if source.series else [])]
    missing = [sibling(path, suffix).name for suffix in suffixes if not sibling(path, suffix).is_file()]
    if not {"input_digest", "labels_digest"} <= set(sidecar) or not isinstance(old_settings, dict):
        reason = "has no sidecar of this version, so it may be your own"
    elif sidecar["input_digest"] != source.digest:
        reason = "was written for another CT, or for this one before it changed"
    elif changed := [name for name in settings if old_settings.get(name) != settings[name]]:
        values = f"{changed[0]} {old_settings.get(changed[0])}, now {settings[changed[0]]}"
        reason = f"was written with other settings ({values})"
    elif path.is_file() and sidecar["labels_digest"] != files.digest(path):
        if missing:
            reason = f"was changed since it was written, and {missing[0]} would not match the edited labels"
        try:
            read_labels(path)
        except InputError as error:
            reason = str(error.reason)
    if reason:
        raise InputError(shown, f"{reason}; --overwrite replaces it")
    return path.is_file() and not missing


def write_case(case: Case, output_dir: pathlib.Path, writers: Iterable[Writer] = ()) -> list[str]:
    """Write a CT's labels, its sidecar, probabilities and SEG, and call the writers of further files.

    Each file is written atomically, and the labels after their sidecar, so that an interrupted run resumes. The
    sidecar receives the time of writing and the digest of the labels. Returns the names of files that belonged to the
    previous labels and were removed.
    """
    path, start = pathlib.Path(output_dir) / case.source.output_name, time.perf_counter()
    with files.replacing(path) as temporary:
        write_labels(case.labels, case.volume, temporary)
        seconds = case.sidecar.get("seconds", {}) | {"write": time.perf_counter() - start}
        seconds = {name: round(value, 3) for name, value in (seconds | {"total": sum(seconds.values())}).items()}
        case.sidecar.update(seconds=seconds, labels_digest=files.digest(temporary))
        old = [sibling(path, suffix) for suffix in DERIVED_SUFFIXES if sibling(path, suffix).exists()]
        for file in old:
            file.unlink()
        files.write_text(sibling(path, SIDECAR_SUFFIX), json.dumps(case.sidecar, indent=2) + "\n")
    for stage, probability in case.probabilities.items():
        write_scaled(probability, 1 / UNIT, case.volume, sibling(path, PROBABILITY_SUFFIXES[stage]))
    if case.source.series:
        from kits_tf.io.dicom_seg import write_segmentation

        write_segmentation(
            case.labels, case.source.series, sibling(path, SEG_SUFFIX), case.sidecar.get("notice") or ""
        )
    for write in writers:
        write(path, case)
    return [file.name for file in old if not file.exists()]


def sidecar_of(
    source: Input, volume: Volume, labels: np.ndarray, settings: Mapping[str, Any], sides: np.ndarray | None = None,
    **entries: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return a CT's sidecar, which `write_case` completes; `entries` are added, such as "engine" and "seconds"."""
    found = lesions.measure(labels, volume.grid.spacing_mm, sides, volume.grid)
    found = lesions.without_tumors(found) if settings.get("stage") == "kidney" else found
    dicom = source.series
    return {
        "input": source.name,
        **({"series": {"uid": dicom.uid, "number": dicom.number, "description": dicom.description}} if dicom else {}),
        "shape": list(volume.shape),
        "spacing_mm": [round(side, 6) for side in volume.spacing_mm],
        **entries,
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "finding": lesions.finding(found),
        **found,
        "input_digest": source.digest,
        "settings": dict(settings),
        "version": kits_tf.__version__,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "warnings": [
            *volume.warnings,
            *hu_warnings(volume.hu),
            *blank_warnings(volume.hu),
            *(f"{said}; {landmarks.REMEDY}" for said in landmarks.orientation_warnings(volume.hu, volume.spacing_mm)),
            *([] if labels.any() else ["no kidney was found"]),
        ],
    }


def hu_warnings(hu: np.ndarray) -> list[str]:
    """Return warnings if an array [slices, rows, columns] does not look like a CT in HU."""
    sample = hu[:: max(1, len(hu) // 64), ::4, ::4] if min(hu.shape[1:]) > 64 else hu
    if hu.min() >= -500:
        return ["no value is below -500: it holds no air, or its values are not HU"]
    if np.mean(sample > 600) > 0.1:
        return ["a tenth of it is above 600 HU, as only bone is: its values are not HU, or are shifted"]
    if np.mean((sample > -200) & (sample < 300)) < 0.02:
        return ["hardly any value is that of soft tissue: it shows no body, or its values are not HU"]
    return []


def blank_warnings(hu: np.ndarray) -> list[str]:
    """Return a warning if slices between others hold a single value; padding at the ends is ignored.

    Example:
        >>> hu = np.zeros((5, 8, 8), np.int16)
        >>> hu[[1, 4], 2:] = 40
        >>> blank_warnings(hu)
        ['2 slices between others hold a single value: images may be missing']
    """
    sample = hu[:, :: max(1, hu.shape[1] // 64), :: max(1, hu.shape[2] // 64)]
    filled = np.flatnonzero(sample.min(axis=(1, 2)) != sample.max(axis=(1, 2)))
    count = int(filled[-1] - filled[0] + 1 - len(filled)) if len(filled) else 0
    said = "1 slice between others holds" if count == 1 else f"{count} slices between others hold"
    return [f"{said} a single value: images may be missing"] if count else []


def is_output_of(path: pathlib.Path, stems: Collection[str]) -> bool:
    """Return whether this package wrote a file: its name has one of the stems, or it has a sidecar."""
    match = _CASE_FILE.fullmatch(path.name)
    if not match:
        return bool(_FOLDER_FILE.fullmatch(path.name))
    return match[1] in stems or "input_digest" in read_sidecar(path.with_name(f"{match[1]}.nii.gz"))
