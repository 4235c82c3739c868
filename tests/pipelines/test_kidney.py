"""Proves on a volume whose every voxel tells its own place that patches are what they should be, in every plane."""

import dataclasses

import numpy as np
import pytest

from kits_tf import geometry
from kits_tf.arrays import NumPy
from kits_tf.config import PLANES, patch_size, preset
from kits_tf.data import records
from kits_tf.data.stage_inputs import working_records
from kits_tf.inference.kidney import slab_batch
from kits_tf.inference.segmenter import Segmenter
from kits_tf.io.volume import Volume
from kits_tf.pipelines import kidney
from kits_tf.pipelines.sampling import Order
from tests import planted
from tests.identity import IdentityEngine
from tests.tiny import small_ct

SHAPE = (8, 15, 21)
SIDES = {"patch_rows": 10, "patch_columns": 8, "patch_slices": 6}
CONFIG = dataclasses.replace(preset("paper", "kidney", "axial"), body_box=True, augment=False, **SIDES)
ORDER = Order(num_cases=1, per_visit=8, seed=0, batch_size=4)
RANDOM_LABEL = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)
CODED_IMAGE = (np.arange(np.prod(SHAPE), dtype=np.int16) - 1023).reshape(SHAPE)  # HU tell the voxel's number
AXES = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}  # index, height, width


def places(slab):
    """(slice, row, column) of every value of a slab, and a mask of what is padding."""
    numbers = np.rint(slab * 3149).astype(int) - 1
    return np.stack(np.unravel_index(np.maximum(numbers, 0), SHAPE)), numbers < 0


def draw(tmp_path, config, count=40, label=None, **where):
    path = tmp_path / "case_00000.tfrecord"
    if not path.is_file():
        planted.write_record(path, CODED_IMAGE, RANDOM_LABEL if label is None else label, **where)
    return list(kidney.samples([path], config, ORDER).take(count).as_numpy_iterator())


@pytest.mark.parametrize("plane, mirror", [("axial", False), ("axial", True), ("coronal", False), ("sagittal", True)])
def test_slabs_are_adjacent_slices_and_the_label_is_the_centres(tmp_path, plane, mirror):
    config = dataclasses.replace(CONFIG, plane=plane, mirror=mirror, overlap=2 if plane == "axial" else 0)
    index_axis, height_axis, width_axis = AXES[plane]
    labels, seen = RANDOM_LABEL > 0, set()
    for sample in draw(tmp_path, config):
        place, padding = places(sample["slab"])
        inside = ~padding[..., 1]
        assert sample["slab"].shape == (*patch_size(config), 3)
        index = place[index_axis][inside][0, 1]
        assert (place[index_axis][inside][:, 1] == index).all()
        across = place[2][..., 1][inside]
        is_left = across.min() >= 10 - config.overlap and (across.max() > 10 or plane == "sagittal")
        flipped = mirror and is_left
        neighbours = np.clip([index - 1, index, index + 1], 0, SHAPE[index_axis] - 1)
        expected = neighbours[::-1] if flipped and plane == "sagittal" else neighbours
        np.testing.assert_array_equal(place[index_axis][inside], np.broadcast_to(expected, (inside.sum(), 3)))
        rows, columns = place[height_axis][..., 1], place[width_axis][..., 1]
        height, width = inside.sum(axis=0).max(), inside.sum(axis=1).max()
        assert inside[:height, :width].all() and inside.sum() == height * width  # padding at the ends alone
        assert (np.diff(rows[:height, :width], axis=0) == 1).all()
        step = -1 if flipped and plane != "sagittal" else 1
        assert (np.diff(columns[:height, :width], axis=1) == step).all()
        if plane != "sagittal":  # a half ends at the middle, or as far beyond it as the overlap says
            assert columns[inside].max() < 10 + config.overlap or columns[inside].min() >= 10 - config.overlap
        truth = labels[tuple(place[..., 1])] & inside
        np.testing.assert_array_equal(sample["label"][..., 0], truth)
        seen.add((index, is_left))
    assert len(seen) > 10 and {side for _, side in seen} == {False, True}


@pytest.mark.parametrize("plane", PLANES)
def test_mirrored_halves_narrower_than_a_patch_are_seen_as_in_prediction(tmp_path, plane):
    """Halves of 10 and 11 columns, padded to 16 by either; so are 15 rows and 8 slices."""
    sides = {"patch_rows": 16, "patch_columns": 16, "patch_slices": 16}
    config = dataclasses.replace(CONFIG, plane=plane, mirror=True, **sides)
    expected = []
    for half, is_left in zip(geometry.halves(NumPy, plane, SHAPE), (False, True), strict=True):
        indices = np.arange(*half.indices, dtype=np.int32)
        expected += [(is_left, s) for s in slab_batch(NumPy, config, CODED_IMAGE, half, indices, is_left)]
    seen = []
    for sample in draw(tmp_path, config):
        [is_left] = [side for side, slab in expected if np.allclose(sample["slab"], slab, atol=1e-6)]
        seen.append(is_left)
        place, padding = places(sample["slab"])
        truth = (RANDOM_LABEL > 0)[tuple(place[..., 1])] & ~padding[..., 1]
        np.testing.assert_array_equal(sample["label"][..., 0], truth)
    assert set(seen) == {False, True}


