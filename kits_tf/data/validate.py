"""Checks of KiTS19 cases before they are prepared: each fault is told with its file and what would mend it."""

import dataclasses
import hashlib
import itertools

import numpy as np

from kits_tf import geometry
from kits_tf.data import kits19
from kits_tf.errors import InputError
from kits_tf.io.volume import read_labels, read_volume

CHECKS = 3
"""Raised when cases that earlier versions checked must be checked anew."""

AFFINE_TOLERANCE_MM = 0.1  # at the corners of the volume; qforms are stored as float32 quaternions
FIELD_OF_VIEW_MM = (100.0, 1200.0)  # of rows and columns
MAX_LENGTH_MM = 2500.0  # of the slices; longer than any patient
MAX_DEPTH_TO_WIDTH = 1.25  # of the body: a patient on the back is wider than deep
MIN_PART = 0.1  # of the labelled voxels that a kidney has at least, where there are two
MIN_HU_RANGE = 800  # from air to bone there are over a thousand
KIDNEY_HU = (-20, 500)  # bounds of the median, without and with contrast
COLUMNS = 2  # the axis from the patient's right to left
FAT_HU = -50
MAX_FAT_SHARE = 0.25  # of a kidney's voxels
FETCH_AGAIN = "fetch the file again"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fault of one file, and what would mend it."""

    case: str
    path: str
    reason: str
    remedy: str

    def __str__(self):
        return f"{self.case}: {self.path}: {self.reason}; {self.remedy}"


def read_case(case):
    """Reads a case and checks it.

    Args:
        case: a `kits19.Case`.

    Returns:
        (volume, labels, findings): a Volume and uint8 [slices, rows, columns], both None if there are findings.
    """
    findings = missing_files(case)
    if findings:
        return None, None, findings
    volume, labels, grid = None, None, None
    try:
        volume = read_volume(case.image)
    except InputError as error:
        findings.append(unreadable(case, error))
    try:
        labels, grid = read_labels(case.label)
    except InputError as error:
        findings.append(unreadable(case, error))
    if not findings:
        findings = check_grids(case, volume, grid) or check_field_of_view(case, volume)
    if not findings:
        findings = check_values(case, volume, labels)
    return (None, None, findings) if findings else (volume, labels, [])


def missing_files(case):
    """A finding for each of the two files that is not there; one for both where there is no folder."""
    files = ((case.folder / kits19.IMAGE_NAME, case.image), (case.folder / kits19.LABEL_NAME, case.label))
    missing = [path for path, found in files if found is None] if case.folder.is_dir() else [case.folder]
    remedy = f"kits-download --cases={case.number} fetches it"
    return [Finding(case.id, str(path), "is missing", remedy) for path in missing]


def unreadable(case, error):
    """The finding of an InputError."""
    remedies = {
        "spacing": "write the voxels' sides in mm into its header",
        "affine": "write a usable affine into its header",
        "orientation": "write the scanner's affine into its header",
        "label": "map its labels to 0 background, 1 kidney, 2 tumor",
        "NaN": "replace such voxels by -1024",
    }
    remedy = next((text for word, text in remedies.items() if word in error.reason), FETCH_AGAIN)
    return Finding(case.id, error.path, error.reason, remedy)


def check_grids(case, volume, grid):
    """Findings about a label that does not lie on its image's grid."""
    if volume.shape != tuple(grid.shape):
        same = sorted(volume.shape) == sorted(grid.shape)
        reason = f"shape {tuple(grid.shape)} differs from the image's {volume.shape}" + (
            ": its axes are swapped" if same else ""
        )
        remedy = "store it in the image's axes" if same else "look whether it belongs to another case"
        return [Finding(case.id, str(case.label), reason, remedy)]
    distance_mm = corner_distance_mm(volume.shape, volume.affine, grid.affine)
    if distance_mm > AFFINE_TOLERANCE_MM:
        reason = f"affine differs from the image's, by up to {distance_mm:.3g} mm"
        remedy = "copy the image's affine if the voxels do match, or look whether it belongs to another case"
        return [Finding(case.id, str(case.label), reason, remedy)]
    return []


def check_field_of_view(case, volume):
    """Findings about axes that cannot be what the header says they are."""
    sides_mm = [count * side for count, side in zip(volume.shape, volume.spacing_mm, strict=True)]
    low, high = FIELD_OF_VIEW_MM
    if sides_mm[0] > MAX_LENGTH_MM or not all(low <= side <= high for side in sides_mm[1:]):
        sizes = " x ".join(f"{side:.0f}" for side in sides_mm)
        reason = f"is {sizes} mm (slices, rows, columns): its axes are swapped or its spacing is wrong"
        return [Finding(case.id, str(case.image), reason, "correct the affine in both headers")]
    return []


