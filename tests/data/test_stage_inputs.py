"""Proves that training sees the working grid and the cubes that prediction makes, from a disk and from a bucket."""

import concurrent.futures
import dataclasses
import os
import pathlib
import threading

import numpy as np
import pytest
from scipy import ndimage

from kits_tf import geometry, kidney_crops
from kits_tf.arrays import NumPy
from kits_tf.config import preset
from kits_tf.data import stage_inputs
from kits_tf.data.records import find_records, read_record
from kits_tf.data.stage_inputs import kidney_samples, read_sample, working_records
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
    """Against the crop made by hand: right kidneys lie below the middle column; one voxel around is seen."""
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
        mask = ndimage.binary_dilation(mask, np.ones((3, 3, 3))) & (mask | (labels == 0))
        box = tuple(slice(i.min(), i.max() + 1) for i in np.nonzero(mask))
        crop = geometry.scale(NumPy, hu[box], CONFIG.clip_hu) * mask[box]
        expected = kidney_crops.to_cube(NumPy, crop, (5.0, 4.0, 4.0), CONFIG.margin_mm, CONFIG.grid)
        found = read(sample)
        np.testing.assert_allclose(geometry.scale(NumPy, found["image"], CONFIG.clip_hu), expected, atol=0.51 / 600)
        voxel_ml = np.prod(found["spacing_mm"]) / 1000
        tumor_ml = (labels[:, :, half] == 2).sum() * 80 / 1000
        np.testing.assert_allclose(found["label"].sum() * voxel_ml, tumor_ml, rtol=0.1)
        np.testing.assert_allclose(found["tumor_ml"], (labels == 2).sum() * 80 / 1000, rtol=1e-6)
    # Distances are clipped at 20 mm / (1 - 0.2): what is shrunk to 0.8 of its size still reaches the limit.
    right, left = map(read, samples)
    assert (right["distance"] == 2500).all()
    assert ((left["distance"] < 0) == (left["label"] > 0)).all()
    assert 2000 < left["distance"].max() <= 2500


def write_mask(folder, labels, origin=(0.0, 0.0, 0.0)):
    """Writes a prediction of case 0 and returns the options that name it."""
    folder.mkdir(exist_ok=True)
    affine = volume.working_affine((5.0, 4.0, 4.0), origin)
    volume.write_labels(labels, volume.Grid(labels.shape, (5.0, 4.0, 4.0), affine), folder / "prediction_00000.nii.gz")
    return str(folder)


def test_predicted_masks_decide_what_is_kidney(folder, tmp_path):
    """A prediction of the right kidney alone, three slices short, gives one sample of that mask."""
    predicted = planted.labels()
    predicted[:, :, 40:] = predicted[:3] = 0
    masks = write_mask(tmp_path / "masks", predicted)
    [sample] = kidney_samples(find_records(folder), CONFIG, masks, tmp_path / "samples")
    seen = ndimage.binary_dilation(predicted > 0, np.ones((1, 3, 3)))
    longest_mm = max((np.ptp(np.nonzero(seen), axis=1) + 1) * (5, 4, 4))
    np.testing.assert_allclose(read(sample)["spacing_mm"], (longest_mm + CONFIG.margin_mm) / CONFIG.grid, rtol=1e-6)


@pytest.mark.parametrize("fault, word", [("missing", "no such file"), ("smaller", "shape"), ("elsewhere", "affine")])
def test_masks_that_do_not_fit_are_refused(folder, tmp_path, fault, word):
    """The last lies 88 mm away."""
    labels = planted.labels()
    if fault != "missing":
        origin = (0.0, 0.0, 88.0 if fault == "elsewhere" else 0.0)
        write_mask(tmp_path, labels[:, :, :79] if fault == "smaller" else labels, origin)
    with pytest.raises(InputError, match=word) as error:
        kidney_samples(find_records(folder), CONFIG, str(tmp_path), tmp_path / "samples")
    assert error.value.path.endswith("prediction_00000.nii.gz")


def test_a_small_piece_of_a_predicted_mask_widens_no_cube(folder, tmp_path):
    """As in prediction: a piece far from the kidney would shrink that in its cube."""
    predicted = planted.labels()
    predicted[:3, :9, :9] = 1  # 20 ml in a corner
    masks, records = write_mask(tmp_path / "masks", predicted), find_records(folder)

    def sides_mm(**options):
        config = dataclasses.replace(CONFIG, **options)
        samples = kidney_samples(records, config, masks, tmp_path / "samples")
        return [float(read(sample)["spacing_mm"][0]) for sample in samples]

    true = [float(read(s)["spacing_mm"][0]) for s in kidney_samples(records, CONFIG, "labels", tmp_path / "l")]
    assert sides_mm() == sides_mm(min_agreement=0.0, min_component_ml=25.0) == true
    assert sides_mm(min_agreement=0.0)[0] > true[0]


def test_native_cubes_are_padded_crops(folder, tmp_path):
    config = dataclasses.replace(CONFIG, grid=0, depth=2)
    for sample in kidney_samples(find_records(folder), config, "labels", tmp_path):
        found = read(sample)
        assert all(size % unit == 0 for size, unit in zip(found["image"].shape, (4, 8, 8), strict=True))
        np.testing.assert_allclose(found["spacing_mm"], (5.0, 4.0, 4.0))
        tumor_voxels = (planted.labels() == 2).sum() if sample["tumor"] else 0
        assert found["label"].sum() == tumor_voxels


