"""Checks of KiTS19 cases: each fault is reported with its file and a remedy."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from kits_tf import geometry, landmarks
from kits_tf.boxes import bounding_box, enlarged
from kits_tf.data import kits19
from kits_tf.errors import InputError
from kits_tf.io.volume import Grid, Volume, read_labels, read_volume

VERSION = 5
"""Incremented when cases that earlier versions accepted must be checked again."""

AFFINE_TOLERANCE_MM = 0.1  # at the corners of the volume; qforms are stored as float32 quaternions
FIELD_OF_VIEW_MM = (100.0, 1200.0)  # of rows and columns
MAX_LENGTH_MM = 2500.0  # of the slices; longer than any patient
MIN_PART = 0.1  # least share of the labelled voxels in the smaller of two kidneys
MIN_HU_RANGE = 800  # from air to bone there are over a thousand
KIDNEY_HU = (-20, 500)  # bounds of the median, without and with contrast
FAT_HU = -50
MAX_FAT_SHARE = 0.25  # of kidney voxels, above which the label is refused
# At most 0.01 in 13 correct CTs; at least 0.06 if their labels are mirrored, upside down or 20 mm off, in all but one.
ODD_FAT_SHARE = 0.05
SHELL_MM = (2.0, 6.0)  # distances from the label of its surroundings
MIN_CONTRAST_HU = 20.0  # of kidney to its surroundings, by medians; at least 95 in 13 correct CTs, 12 in that one
LENGTH_MM = (70.0, 300.0)  # along the body, of labels that the scan does not cut; 81 to 246 in KiTS19
MIN_TUMOR_ML = 1.0  # of tumor that should touch a kidney, as each in KiTS19 does
KIDNEY_ML = (50.0, 1200.0)  # 91 to 765 in KiTS19


@dataclasses.dataclass(frozen=True)
class Finding:
    """A fault of a case; a warning does not exclude the case."""

    case: str
    path: str
    reason: str
    remedy: str
    is_warning: bool = False

    def __str__(self) -> str:
        """Return the finding as one line."""
        return f"{self.path}: {'warning: ' * self.is_warning}{self.reason}; {self.remedy}"


def read_case(case: kits19.Case) -> tuple[Volume | None, np.ndarray | None, list[Finding]]:
    """Read and check a case.

    Returns:
        The CT, its labels (uint8 [slices, rows, columns]) and the findings. Both are None if one of the findings is
        not a warning.
    """
    image, label = case.folder / kits19.IMAGE_NAME, case.folder / kits19.LABEL_NAME
    missing = [path for path in (image, label) if not path.is_file()] if case.folder.is_dir() else [case.folder]
    if missing:
        remedy = f"run kits-download --cases={case.number}"
        return None, None, [Finding(case.id, str(path), "file is missing", remedy) for path in missing]
    try:
        volume, (labels, grid) = read_volume(image), read_labels(label)
    except InputError as error:
        reason, _, remedy = str(error.reason).partition("; ")
        return None, None, [Finding(case.id, error.path, reason, remedy or "repair the file or fetch it again")]
    for path, reason, remedy in _errors(image, label, volume, labels, grid):  # the first one
        return None, None, [Finding(case.id, str(path), reason, remedy)]
    warnings = _warnings(image, label, volume, labels, grid)
    found = [Finding(case.id, str(path), reason, remedy, is_warning=True) for path, reason, remedy in warnings]
    return volume, labels, found


_Reasons = Iterator[tuple[pathlib.Path, str, str]]  # the file at fault, the reason, the remedy


def _errors(image: pathlib.Path, label: pathlib.Path, volume: Volume, labels: np.ndarray, grid: Grid) -> _Reasons:
    """Yield reasons to exclude a case; each check relies on the previous ones."""
    affine = "correct the affine in both files"
    own = "make sure that it belongs to this case"
    scale = "store HU, or the slope and intercept that give them"
    if volume.shape != grid.shape:
        swapped = ": its axes are swapped" if sorted(volume.shape) == sorted(grid.shape) else ""
        yield label, f"shape {grid.shape} differs from that of the image, {volume.shape}{swapped}", own
    if (distance_mm := geometry.corner_distance_mm(volume.shape, volume.affine, grid.affine)) > AFFINE_TOLERANCE_MM:
        yield label, f"affine differs from that of the image by {distance_mm:.3g} mm", f"{own}, or copy the affine"
    field_mm = [round(size * mm) for size, mm in zip(volume.shape, volume.spacing_mm, strict=True)]
    if field_mm[0] > MAX_LENGTH_MM or any(_is_outside(mm, FIELD_OF_VIEW_MM) for mm in field_mm[1:]):
        yield image, f"size is {field_mm} mm (slices, rows, columns): axes are swapped or the spacing is wrong", affine
    low, high = float(volume.hu.min()), float(volume.hu.max())
    if high - low < MIN_HU_RANGE:
        yield image, f"values from {low:g} to {high:g} are not HU", scale
    if not labels.any():
        yield label, "no voxel is labelled, the label is empty", "draw the labels or fetch them again"
    box = geometry.body_box(volume.hu, volume.spacing_mm)
    depth_mm, width_mm = ((stop - first) * mm for (first, stop), mm in zip(box, volume.spacing_mm[1:], strict=True))
    if depth_mm > landmarks.MAX_DEPTH_TO_WIDTH * width_mm:
        yield image, f"body is {depth_mm:.0f} mm deep and {width_mm:.0f} mm wide: axes are swapped", affine
    if separated_axes(labels) == [1]:
        yield label, "one kidney is in front of the other, not beside it: axes are swapped", affine
    inside = _kidney_hu(volume, labels)
    if (fat := np.mean(inside < FAT_HU)) > MAX_FAT_SHARE:
        yield label, f"label does not fit the image: {fat:.0%} of the kidney is fat or air", own
    if _is_outside(median := float(np.median(inside)), KIDNEY_HU):
        yield image, f"median in the kidneys is {median:g}, values are not HU", scale


def _warnings(image: pathlib.Path, label: pathlib.Path, volume: Volume, labels: np.ndarray, grid: Grid) -> _Reasons:
    """Yield warnings about a usable case."""
    for path, texts in ((image, volume.warnings), (label, grid.warnings)):
        yield from ((path, text, "check its header") for text in texts)
    parted = separated_axes(labels)
    if 0 in parted and 2 not in parted:
        yield label, "one kidney is above the other on the same side", "unless it is a transplant, correct the affine"
    for reason in landmarks.orientation_warnings(volume.hu, volume.spacing_mm):
        yield image, reason, landmarks.REMEDY
    inside, shift = _kidney_hu(volume, labels), "check whether the label is shifted, mirrored or upside down"
    if (fat := np.mean(inside < FAT_HU)) > ODD_FAT_SHARE:
        yield label, f"{fat:.0%} of the kidney is fat or air", shift
    elif (contrast := float(np.median(inside)) - _surrounding_hu(volume, labels)) < MIN_CONTRAST_HU:
        yield label, f"the kidney is only {contrast:.0f} HU brighter than its surroundings", shift
    if (tumor_ml := _lone_tumor_voxels(labels) * volume.voxel_ml) >= MIN_TUMOR_ML:
        yield label, f"a tumor of {tumor_ml:.1f} ml touches no kidney", "check whether labels were lost"
    slices = np.flatnonzero(labels.any(axis=(1, 2)))
    length_mm = len(range(slices[0], slices[-1] + 1)) * volume.spacing_mm[0]
    is_cut = slices[0] == 0 or slices[-1] == len(labels) - 1
    if not is_cut and _is_outside(length_mm, LENGTH_MM):
        yield label, f"the kidneys are {length_mm:.0f} mm long", "check whether the slice spacing was lost"
    kidney_ml = np.count_nonzero(labels == 1) * volume.voxel_ml
    if _is_outside(kidney_ml, KIDNEY_ML):
        yield label, f"kidneys without tumors have {kidney_ml:.0f} ml", "check whether labels or the spacing were lost"


def _is_outside(value: float, bounds: tuple[float, float]) -> bool:
    return not bounds[0] <= value <= bounds[1]


def _kidney_hu(volume: Volume, labels: np.ndarray) -> np.ndarray:
    """Return the HU of the kidney, or of its tumor where no kidney is labelled."""
    kidney = labels == 1
    return volume.hu[kidney if kidney.any() else labels > 0]


def _surrounding_hu(volume: Volume, labels: np.ndarray) -> float:
    """Return the median HU around the labels."""
    steps = [max(1, round(SHELL_MM[0] / mm)) for mm in volume.spacing_mm]
    spacing_mm = np.multiply(volume.spacing_mm, steps)
    mask, hu = (array[tuple(slice(None, None, step) for step in steps)] for array in (labels > 0, volume.hu))
    margins = [int(SHELL_MM[1] // mm) + 1 for mm in spacing_mm]
    box = bounding_box(mask) or (slice(None),) * 3
    around = enlarged(box, margins, mask.shape)
    distance_mm = ndimage.distance_transform_edt(~mask[around], sampling=spacing_mm)
    shell = hu[around][(distance_mm >= SHELL_MM[0]) & (distance_mm <= SHELL_MM[1])]
    return float(np.median(shell)) if shell.size else -np.inf


def _lone_tumor_voxels(labels: np.ndarray) -> int:
    """Return the number of tumor voxels in components without kidney."""
    inside = labels[bounding_box(labels > 0)]
    pieces, count = ndimage.label(inside)
    kidney, tumor = (np.bincount(pieces[inside == label], minlength=count + 1) for label in (1, 2))
    return int(tumor[kidney == 0].sum())


def separated_axes(labels: np.ndarray) -> list[int]:
    """Return the axes along which a gap separates the labelled voxels into two large parts.

    In KiTS19, this is the column axis alone, from the patient's right to left, if there are two separate kidneys.

    Args:
        labels: uint8 [slices, rows, columns].
    """
    profiles = [np.zeros(size, np.int64) for size in labels.shape]
    for number, label in enumerate(labels):  # slice by slice, to bound memory
        rows = np.count_nonzero(label, axis=1)
        profiles[0][number] = rows.sum()
        profiles[1] += rows
        profiles[2] += np.count_nonzero(label, axis=0)
    shares = [np.cumsum(profile) / profile.sum() for profile in profiles]
    return [
        axis
        for axis, (profile, share) in enumerate(zip(profiles, shares, strict=True))
        if ((profile == 0) & (share >= MIN_PART) & (share <= 1 - MIN_PART)).any()
    ]


def digest(array: np.ndarray) -> str:
    """Return a hash of an array's shape, type and content."""
    content = hashlib.blake2b(str((array.shape, array.dtype)).encode(), digest_size=16)
    for part in array:
        content.update(np.ascontiguousarray(part).data)
    return content.hexdigest()


def find_duplicates(cases: Sequence[kits19.Case], entries: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Return findings about cases that share their image or their labels with another case.

    Of equal images all but the first case are at fault; of equal labels all but the one that fits its image best.

    Args:
        cases: The cases.
        entries: "image_digest", "label_digest" and "hu" by case id, as in `dataset.json`.
    """
    findings: list[Finding] = []
    remedies = {
        "image": "keep one, or one patient may be in two splits",
        "label": "keep the one that fits",
    }
    by_id = {case.id: case for case in cases}
    for kind, remedy in remedies.items():
        groups = collections.defaultdict(list)
        for name in sorted(set(entries) - {finding.case for finding in findings}):
            groups[entries[name][f"{kind}_digest"]].append(name)
        for group in groups.values():
            if kind == "label":
                group.sort(key=lambda name: -entries[name]["hu"]["foreground"][0])
            for name in group[1:]:
                path = str(getattr(by_id[name], kind))
                findings.append(Finding(name, path, f"same {kind} as {group[0]}", remedy))
    return findings
