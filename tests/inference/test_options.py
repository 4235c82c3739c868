"""Proves that what decides the labels is recorded, and that other weights under the same name are noticed."""

import json
import shutil

import pytest

from kits_tf.errors import InputError
from kits_tf.inference import options
from tests.tiny import write_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def recorded(folder, **changed):
    given = {"stage": "both", "planes": ["sagittal", "axial"], "fusion": "union", "tta": "none"} | changed
    return options.recorded([folder], **given)


def test_the_record_survives_json_and_does_not_depend_on_the_order_of_planes(checkpoint):
    roi = (slice(20, 80), slice(None), slice(None, 256))
    found = recorded(checkpoint, roi=roi)
    assert found["planes"] == ["axial", "sagittal"] and found["roi"] == "20:80,0:,0:256"
    assert json.loads(json.dumps(found)) == recorded(checkpoint, roi=roi, planes=["axial", "sagittal"])


def test_given_kidneys_make_planes_and_fusion_no_matter_and_are_told_by_their_content(checkpoint, tmp_path):
    found = recorded(checkpoint, stage="tumor")
    assert (found["planes"], found["fusion"]) == (None, None)
    digests = set()
    for content in (b"one", b"two"):
        (tmp_path / "mask").write_bytes(content)
        digests.add(options.of_case(found, tmp_path / "mask")["kidney_mask"])
    assert len(digests) == 2 and options.of_case(found, None)["kidney_mask"] is None


def test_a_region_of_everything_is_none_and_the_order_of_checkpoints_no_matter(checkpoint, tmp_path):
    assert recorded(checkpoint, roi=(slice(None), slice(0, None), slice(None, None))) == recorded(checkpoint)
    other = write_checkpoint(tmp_path / "other", seed=1)
    two = [
        options.recorded(pair, "both", ["axial"], "union", "none")
        for pair in ([checkpoint, other], [other, checkpoint])
    ]
    assert two[0] == two[1] and two[0]["weights"] != recorded(checkpoint)["weights"]


def test_weights_count_where_their_network_runs(checkpoint, tmp_path):
    other = shutil.copytree(checkpoint, tmp_path / "other")
    assert recorded(other) == recorded(checkpoint)
    with open(other / "tumor" / "model.weights.h5", "ab") as file:
        file.write(b"trained on")
    assert recorded(other, stage="kidney") == recorded(checkpoint, stage="kidney")
    before = {"options": recorded(checkpoint), "checkpoint": "tiny"}
    assert options.difference(before, recorded(other)) == "weights of tiny that are not those of now"


def test_a_network_that_is_missing_is_named(checkpoint, tmp_path):
    (shutil.copytree(checkpoint, tmp_path / "other") / "kidney_axial" / "model.weights.h5").unlink()
    with pytest.raises(InputError, match="model.weights.h5: no such file"):
        recorded(tmp_path / "other")


def test_the_first_difference_is_told():
    assert options.difference({"options": {"stage": "both", "planes": ["axial"], "tta": "flip"}}, {
        "stage": "both", "planes": ["axial", "coronal"], "tta": "none",
    }) == "planes axial, now axial,coronal"  # fmt: skip
