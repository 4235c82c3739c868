"""Cases with one fault each, cases that are odd but usable, and usable cases that deserve a warning."""

import gzip

import nibabel
import numpy as np

from kits_tf.data.kits19 import IMAGE_NAME, LABEL_NAME
from kits_tf.io import volume

SPACING_MM = (5.0, 4.0, 4.0)


def edit_hu(change, spacing_mm=SPACING_MM):
    def fault(case):
        hu = np.ascontiguousarray(change(volume.read_volume(case / IMAGE_NAME).hu))
        volume.write_volume(volume.Volume(hu, spacing_mm), case / IMAGE_NAME)

    return fault


def edit_labels(change, spacing_mm=SPACING_MM, offset_mm=0.0):
    def fault(case):
        labels = np.ascontiguousarray(change(volume.read_labels(case / LABEL_NAME)[0]))
        affine = volume.working_affine(spacing_mm, (offset_mm, 0.0, 0.0))
        volume.write_labels(labels, volume.Grid(labels.shape, spacing_mm, affine), case / LABEL_NAME)

    return fault


def edit_both(change, spacing_mm=SPACING_MM):
    return lambda case: (edit_hu(change, spacing_mm)(case), edit_labels(change, spacing_mm)(case))


def edit_bytes(name, change):
    return lambda case: (case / name).write_bytes(change((case / name).read_bytes()))


def edit_nifti(change, *names):
    def fault(case):
        for name in names:
            image = nibabel.load(case / name)
            nibabel.save(nibabel.Nifti1Image(*change(np.asarray(image.dataobj), image.affine)), case / name)

    return fault


def put(array, value, dtype=None):
    array = array.astype(dtype or array.dtype)
    array[3, 4, 5] = value
    return array


def damaged(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def without_spacing(content):
    """With 0 in the second voxel side, which a NIfTI header has at byte 84."""
    content = gzip.decompress(content)
    return gzip.compress(content[:84] + bytes(4) + content[88:])


def square(array):
    return np.pad(array, ((0, 0), (10, 10), (0, 0)), mode="edge" if array.dtype == np.int16 else "constant")


def label_rows_for_columns(case):
    edit_hu(square)(case)
    edit_labels(lambda labels: square(labels).transpose(0, 2, 1))(case)


def turned(data, affine):
    cosine, sine = np.cos(0.2), np.sin(0.2)
    return data, np.array([[1, 0, 0, 0], [0, cosine, -sine, 0], [0, sine, cosine, 0], [0, 0, 0, 1]]) @ affine


def transplant(labels):
    """The left kidney moved above the right one, with a slice in between."""
    labels = np.zeros_like(labels)
    labels[1:5, 30:42, 15:27] = labels[6:11, 20:32, 15:27] = 1
    return labels


FAULTS = {
    "no label": (lambda case: (case / LABEL_NAME).unlink(), LABEL_NAME, "missing"),
    "damaged": (edit_bytes(IMAGE_NAME, damaged), IMAGE_NAME, "damaged"),
    "truncated label": (edit_bytes(LABEL_NAME, lambda content: content[:-30]), LABEL_NAME, "truncated"),
    "shape": (edit_labels(lambda labels: labels[:, :, :79]), LABEL_NAME, "shape"),
    "affine": (edit_labels(np.copy, offset_mm=2.0), LABEL_NAME, "affine"),
    "label 3": (edit_labels(lambda labels: put(labels, 3)), LABEL_NAME, "label 3"),
    "NaN": (edit_hu(lambda hu: put(hu, np.nan, np.float32)), IMAGE_NAME, "NaN"),
    "constant": (edit_hu(np.zeros_like), IMAGE_NAME, "not HU"),
    "window": (edit_hu(lambda hu: np.clip(hu, -100, 155) + np.int16(100)), IMAGE_NAME, "not HU"),
    "offset": (edit_hu(lambda hu: hu + np.int16(1024)), IMAGE_NAME, "not HU"),
    "empty label": (edit_labels(np.zeros_like), LABEL_NAME, "empty"),
    "transposed label": (edit_labels(lambda a: a.transpose(1, 0, 2), (4.0, 5.0, 4.0)), LABEL_NAME, "swapped"),
    "slices for columns": (edit_both(lambda a: a.transpose(2, 1, 0)), IMAGE_NAME, "swapped"),
    "with true spacing": (edit_both(lambda a: a.transpose(2, 1, 0), (4.0, 4.0, 10.0)), IMAGE_NAME, "swapped"),
    "rows for columns": (edit_both(lambda a: a.transpose(0, 2, 1)), IMAGE_NAME, "swapped"),
    "label rows for columns": (label_rows_for_columns, LABEL_NAME, "swapped"),
    "label of another case": (edit_labels(lambda a: np.roll(a, -28, axis=1)), LABEL_NAME, "does not fit"),
    "no spacing": (edit_bytes(IMAGE_NAME, without_spacing), IMAGE_NAME, "spacing"),
    "micrometres": (edit_both(np.copy, (5.0, 4000.0, 4000.0)), IMAGE_NAME, "spacing"),
}  # fmt: skip
"""What was done, the file at fault, and a word of the reason."""

FINE = {
    "oblique": edit_nifti(turned, IMAGE_NAME, LABEL_NAME),
    "affine rounded": edit_labels(np.copy, offset_mm=0.05),
}


def tumor_of_a_lost_kidney(labels):
    """The patient's left kidney, which has the tumor, without its own tissue."""
    labels = labels.copy()
    left = labels[:, :, labels.shape[2] // 2 :]
    left[left == 1] = 0
    return labels


def without_contrast(hu):
    """Kidneys hardly brighter than the body around them."""
    return np.where(hu > 120, hu - 150, hu).astype(np.int16)


def back_to_front(case):
    """A spine behind the kidneys, then rows reversed in both files."""

    def spine(hu):
        hu = hu.copy()
        hu[:, 45:51, 36:44] = 400
        return hu

    edit_hu(spine)(case)
    edit_both(lambda array: array[:, ::-1])(case)


def not_cut(labels):
    """Without the voxel in the first slice, where the scan might have cut a kidney."""
    labels = labels.copy()
    labels[0] = 0
    return labels


ODD = {
    "transplant": (edit_labels(transplant), "above the other"),
    "label partly in air": (edit_labels(lambda labels: np.roll(labels, -24, axis=1)), "fat or air"),
    "tumor alone": (edit_labels(lambda labels: 2 * (labels > 0).astype(np.uint8)), "touches no kidney"),
    "tumor of a lost kidney": (edit_labels(tumor_of_a_lost_kidney), "touches no kidney"),
    "label without contrast": (edit_hu(without_contrast), "HU brighter than its surroundings"),
    "back to front": (back_to_front, "spine lies in front"),
    "short kidneys": (edit_labels(not_cut), "kidneys are 40 mm long"),
    "lost labels": (edit_labels(lambda labels: labels * (np.arange(12)[:, None, None] == 6)), "ml"),
}
"""What was done, and a word of the warning."""
