"""Proves that each fault of a case is found and named, and that fine cases pass."""

import numpy as np
import pytest

from kits_tf import volume
from kits_tf.dataset import integrity, kits19
from tests import planted

SHAPE, SPACING_MM = (12, 60, 80), (5.0, 4.0, 4.0)


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


@pytest.mark.parametrize(
    "fault, file, word",
    [
        (remove_label, kits19.LABEL_NAME, "missing"),
        (text_instead_of_image, kits19.IMAGE_NAME, ""),
        (cut_off_image, kits19.IMAGE_NAME, ""),
        (smaller_label, kits19.LABEL_NAME, "shape"),
        (label_elsewhere, kits19.LABEL_NAME, "affine"),
        (label_three, kits19.LABEL_NAME, "label 3"),
        (nan_in_image, kits19.IMAGE_NAME, "NaN"),
        (constant_image, kits19.IMAGE_NAME, "constant"),
    ],
)
def test_each_fault_is_named_with_its_file(tmp_path, fault, file, word):
    case = planted.write_case(tmp_path, 4)
    fault(case)
    ct, labels, findings = integrity.read_case(kits19.case_at(case))
    assert ct is None and labels is None
    assert [finding.case for finding in findings] == ["case_00004"]
    assert findings[0].path == str(case / file)
    assert word in findings[0].reason
    assert "\n" not in str(findings[0])


def test_a_fine_case_passes(tmp_path):
    case = planted.write_case(tmp_path, 4)
    ct, labels, findings = integrity.read_case(kits19.case_at(case))
    assert findings == []
    np.testing.assert_array_equal(ct.hu, planted.small_ct(SHAPE, 4))
    np.testing.assert_array_equal(labels, planted.labels())


def test_rounded_headers_pass(tmp_path):
    case = planted.write_case(tmp_path, 4)
    grid = volume.Grid(SHAPE, SPACING_MM, shifted_affine(0.05))
    volume.write_labels(planted.labels(), grid, case / kits19.LABEL_NAME)
    assert integrity.read_case(kits19.case_at(case))[2] == []


def test_distance_is_taken_at_the_corners():
    """A slice spacing off by 0.01 mm puts the last of 101 slices 1 mm off."""
    first, second = volume.working_affine((3.0, 1.0, 1.0)), volume.working_affine((3.01, 1.0, 1.0))
    assert integrity.corner_distance_mm((101, 10, 10), first, second) == pytest.approx(1.0)
