"""Proves that each fault of a case is found and named, and that fine cases pass."""

import numpy as np
import pytest

from kits_tf.data import kits19, validate
from kits_tf.io import volume
from tests import planted
from tests.data import faults


def checked(folder, change=None):
    case = planted.write_case(folder, 4)
    if change is not None:
        change(case)
    return validate.read_case(kits19.case_at(case))


@pytest.mark.parametrize("fault, file, word", faults.FAULTS.values(), ids=faults.FAULTS)
def test_each_fault_is_named_with_its_file(tmp_path, fault, file, word):
    ct, labels, [finding] = checked(tmp_path, fault)
    assert ct is None and labels is None and not finding.is_warning
    assert (finding.case, finding.path) == ("case_00004", str(tmp_path / "case_00004" / file))
    assert word in finding.reason and finding.remedy
    assert "\n" not in str(finding)


@pytest.mark.parametrize("change", [None, *faults.FINE.values()], ids=["plain", *faults.FINE])
def test_usable_cases_pass(tmp_path, change):
    ct, labels, findings = checked(tmp_path, change)
    assert findings == []
    assert np.abs(np.maximum(ct.hu, -1024) - np.maximum(planted.small_ct(ct.shape, 4), -1024)).max() <= 1
    np.testing.assert_array_equal(labels, planted.labels(number=4))


@pytest.mark.parametrize("change, word", faults.ODD.values(), ids=faults.ODD)
def test_odd_cases_are_kept_with_a_warning(tmp_path, change, word):
    ct, labels, findings = checked(tmp_path, change)
    assert ct is not None and labels is not None
    assert all(finding.is_warning and "warning" in str(finding) for finding in findings)
    assert any(word in finding.reason for finding in findings)


def test_cases_that_share_a_file_are_named(tmp_path):
    """2 has the image of 0; 1 and 3 have one label, under which 1 has the lower HU."""
    cases = [kits19.case_at(planted.write_case(tmp_path, number)) for number in range(4)]
    rows = zip(cases, "abac", "klml", (0, -300, 0, 10), strict=True)
    entries = {
        case.id: {"image_digest": image, "label_digest": label, "hu": {"foreground": [low, 0, 0]}}
        for case, image, label, low in rows
    }
    found = validate.find_duplicates(cases, entries)
    assert [(finding.path, finding.reason) for finding in found] == [
        (str(cases[2].image), "same image as case_00000"),
        (str(cases[1].label), "same label as case_00003"),
    ]


def test_digests_differ_by_content_shape_and_type():
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    digests = {validate.digest(a) for a in (array, array[:, ::-1], array.reshape(2, 4, 3), array.astype(np.uint16))}
    assert len(digests) == 4 and validate.digest(array.copy(order="F")) in digests


def test_gaps_separate_the_kidneys():
    """Two blocks apart along columns; a speck apart along slices is too small to count."""
    labels = np.zeros((20, 30, 40), np.uint8)
    labels[5:15, 10:20, 5:15], labels[5:15, 12:22, 25:35] = 1, 2
    labels[18, 15, 10] = 1
    assert validate.separated_axes(labels) == [2]
    assert validate.separated_axes(labels.transpose(0, 2, 1)) == [1]
    labels[8, 15, 15:25] = 1
    assert validate.separated_axes(labels) == []


@pytest.mark.shared
def test_real_kidneys_are_separated_along_columns_alone(shared_data):
    """In a few label files; all 168 were checked once, with the same result."""
    for number in (0, 5, 184):
        path = shared_data / "kits19_masks" / kits19.case_name(number) / kits19.LABEL_NAME
        assert validate.separated_axes(volume.read_labels(path)[0]) == ([] if number == 5 else [2])


@pytest.mark.shared
@pytest.mark.parametrize("change", [None, lambda k: k[:, :, ::-1], lambda k: k[::-1], lambda k: np.roll(k, 8, axis=0)])
def test_misplaced_labels_of_a_real_ct_are_not_accepted_silently(shared_data, tmp_path, change):
    """Mirrored, upside down and 20 mm too low; all 13 real CTs were checked so once."""
    folder = shared_data / "real_ct" / "hcc_011_arterial"
    labels, grid = volume.read_labels(folder / "kidney.nii.gz")
    volume.write_labels(labels if change is None else change(labels), grid, tmp_path / kits19.LABEL_NAME)
    (tmp_path / kits19.IMAGE_NAME).symlink_to(folder / kits19.IMAGE_NAME)
    case = kits19.Case("case_00000", tmp_path, tmp_path / kits19.IMAGE_NAME, tmp_path / kits19.LABEL_NAME)
    assert bool(validate.read_case(case)[2]) == (change is not None)
