"""Cases with one fault each, and cases that are odd but fine."""

import gzip

import nibabel
import numpy as np

from kits_tf.data import kits19
from kits_tf.io import volume
from tests import planted

SHAPE, SPACING_MM = (12, 60, 80), (5.0, 4.0, 4.0)
PAD_TO_SQUARE = ((0, 0), (10, 10), (0, 0))


def rewrite_image(case, change):
    ct = volume.read_volume(case / kits19.IMAGE_NAME)
    volume.write_volume(change(ct), case / kits19.IMAGE_NAME)


def shifted_affine(offset_mm):
    affine = volume.working_affine(SPACING_MM)
    affine[0, 3] += offset_mm
    return affine


def remove_label(case):
    (case / kits19.LABEL_NAME).unlink()


def text_instead_of_image(case):
    (case / kits19.IMAGE_NAME).write_text("not a NIfTI file")


def cut_off_image(case):
    path = case / kits19.IMAGE_NAME
    path.write_bytes(path.read_bytes()[:2000])


def image_without_checksum(case):
    path = case / kits19.IMAGE_NAME
    path.write_bytes(path.read_bytes()[:-4])


def damaged_image(case):
    path = case / kits19.IMAGE_NAME
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def smaller_label(case):
    small = volume.Volume(np.zeros((12, 60, 79), np.uint8), SPACING_MM)
    volume.write_labels(planted.labels()[:, :, :79], small, case / kits19.LABEL_NAME)


def label_elsewhere(case):
    grid = volume.Grid(SHAPE, SPACING_MM, shifted_affine(2.0))
    volume.write_labels(planted.labels(), grid, case / kits19.LABEL_NAME)


def label_three(case):
    wrong = planted.labels()
    wrong[0, 0, 0] = 3
    volume.write_labels(wrong, volume.Grid(SHAPE, SPACING_MM, shifted_affine(0.0)), case / kits19.LABEL_NAME)


def nan_in_image(case):
    def change(ct):
        hu = ct.hu.astype(np.float32)
        hu[3, 4, 5] = np.nan
        return volume.Volume(hu, ct.spacing_mm)

    rewrite_image(case, change)


def constant_image(case):
    rewrite_image(case, lambda ct: volume.Volume(np.zeros_like(ct.hu), ct.spacing_mm))


def infinite_in_image(case):
    def change(ct):
        hu = ct.hu.astype(np.float32)
        hu[3, 4, 5] = np.inf
        return volume.Volume(hu, ct.spacing_mm)

    rewrite_image(case, change)


def offset_image(case):
    rewrite_image(case, lambda ct: volume.Volume(ct.hu + np.int16(1024), ct.spacing_mm))


def windowed_image(case):
    rewrite_image(case, lambda ct: volume.Volume(np.clip(ct.hu, -100, 155) + np.int16(100), ct.spacing_mm))


def empty_label(case):
    write_labels(case, np.zeros(SHAPE, np.uint8))


def turned_label(case):
    """Rows in the place of slices: the same voxels, in another order of the axes."""
    affine = volume.working_affine(SPACING_MM)
    turned = planted.labels().transpose(1, 0, 2).copy()
    volume.write_labels(turned, volume.Grid(turned.shape, (4.0, 5.0, 4.0), affine), case / kits19.LABEL_NAME)


def swapped_axes(case):
    """Columns in the place of slices, in both files, under an affine that says otherwise."""
    ct = volume.read_volume(case / kits19.IMAGE_NAME)
    for array, name, write in (
        (ct.hu, kits19.IMAGE_NAME, lambda a, p: volume.write_volume(volume.Volume(a, SPACING_MM), p)),
        (
            planted.labels(),
            kits19.LABEL_NAME,
            lambda a, p: volume.write_labels(a, volume.Volume(a.astype(np.int16), SPACING_MM), p),
        ),
    ):
        write(np.ascontiguousarray(array.transpose(2, 1, 0)), case / name)


def rows_for_columns(case):
    ct = volume.read_volume(case / kits19.IMAGE_NAME)
    turned = volume.Volume(np.ascontiguousarray(ct.hu.transpose(0, 2, 1)), SPACING_MM)
    volume.write_volume(turned, case / kits19.IMAGE_NAME)
    volume.write_labels(np.ascontiguousarray(planted.labels().transpose(0, 2, 1)), turned, case / kits19.LABEL_NAME)


def label_rows_for_columns(case):
    """A label whose rows and columns changed places, on a grid with as many of both."""
    wide = volume.Volume(
        np.pad(volume.read_volume(case / kits19.IMAGE_NAME).hu, PAD_TO_SQUARE, mode="edge"), SPACING_MM
    )
    volume.write_volume(wide, case / kits19.IMAGE_NAME)
    turned = np.pad(planted.labels(), PAD_TO_SQUARE).transpose(0, 2, 1)
    volume.write_labels(np.ascontiguousarray(turned), wide, case / kits19.LABEL_NAME)


