"""Proves that each fault of a case is found and named, and that fine cases pass."""

import numpy as np
import pytest

from kits_tf.data import kits19
from kits_tf.data.validate import corner_distance_mm, digest, duplicates, parted_axes, read_case
from kits_tf.io import volume
from tests import planted
from tests.data import faults
from tests.data.faults import SHAPE, SPACING_MM


@pytest.mark.parametrize("fault, file, word", faults.FAULTS)
def test_each_fault_is_named_with_its_file(tmp_path, fault, file, word):
    case = planted.write_case(tmp_path, 4)
    fault(case)
    ct, labels, findings = read_case(kits19.case_at(case))
    assert ct is None and labels is None
    assert [finding.case for finding in findings] == ["case_00004"]
    assert findings[0].path == str(case / file)
    assert word in findings[0].reason and findings[0].remedy
    assert "\n" not in str(findings[0])


def test_a_fine_case_passes(tmp_path):
    case = planted.write_case(tmp_path, 4)
    ct, labels, findings = read_case(kits19.case_at(case))
    assert findings == []
    np.testing.assert_array_equal(ct.hu, planted.small_ct(SHAPE, 4))
    np.testing.assert_array_equal(labels, planted.labels(number=4))


@pytest.mark.parametrize("change", faults.FINE)
def test_what_is_odd_but_fine_passes(tmp_path, change):
    case = planted.write_case(tmp_path, 4)
    change(case)
    ct, labels, findings = read_case(kits19.case_at(case))
    assert findings == []
    assert np.abs(np.maximum(ct.hu, -1024) - np.maximum(planted.small_ct(SHAPE, 4), -1024)).max() <= 1
    np.testing.assert_array_equal(labels, planted.labels(number=4))


def facts(name, image, label, low):
    return {name: {"image_digest": image, "label_digest": label, "hu": {"foreground": [low, 0, 0]}}}


def test_cases_that_share_a_file_are_named(tmp_path):
    """2 has the image of 0; 1 and 3 have one label, under which 1 has the lower HU."""
    cases = [kits19.case_at(planted.write_case(tmp_path, number)) for number in range(4)]
    known = facts("case_00000", "a", "k", 0) | facts("case_00001", "b", "l", -300)
    known |= facts("case_00002", "a", "m", 0) | facts("case_00003", "c", "l", 10)
    found = duplicates(cases, known)
    assert [(finding.case, finding.path) for finding in found] == [
        ("case_00002", str(cases[2].image)),
        ("case_00001", str(cases[1].label)),
    ]
    assert "case_00000" in found[0].reason and "case_00003" in found[1].reason


def test_digests_tell_arrays_apart():
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    other = array.copy()
    other[1, 2, 3] = 0
    digests = {digest(a) for a in (array, other, array.reshape(2, 4, 3), array.astype(np.uint16))}
    assert len(digests) == 4 and digest(array.copy(order="F")) in digests


def test_rounded_headers_pass(tmp_path):
    case = planted.write_case(tmp_path, 4)
    grid = volume.Grid(SHAPE, SPACING_MM, faults.shifted_affine(0.05))
    volume.write_labels(planted.labels(), grid, case / kits19.LABEL_NAME)
    assert read_case(kits19.case_at(case))[2] == []


def test_distance_is_taken_at_the_corners():
    """A slice spacing off by 0.01 mm puts the last of 101 slices 1 mm off."""
    first, second = volume.working_affine((3.0, 1.0, 1.0)), volume.working_affine((3.01, 1.0, 1.0))
    assert corner_distance_mm((101, 10, 10), first, second) == pytest.approx(1.0)


def test_gaps_part_what_is_labelled():
    """Two blocks apart along columns; a speck apart along slices is too small to count."""
    labels = np.zeros((20, 30, 40), np.uint8)
    labels[5:15, 10:20, 5:15], labels[5:15, 12:22, 25:35] = 1, 2
    labels[18, 15, 10] = 1
    assert parted_axes(labels) == [2]
    assert parted_axes(labels.transpose(0, 2, 1)) == [1]
    labels[8, 15, 15:25] = 1
    assert parted_axes(labels) == []


@pytest.mark.shared
def test_real_kidneys_are_parted_along_columns_alone(shared_data):
    """Of a few label files; all 168 were looked through once, with the same result."""
    for number in (0, 5, 40, 184):
        labels, _ = volume.read_labels(shared_data / "kits19_masks" / kits19.case_name(number) / kits19.LABEL_NAME)
        assert parted_axes(labels) == ([] if number == 5 else [2])
