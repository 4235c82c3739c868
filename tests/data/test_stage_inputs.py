"""Proves that the tumor network learns from the cubes that prediction makes."""

import dataclasses

import numpy as np
import pytest

from kits_tf import geometry, kidney_crops
from kits_tf.arrays import NumPy
from kits_tf.config import preset
from kits_tf.data import stage_inputs
from kits_tf.data.records import find_records
from kits_tf.data.stage_inputs import kidney_samples, read_sample
from kits_tf.errors import InputError
from kits_tf.io import volume
from tests import planted

CONFIG = dataclasses.replace(preset("small", "tumor"), grid=24, regression="signed_distance")


def read(sample, with_distance=True):
    return {name: value.numpy() for name, value in read_sample(str(sample["path"]), with_distance).items()}


@pytest.fixture(name="folder", scope="module")
def a_prepared_folder(tmp_path_factory):
    return planted.prepared_folder(tmp_path_factory.mktemp("kidneys"), count=1)


def test_cubes_are_predictions(folder, tmp_path):
    """Against the crop made by hand: columns below the middle are the right kidney, and air is outside of it."""
    records = find_records(folder)
    samples = kidney_samples(records, CONFIG, "labels", tmp_path)
    assert [(sample["path"].name, sample["tumor"]) for sample in samples] == [
        ("case_00000_right.tfrecord", False),
        ("case_00000_left.tfrecord", True),
    ]
    labels, hu = planted.labels(), planted.small_ct()
    for sample, half in zip(samples, (slice(0, 40), slice(40, 80)), strict=True):
        mask = np.zeros(labels.shape, bool)
        mask[:, :, half] = labels[:, :, half] > 0
        box = tuple(slice(i.min(), i.max() + 1) for i in np.nonzero(mask))
        crop = geometry.scale(NumPy, hu[box], CONFIG.clip_hu) * mask[box]
        expected = kidney_crops.to_cube(NumPy, crop, (5.0, 4.0, 4.0), CONFIG.margin_mm, CONFIG.grid)
        found = read(sample)
        np.testing.assert_allclose(geometry.scale(NumPy, found["image"], CONFIG.clip_hu), expected, atol=0.51 / 600)
        voxel_ml = np.prod(found["spacing_mm"]) / 1000
        tumor_ml = (labels[:, :, half] == 2).sum() * 80 / 1000
        np.testing.assert_allclose(found["label"].sum() * voxel_ml, tumor_ml, rtol=0.1)
        np.testing.assert_allclose(found["tumor_ml"], (labels == 2).sum() * 80 / 1000, rtol=1e-6)


def test_distance_is_signed_and_clipped(folder, tmp_path):
    """At 20 mm / (1 - 0.2): what is shrunk to 0.8 of its size still reaches the limit."""
    right, left = kidney_samples(find_records(folder), CONFIG, "labels", tmp_path)
    assert (read(right)["distance"] == 2500).all()
    found = read(left)
    assert ((found["distance"] < 0) == (found["label"] > 0)).all()
    assert 2000 < found["distance"].max() <= 2500


def test_predicted_masks_decide_what_is_kidney(folder, tmp_path):
    """A prediction of the right kidney alone, one slice short, gives one sample of that mask."""
    records, masks = find_records(folder), tmp_path / "masks"
    masks.mkdir()
    predicted = planted.labels()
    predicted[:, :, 40:] = 0
    predicted[:3] = 0
    ct = volume.Volume(planted.small_ct(), (5.0, 4.0, 4.0))
    volume.write_labels(predicted, ct, masks / "prediction_00000.nii.gz")
    [sample] = kidney_samples(records, CONFIG, str(masks), tmp_path / "samples")
    slices = np.flatnonzero((predicted > 0).any(axis=(1, 2)))
    rows = np.flatnonzero((predicted > 0).any(axis=(0, 2)))
    longest_mm = max(np.ptp(slices) * 5 + 5, np.ptp(rows) * 4 + 4)
    np.testing.assert_allclose(read(sample)["spacing_mm"], (longest_mm + CONFIG.margin_mm) / CONFIG.grid, rtol=1e-6)
    (masks / "prediction_00000.nii.gz").unlink()
    with pytest.raises(InputError, match="prediction_00000"):
        kidney_samples(records, CONFIG, str(masks), tmp_path / "samples")


def test_a_small_piece_of_a_predicted_mask_widens_no_cube(folder, tmp_path):
    """As in prediction: a piece far from the kidney it is small beside would shrink that in its cube."""
    (tmp_path / "masks").mkdir()
    predicted = planted.labels()
    predicted[:3, :9, :9] = 1  # 20 ml in a corner
    ct = volume.Volume(planted.small_ct(), (5.0, 4.0, 4.0))
    volume.write_labels(predicted, ct, tmp_path / "masks" / "prediction_00000.nii.gz")
    records = find_records(folder)

    def sides_mm(**options):
        config = dataclasses.replace(CONFIG, **options)
        samples = kidney_samples(records, config, str(tmp_path / "masks"), tmp_path / "samples")
        return [float(read(sample)["spacing_mm"][0]) for sample in samples]

    true = [float(read(s)["spacing_mm"][0]) for s in kidney_samples(records, CONFIG, "labels", tmp_path / "l")]
    assert sides_mm() == true
    assert sides_mm(min_component_share=0.0)[0] > true[0]


def test_native_cubes_are_padded_crops(folder, tmp_path):
    config = dataclasses.replace(CONFIG, grid=0, depth=2)
    for sample in kidney_samples(find_records(folder), config, "labels", tmp_path):
        found = read(sample)
        assert all(size % unit == 0 for size, unit in zip(found["image"].shape, (4, 8, 8), strict=True))
        np.testing.assert_allclose(found["spacing_mm"], (5.0, 4.0, 4.0))
        tumor_voxels = (planted.labels() == 2).sum() if sample["tumor"] else 0
        assert found["label"].sum() == tumor_voxels


def test_samples_are_cut_again_only_when_something_changed(folder, tmp_path):
    records, lines = find_records(folder), []
    for config in (CONFIG, CONFIG, dataclasses.replace(CONFIG, learning_rate=1.0), CONFIG):
        kidney_samples(records, config, "labels", tmp_path, lines.append)
    assert len(lines) == 1
    for count, option in enumerate(({"margin_mm": 20.0}, {"max_scaling": 0.3}, {"min_component_share": 0.5}), 2):
        kidney_samples(records, dataclasses.replace(CONFIG, **option), "labels", tmp_path, lines.append)
        assert len(lines) == count


def test_a_killed_cut_leaves_no_index_of_the_samples_before(folder, tmp_path, monkeypatch):
    records = find_records(folder)
    kidney_samples(records, CONFIG, "labels", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(stage_inputs, "cut_case", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            kidney_samples(records, dataclasses.replace(CONFIG, margin_mm=20.0), "labels", tmp_path)
    lines = []
    kidney_samples(records, CONFIG, "labels", tmp_path, lines.append)
    assert len(lines) == 1