def test_samples_are_cut_again_only_when_something_changed(folder, tmp_path, monkeypatch):
    """A cut that was killed counts as a change."""
    records, lines = find_records(folder), []
    for config in (CONFIG, CONFIG, dataclasses.replace(CONFIG, learning_rate=1.0), CONFIG):
        kidney_samples(records, config, "labels", tmp_path, lines.append)
    assert len(lines) == 1
    for count, option in enumerate(({"margin_mm": 20.0}, {"max_scaling": 0.3}, {"min_component_ml": 5.0}), 2):
        kidney_samples(records, dataclasses.replace(CONFIG, **option), "labels", tmp_path, lines.append)
        assert len(lines) == count
    with monkeypatch.context() as patch:
        patch.setattr(stage_inputs, "_cut_case", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            kidney_samples(records, CONFIG, "labels", tmp_path)
    kidney_samples(records, dataclasses.replace(CONFIG, **option), "labels", tmp_path, lines.append)
    assert len(lines) == 5


GRID = dataclasses.replace(preset("small", "kidney", "axial"), inplane_mm=6.0, slice_mm=0.0)


def test_the_resized_image_is_that_of_prediction_and_the_label_follows(folder):
    [source] = find_records(folder)
    [target] = working_records([source], GRID)
    record, found = read_record(source), read_record(target)
    sizes = [round(size * 4.0 / 6.0) for size in record.image.shape[1:]]
    assert found.image.shape == (12, *sizes) == found.full_shape
    assert np.abs(found.image - geometry.resized(record.image, (12, *sizes), geometry.clipped)).max() <= 0.5
    for axis, size in zip((1, 2), sizes, strict=True):
        assert found.spacing_mm[axis] == record.spacing_mm[axis] * record.image.shape[axis] / size
    before, after = (np.count_nonzero(r.label) * np.prod(r.spacing_mm) for r in (record, found))
    assert set(np.unique(found.label)) == {0, 1}
    np.testing.assert_allclose(after, before, rtol=0.05)
    assert working_records([source], dataclasses.replace(GRID, inplane_mm=0.0)) == [source]


def test_whole_slices_are_restored_and_resized_where_the_config_asks_for_it(tmp_path):
    image = np.full((2, 20, 30), 100, np.int16)
    path = planted.write_record(tmp_path / "a.tfrecord", image, np.zeros(image.shape, np.uint8), (2, 40, 60), (12, 18))
    config = dataclasses.replace(GRID, inplane_mm=2.0, slice_mm=1.5, body_box=False)
    whole = stage_inputs.resized(read_record(path), config)
    assert whole.image.shape == (4, 20, 30) and whole.spacing_mm == (1.5, 2.0, 2.0)
    assert whole.image[0, 0, 0] == -1024 and whole.image[0, 10, 15] == 100


def test_resized_cases_are_made_once_and_again_if_their_source_is_newer(tmp_path):
    sources, lines = find_records(planted.prepared_folder(tmp_path, count=2)), []
    targets = working_records(sources, GRID, lines.append)
    assert len(lines) == 1 and {pathlib.Path(path).parent.name for path in targets} == {"0x6mm_body"}
    assert working_records(sources, GRID, lines.append) == targets and len(lines) == 1
    os.utime(sources[0], ns=(2**62, 2**62))
    working_records(sources, GRID, lines.append)
    assert len(lines) == 2 and "resizing 1 " in lines[1]


def test_two_networks_that_start_together_resize_each_case_once(tmp_path, monkeypatch):
    """Both have seen that everything is missing before either begins."""
    sources, done = find_records(planted.prepared_folder(tmp_path, count=2)), []
    both_know = threading.Barrier(2, timeout=60)
    resized = stage_inputs.resized
    monkeypatch.setattr(stage_inputs, "resized", lambda *case: (done.append(case), resized(*case))[1])
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(working_records, sources, GRID, lambda line: both_know.wait()) for _ in range(2)]
        assert runs[0].result() == runs[1].result()
    assert len(done) == 2


def test_two_workers_that_start_together_cut_the_kidneys_once(folder, tmp_path):
    lines = []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        arguments = find_records(folder), CONFIG, "labels", tmp_path, lines.append
        runs = [pool.submit(kidney_samples, *arguments) for _ in range(2)]
        assert runs[0].result() == runs[1].result() and len(lines) == 1


def test_a_bucket_gives_the_same(folder, tmp_path):
    import tensorflow as tf

    remote = "ram://bucket/stages"
    tf.io.gfile.makedirs(f"{remote}/cases")
    for name in ("dataset.json", "cases/case_00000.tfrecord"):
        tf.io.gfile.copy(f"{folder}/{name}", f"{remote}/{name}")
    resized, lines = [working_records(find_records(place), GRID, str) for place in (folder, remote)], []
    np.testing.assert_array_equal(*(read_record(path).image for [path] in resized))
    assert working_records(find_records(remote), GRID, lines.append) == resized[1] and lines == []
    samples = [
        kidney_samples(find_records(place), CONFIG, "labels", tmp_path / str(place)[:3]) for place in (folder, remote)
    ]
    for own, other in zip(*samples, strict=True):
        assert own["path"].read_bytes() == other["path"].read_bytes()
