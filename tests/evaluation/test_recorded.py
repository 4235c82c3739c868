"""The JSON beside a label file says whether tumors were looked for; without one, or with a tumor drawn, they were."""

import json

import numpy as np
import pytest

from kits_tf.evaluation import recorded

KIDNEY = np.array([[[0, 1, 1]]], np.uint8)
TUMOR = np.array([[[0, 1, 2]]], np.uint8)


@pytest.mark.parametrize("name", ["prediction_00001.nii.gz", "scan_segmentation.nii"])
def test_the_json_beside_has_the_label_files_name(tmp_path, name):
    path = tmp_path / name
    assert recorded.beside(path) == {}
    path.with_name(f"{name.split('.')[0]}.json").write_text(json.dumps({"tumor_ml": None}))
    assert recorded.beside(path) == {"tumor_ml": None}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff"])
def test_what_is_no_record_is_empty(tmp_path, content):
    (tmp_path / "ct_segmentation.json").write_bytes(content)
    assert recorded.beside(tmp_path / "ct_segmentation.nii.gz") == {}


def test_only_a_null_without_a_tumor_in_the_labels_is_not_looked_for():
    assert recorded.tumors_not_looked_for({"tumor_ml": None}, KIDNEY) is True
    assert recorded.tumors_not_looked_for({"tumor_ml": None}, KIDNEY * 0) is True
    assert recorded.tumors_not_looked_for({"tumor_ml": None}, TUMOR) is False  # drawn by hand since
    assert recorded.tumors_not_looked_for({"tumor_ml": 0.0}, KIDNEY) is False
    assert recorded.tumors_not_looked_for({}, KIDNEY) is False