def check_values(case, volume, labels):
    """Findings about values that no CT holds, labels without a kidney, and labels that do not fit the image."""

    def finding(path, reason, remedy):
        return [Finding(case.id, str(path), reason, remedy)]

    low, high = float(volume.hu.min()), float(volume.hu.max())
    if low == high:
        return finding(case.image, f"is constant: every voxel is {low:g} HU", FETCH_AGAIN)
    rescale = "store HU, or the slope and intercept that lead to them"
    if high - low < MIN_HU_RANGE:
        return finding(case.image, f"goes from {low:g} to {high:g}, which are not HU", rescale)
    if not labels.any():
        return finding(case.label, "is empty: no voxel is 1 or 2", FETCH_AGAIN)
    box = geometry.body_box(volume.hu)
    depth_mm, width_mm = (
        (stop - start) * side for (start, stop), side in zip(box, volume.spacing_mm[1:], strict=True)
    )
    if depth_mm > MAX_DEPTH_TO_WIDTH * width_mm:
        reason = f"shows a body {depth_mm:.0f} mm deep and {width_mm:.0f} mm wide: its axes are swapped"
        return finding(case.image, reason, "correct the affine in both headers")
    if (parted := parted_axes(labels)) and COLUMNS not in parted:
        reason = "holds kidneys that lie behind or above each other, not side by side: its axes are swapped"
        return finding(case.label, reason, "correct the affine in both headers")
    inside = volume.hu[labels == 1] if (labels == 1).any() else volume.hu[labels > 0]
    fat = float(np.mean(inside < FAT_HU))
    if fat > MAX_FAT_SHARE:
        reason = f"does not fit the image: {100 * fat:.0f} % of its kidney is fat or air"
        return finding(case.label, reason, "look whether it belongs to another case, and whether the image is in HU")
    median = float(np.median(inside))
    if not KIDNEY_HU[0] <= median <= KIDNEY_HU[1]:
        return finding(case.image, f"has a median of {median:g} in the kidneys, which is not in HU", rescale)
    return []


def parted_axes(labels):
    """The axes of labels [slices, rows, columns] along which a gap parts what is labelled.

    In KiTS19 that is the columns' axis alone, the patient's right and left, wherever there are two separate kidneys.
    """
    profiles = [np.zeros(size, np.int64) for size in labels.shape]
    for number, label in enumerate(labels):
        rows = np.count_nonzero(label, axis=1)
        profiles[0][number] = rows.sum()
        profiles[1] += rows
        profiles[2] += np.count_nonzero(label, axis=0)
    return [axis for axis, profile in enumerate(profiles) if is_parted(profile)]


def is_parted(profile):
    """Whether counts along an axis have a gap with at least MIN_PART of the whole on either side."""
    share = np.cumsum(profile) / profile.sum()
    return bool(((profile == 0) & (share >= MIN_PART) & (share <= 1 - MIN_PART)).any())


def digest(array):
    """A short text that differs wherever two arrays differ."""
    content = hashlib.blake2b(str((array.shape, array.dtype)).encode(), digest_size=16)
    for part in array:
        content.update(np.ascontiguousarray(part).data)
    return content.hexdigest()


def duplicates(cases, facts):
    """Findings about cases that share their image or their labels with another.

    Of two images alike, that of the later case is named. Of two label files alike under different images, the one
    that fits its image worse is named.

    Args:
        cases: list of `kits19.Case`.
        facts: {case id: {"image_digest", "label_digest", "hu"}} as in `dataset.json`.

    Returns:
        list of Finding.
    """
    findings = []
    by_id = {case.id: case for case in cases}

    def pairs(key, names):
        for _, group in itertools.groupby(sorted(names, key=lambda n: facts[n][key]), key=lambda n: facts[n][key]):
            yield list(group)

    for first, *others in pairs("image_digest", sorted(facts)):
        for name in others:
            remedy = "keep one of them, or one patient could be in two splits"
            findings.append(Finding(name, str(by_id[name].image), f"is the same image as {first}'s", remedy))
    left = sorted(set(facts) - {finding.case for finding in findings})
    for group in pairs("label_digest", left):
        best, *others = sorted(group, key=lambda name: (-facts[name]["hu"]["foreground"][0], name))
        for name in others:
            remedy = "look whether it belongs to another case"
            findings.append(Finding(name, str(by_id[name].label), f"holds the same labels as {best}'s", remedy))
    return findings


def corner_distance_mm(shape, first, second):
    """The largest distance between where two affines put the corners of a volume."""
    corners = [(*corner, 1) for corner in itertools.product(*((0, size - 1) for size in shape))]
    difference = np.asarray(corners) @ (np.asarray(first) - np.asarray(second)).T
    return float(np.linalg.norm(difference[:, :3], axis=1).max())