def test_whole_slices_are_restored_without_the_body_box(tmp_path):
    """The box lies at rows 3 to 18 and columns 2 to 23 of 20 x 40: the middle is column 20 of the whole image."""
    config = dataclasses.replace(CONFIG, body_box=False, patch_rows=20, patch_columns=20)
    where = {"full_shape": (8, 20, 40), "corner": (3, 2)}
    sides = set()
    for sample in draw(tmp_path, config, **where):
        place, padding = places(sample["slab"])
        inside = ~padding[..., 1]
        is_left = place[2][..., 1][inside].min() >= 18
        expected = np.zeros((20, 20), bool)
        expected[3:18, slice(0, 3) if is_left else slice(2, 20)] = True
        np.testing.assert_array_equal(inside, expected)
        sides.add(is_left)
    assert sides == {False, True}


class Recorder(IdentityEngine):
    """Keeps the slabs that it is given, padded to 96 x 96."""

    def __init__(self):
        self.slabs = []

    def probability(self, network, batch):
        widths = [(0, 0), *((0, 96 - size) for size in batch.shape[1:3]), (0, 0)]
        self.slabs.extend(np.pad(batch, widths))
        return super().probability(network, batch)


@pytest.mark.parametrize(
    "name, plane, tolerance",
    [*(("paper", plane, 1e-6) for plane in PLANES), ("small", "axial", 0.51 / 600)],  # working grids are whole HU
)
def test_training_sees_the_slabs_that_prediction_makes_of_the_ct(tmp_path, name, plane, tolerance):
    """Of a CT with a table, which is not prepared: `paper` sees whole slices, `small` the body."""
    options = {"augment": False, "foreground_fraction": 0.0} | dict.fromkeys(SIDES, 96)
    config = dataclasses.replace(preset(name, "kidney", plane), depth=2, **options)
    hu, spacing_mm = small_ct(), (3.0, 3.0, 3.0)
    hu[:, 58, 5:75] = 150
    record = records.from_volume(Volume(hu, spacing_mm), (hu > 120).astype(np.uint8), "IPL")
    assert record.box.rows[1] < 58
    path = tmp_path / "cases" / "case_00000.tfrecord"
    records.write_record(record, path)
    engine = Recorder()
    Segmenter(engine, {f"kidney_{plane}": config}).segment(hu, spacing_mm)
    paths = working_records([path], config)
    for sample in kidney.samples(paths, config, ORDER).take(40).as_numpy_iterator():
        assert min(np.abs(sample["slab"] - slab).max() for slab in engine.slabs) < tolerance


@pytest.mark.parametrize("plane, fraction, share", [*((plane, 1.0, 1.0) for plane in PLANES), ("axial", 0.5, 0.55)])
def test_foreground_samples_hold_foreground(tmp_path, plane, fraction, share):
    """One foreground voxel: every oversampled patch holds it; of the others hardly any does."""
    label = np.zeros(SHAPE, np.uint8)
    label[5, 9, 17] = 2
    config = dataclasses.replace(CONFIG, plane=plane, foreground_fraction=fraction, patch_slices=4)
    samples = [sample["label"][..., 0] for sample in draw(tmp_path, config, 80, label=label)]
    assert np.mean([sample.sum() for sample in samples]) == pytest.approx(share, abs=0.25 if fraction < 1 else 0)
    assert len({tuple(np.argwhere(sample)[0]) for sample in samples if sample.any()}) > 4  # not always at one spot


def test_a_case_without_foreground_is_drawn_evenly(tmp_path):
    samples = draw(tmp_path, dataclasses.replace(CONFIG, foreground_fraction=1.0), label=np.zeros(SHAPE, np.uint8))
    assert len({int(places(sample["slab"])[0][0, 0, 0, 1]) for sample in samples}) > 4
    assert not any(sample["label"].any() for sample in samples)


def test_the_label_follows_the_image_through_augmentation(tmp_path):
    """Image and label are one picture; both are interpolated and cut at one half."""
    label = np.zeros(SHAPE, np.uint8)
    label[:, 4:11, 3:8] = 1
    hu = np.where(label > 0, 2125, -1024).astype(np.int16)
    path = planted.write_record(tmp_path / "case_00000.tfrecord", hu, label)
    still = {"max_shift_hu": 0.0, "max_intensity_scaling": 0.0, "max_noise_hu": 0.0}
    config = dataclasses.replace(CONFIG, augment=True, foreground_fraction=1.0, **still)
    samples = list(kidney.samples([path], config, ORDER).take(16).as_numpy_iterator())
    for sample in samples:
        clear = np.abs(sample["slab"][..., 1] - 0.5) > 1e-4
        np.testing.assert_array_equal((sample["slab"][..., 1] > 0.5)[clear], (sample["label"][..., 0] > 0.5)[clear])
    assert any(((sample["slab"] > 0) & (sample["slab"] < 1)).any() for sample in samples)


def test_samples_are_the_same_from_any_step(tmp_path):
    paths = [tmp_path / f"case_0000{n}.tfrecord" for n in range(2)]
    for n, path in enumerate(paths):
        planted.write_record(path, CODED_IMAGE + n, RANDOM_LABEL)
    config = dataclasses.replace(CONFIG, augment=True, foreground_fraction=0.5, max_scaling=0.0, max_elastic_mm=0.0)
    order = dataclasses.replace(ORDER, num_cases=2, seed=3)
    whole = list(kidney.samples(paths, config, order).take(44).as_numpy_iterator())
    for sample, expected in zip(kidney.samples(paths, config, order, step=7).take(16), whole[28:], strict=True):
        for name, value in expected.items():
            np.testing.assert_array_equal(sample[name], value)
