"""Proves that sub-blocks are parts of the cubes, that targets follow the image, and that samples repeat."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from kits_tf import geometry, kidney_crops
from kits_tf.arrays import NumPy
from kits_tf.config import preset
from kits_tf.data.records import find_records
from kits_tf.data.stage_inputs import kidney_samples, read_sample
from kits_tf.pipelines import tumor
from kits_tf.pipelines.sampling import Order
from tests import planted

PLAIN = {"grid": 16, "depth": 2, "blocks": "split", "augment": False, "foreground_fraction": 0.0}
CONFIG = dataclasses.replace(preset("small", "tumor"), regression="signed_distance", **PLAIN)
ORDER = Order(num_cases=2, per_visit=4, seed=0, batch_size=2)


@pytest.fixture(name="records", scope="module")
def one_record(prepared):
    return find_records(prepared)[:1]


def draw(records, folder, config, count, step=0):
    sources = kidney_samples(records, config, "labels", folder)
    order = dataclasses.replace(ORDER, per_visit=tumor.per_visit(config))
    return list(tumor.samples(sources, config, order, step).take(count).as_numpy_iterator())


@pytest.mark.parametrize("blocks", ["split", "overlap", "polyphase", "none"])
def test_a_visit_gives_the_blocks_of_a_cube(records, tmp_path, blocks):
    config = dataclasses.replace(CONFIG, blocks=blocks, grid=32 if blocks == "overlap" else 16)
    sources = kidney_samples(records, config, "labels", tmp_path)
    expected = {"image": [], "label": [], "distance_mm": []}
    for source in sources:
        cube = {name: value.numpy() for name, value in read_sample(str(source["path"]), True).items()}
        image = geometry.scale(NumPy, cube["image"], config.clip_hu)
        for name, array in zip(expected, (image, cube["label"], cube["distance"] / 100), strict=True):
            expected[name] += list(kidney_crops.split(NumPy, array, blocks))
    pool = 8  # visits; with two kidneys these are four epochs
    per_visit = 1 if blocks in ("polyphase", "none") else 4
    assert tumor.per_visit(config) == per_visit
    samples = draw(records, tmp_path, config, pool * per_visit)
    for sample in samples:
        image = sample["image"][..., 0]
        [number] = [i for i, block in enumerate(expected["image"]) if np.allclose(block, image, atol=1e-6)]
        np.testing.assert_array_equal(sample["label"][..., 0], expected["label"][number])
        np.testing.assert_allclose(sample["distance_mm"][..., 0], expected["distance_mm"][number], rtol=1e-5)
        np.testing.assert_allclose(sample["tumor_ml"], (planted.labels() == 2).sum() * 80 / 1000, rtol=1e-6)
    for visit in range(pool):
        seen = {sample["image"].tobytes() for sample in samples[visit::pool]}
        assert len(seen) == per_visit


def test_label_and_distance_follow_the_image(records, tmp_path):
    """The sign of the distance says tumor or not, before and after augmentation."""
    config = dataclasses.replace(CONFIG, augment=True, grid=32)
    for sample in draw(records, tmp_path, config, 16):
        clear = np.abs(sample["distance_mm"]) > 4.0
        np.testing.assert_array_equal(sample["distance_mm"][clear] < 0, sample["label"][clear] > 0)
        assert set(np.unique(sample["label"])) <= {0, 1}
        assert (sample["image"][sample["label"] > 0] > 0).mean() > 0.9 if sample["label"].any() else True


def test_an_enlarged_tumor_is_as_much_further_away(records, tmp_path):
    """Where nothing but the size changes, the sampled distance is that from the label as it is afterwards."""
    still = {"max_rotation_degrees": 0.0, "max_shift_hu": 0.0, "max_intensity_scaling": 0.0, "max_noise_hu": 0.0}
    options = {"blocks": "polyphase", "max_scaling": 0.6, "max_distance_mm": 40.0, "foreground_fraction": 1.0}
    config = dataclasses.replace(CONFIG, augment=True, grid=32, **still, **options)
    sources = kidney_samples(records, config, "labels", tmp_path)
    [source] = [source for source in sources if source["tumor"]]
    spacing_mm = read_sample(str(source["path"]), True)["spacing_mm"].numpy() * (1, 2, 2)  # of a phase
    errors = []
    for sample in draw(records, tmp_path, config, 12):
        inside, found = sample["label"][..., 0] > 0, sample["distance_mm"][..., 0]
        expected = ndimage.distance_transform_edt(~inside, sampling=spacing_mm)
        outside = (expected > 0) & (expected < 15) & (found < 30)
        errors.append(np.abs(found - expected)[outside].mean() / expected[outside].mean())
    assert np.median(errors) < 0.15


def test_a_shrunk_kidney_without_tumor_is_as_far_from_one_as_targets_go(records, tmp_path):
    options = {"blocks": "polyphase", "grid": 20, "depth": 3, "max_scaling": 0.3}  # blocks of 10 become 16
    config = dataclasses.replace(CONFIG, augment=True, **options)
    sources = kidney_samples(records, config, "labels", tmp_path)
    sources = [source for source in sources if not source["tumor"]]
    order = dataclasses.replace(ORDER, num_cases=1, per_visit=tumor.per_visit(config))
    for sample in tumor.samples(sources, config, order).take(8).as_numpy_iterator():
        assert sample["distance_mm"].min() >= config.max_distance_mm


def test_blocks_are_padded_with_what_is_beyond_the_cube():
    config = dataclasses.replace(CONFIG, grid=20, depth=3)  # blocks of 10 become 16
    cube = tf.fill([20, 20, 20], 7.0)
    for beyond in (0.0, 40.0):
        padded = tumor.blocks(cube, config, beyond).numpy()
        assert padded.shape == (4, 24, 16, 16)
        np.testing.assert_array_equal(np.unique(padded), sorted({7.0, beyond}))
        np.testing.assert_array_equal(padded[:, :20, :10, :10], 7.0)


def test_foreground_visits_go_to_kidneys_with_tumor(records, tmp_path):
    """One of the two kidneys has a tumor; a pool of eight visits draws 32 samples."""
    plain = draw(records, tmp_path, CONFIG, 32)
    redirected = draw(records, tmp_path, dataclasses.replace(CONFIG, foreground_fraction=1.0), 32)
    visits = [{bool(s["label"].any()) for s in samples[v::8]} for samples in (plain, redirected) for v in range(8)]
    assert any(True not in visit for visit in visits[:8])
    assert all(True in visit for visit in visits[8:])


def test_samples_are_the_same_from_any_step(records, tmp_path):
    config = dataclasses.replace(CONFIG, augment=True, regression="intensity", max_scaling=0.0, max_elastic_mm=0.0)
    whole = draw(records, tmp_path, config, 50)
    for sample, expected in zip(draw(records, tmp_path, config, 12, step=19), whole[38:], strict=True):
        assert set(sample) == {"image", "label", "tumor_ml"}
        for name, value in expected.items():
            np.testing.assert_array_equal(sample[name], value)


def test_native_blocks_fit_the_network(records, tmp_path):
    """Their shapes are unknown while augmentation is traced."""
    appearance = {"max_gamma": 0.3, "max_blur_mm": 2.0, "max_coarsening": 1.0}
    config = dataclasses.replace(CONFIG, grid=0, augment=True, **appearance)
    for sample in draw(records, tmp_path, config, 8):
        assert all(size % 4 == 0 for size in sample["image"].shape[:3])
