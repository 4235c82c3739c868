"""Proves what tells training data apart, what is refused, and how kidneys of different sizes share a batch."""

import numpy as np
import pytest
import tensorflow as tf

from kits_tf.data.records import read_index
from kits_tf.data.stage_inputs import kidney_samples, mask_path, read_sample, write_sample
from kits_tf.errors import UsageError
from kits_tf.training import data
from tests.training.tiny_runs import tiny_config


def test_other_kidney_masks_are_other_data(prepared, tmp_path):
    """Masks with other content, whatever their names and times; those of unknown cases do not matter."""
    cases = [case["id"] for case in read_index(prepared)["cases"]]
    for number, case in enumerate(cases):
        mask_path(tmp_path, case).write_bytes(b"mask %d" % number)
    before = data.digest(prepared, str(tmp_path))
    mask_path(tmp_path, cases[0]).write_bytes(b"mask 0")
    mask_path(tmp_path, "case_00077").write_bytes(b"of no case")
    assert data.digest(prepared, str(tmp_path)) == before
    mask_path(tmp_path, cases[0]).write_bytes(b"found anew")
    assert len({before, data.digest(prepared, str(tmp_path)), data.digest(prepared, "labels")}) == 3


def test_training_cases_without_a_tumor_are_refused(prepared, tmp_path, monkeypatch):
    def without_tumor(*arguments):
        return [{**sample, "tumor": False} for sample in kidney_samples(*arguments)]

    monkeypatch.setattr(data, "kidney_samples", without_tumor)
    with pytest.raises(UsageError, match="no training case .* has a tumor"):
        data.training_sources(tiny_config("tumor"), prepared, tmp_path)


def test_a_smaller_kidney_is_padded_with_air_far_from_any_tumor(prepared, tmp_path):
    """Kidneys on their native grids have different sizes; the largest one of a batch sets its shape."""
    config = tiny_config("tumor", batch_size=4, grid=0, regression="signed_distance", max_distance_mm=13.0)
    sources = data.training_sources(config, prepared, tmp_path)
    for source in sources[1::2]:
        arrays = {name: array.numpy() for name, array in read_sample(str(source["path"]), True).items()}
        tumor_ml, spacing_mm = float(arrays.pop("tumor_ml")), arrays.pop("spacing_mm")
        smaller = {name: array[:-2, :-4, :-4] for name, array in arrays.items()}
        write_sample(smaller, tumor_ml, spacing_mm, source["path"])
    batch = next(iter(data.batches(config, sources, 0, 0, tf.distribute.InputContext())))
    image, label, distance_mm = (batch[name].numpy()[:, -1, -1, -1, 0] for name in ("image", "label", "distance_mm"))
    assert len(image) == 4 and not image.any() and not label.any()
    np.testing.assert_array_equal(distance_mm, 13.0 / (1 - config.max_scaling))


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    config = tiny_config(batch_size=6, accumulation=2)
    object.__setattr__(config, "batch_size", 5)
    with pytest.raises(UsageError, match="batch_size"):
        data.distributed(strategy, config, [], 0, 0)