def slices_for_columns(case):
    """Columns in the place of slices, in both files and with their spacing: the field of view is that of a patient."""
    ct = volume.read_volume(case / kits19.IMAGE_NAME)
    turned = volume.Volume(np.ascontiguousarray(ct.hu.transpose(2, 1, 0)), (4.0, 4.0, 10.0))
    volume.write_volume(turned, case / kits19.IMAGE_NAME)
    volume.write_labels(np.ascontiguousarray(planted.labels().transpose(2, 1, 0)), turned, case / kits19.LABEL_NAME)


def zero_spacing(case):
    """The header's pixdim, floats from byte 76: its second to fourth are the voxel's sides."""
    content = bytearray(gzip.decompress((case / kits19.IMAGE_NAME).read_bytes()))
    content[84:88] = bytes(4)
    (case / kits19.IMAGE_NAME).write_bytes(gzip.compress(bytes(content)))


def truncated_label(case):
    path = case / kits19.LABEL_NAME
    path.write_bytes(path.read_bytes()[:-30])


def labels_of_another_case(case):
    """Same grid, but the kidneys lie elsewhere: half in the air in front of the patient."""
    write_labels(case, np.roll(planted.labels(), -28, axis=1))


def write_labels(case, labels):
    volume.write_labels(labels, volume.Grid(SHAPE, SPACING_MM, shifted_affine(0.0)), case / kits19.LABEL_NAME)


def scaled_integers(case):
    """Stored as (HU + 1024) / 2 in uint16, with slope 2 and intercept -1024: KiTS19 has such files."""
    image = nibabel.load(case / kits19.IMAGE_NAME)
    hu = np.maximum(np.asarray(image.dataobj), -1024) // 2 * 2
    header = image.header.copy()
    header.set_data_dtype(np.uint16)
    header.set_slope_inter(2, -1024)
    content = header.binaryblock + bytes(4) + ((hu + 1024) // 2).astype(np.uint16).tobytes(order="F")
    (case / kits19.IMAGE_NAME).write_bytes(gzip.compress(content))


def oblique_affine(case):
    cosine, sine = np.cos(0.2), np.sin(0.2)
    turn = np.array([[1, 0, 0, 0], [0, cosine, -sine, 0], [0, sine, cosine, 0], [0, 0, 0, 1]])
    for name in (kits19.IMAGE_NAME, kits19.LABEL_NAME):
        image = nibabel.load(case / name)
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), turn @ image.affine), case / name)


def qform_only(case):
    for name in (kits19.IMAGE_NAME, kits19.LABEL_NAME):
        image = nibabel.load(case / name)
        image.set_sform(None, code=0)
        nibabel.save(image, case / name)


def float_labels(case):
    image = nibabel.load(case / kits19.LABEL_NAME)
    whole = np.asarray(image.dataobj).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(whole, image.affine), case / kits19.LABEL_NAME)


FAULTS = [
    (remove_label, kits19.LABEL_NAME, "missing"),
    (text_instead_of_image, kits19.IMAGE_NAME, "not a NIfTI file"),
    (cut_off_image, kits19.IMAGE_NAME, "truncated"),
    (image_without_checksum, kits19.IMAGE_NAME, "truncated"),
    (damaged_image, kits19.IMAGE_NAME, "damaged"),
    (smaller_label, kits19.LABEL_NAME, "shape"),
    (label_elsewhere, kits19.LABEL_NAME, "affine"),
    (label_three, kits19.LABEL_NAME, "label 3"),
    (nan_in_image, kits19.IMAGE_NAME, "NaN"),
    (constant_image, kits19.IMAGE_NAME, "constant"),
    (infinite_in_image, kits19.IMAGE_NAME, "infinite"),
    (offset_image, kits19.IMAGE_NAME, "HU"),
    (windowed_image, kits19.IMAGE_NAME, "not HU"),
    (empty_label, kits19.LABEL_NAME, "empty"),
    (turned_label, kits19.LABEL_NAME, "swapped"),
    (swapped_axes, kits19.IMAGE_NAME, "swapped"),
    (rows_for_columns, kits19.IMAGE_NAME, "swapped"),
    (label_rows_for_columns, kits19.LABEL_NAME, "swapped"),
    (slices_for_columns, kits19.IMAGE_NAME, "swapped"),
    (zero_spacing, kits19.IMAGE_NAME, "spacing"),
    (truncated_label, kits19.LABEL_NAME, "truncated"),
    (labels_of_another_case, kits19.LABEL_NAME, "does not fit"),
]
"""What was done to a case, the file to be named, and a word of the reason."""

FINE = [scaled_integers, oblique_affine, qform_only, float_labels]
