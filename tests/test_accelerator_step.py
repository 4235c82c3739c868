"""What `experiments/benchmarks/accelerator_step.py` trains on and reckons; the steps themselves need a GPU.

By hand, kidney at base 1, depth 1 and 4 x 4 pixels (16, then 4 positions). Read, written by each convolution:

    encoder_0  3 * 16 -> 16    16 -> 16
    bottom     4 * 4 -> 2 * 4  2 * 4 -> 4 * 4
    decoder_0  2 * 16 -> 16    16 -> 16
    heads      16 -> 16        16 -> 16
    all        168 -> 120

Multiply-adds are 1616 (`test_network_table.py`), 432 of them the first convolution's. Parameters: 9 (4 + 16 + 3) of
the blocks' kernels, 2 * 10 of their normalisations, 2 * 2 of the heads.
"""

import argparse

import pytest

from experiments.benchmarks import (
    accelerator_ours,
    accelerator_report,
    accelerator_step,
    accelerator_turns,
    training_batch,
)
from kits_tf.config import KidneyConfig, patch_size, preset
from kits_tf.pipelines import tumor

FULL_SIZE = argparse.Namespace(small=False, batch=0)
LIMITS = {"float32": 2e12, "bytes_a_second": 1e12}
OURS = {
    "batch": 8,
    "shape": (10, 10, 3),
    "median_ms": 4.0,
    "in_a_row_ms": 3.9,
    "compile_seconds": 1.0,
    "peak_bytes": 2e9,
    "planned_bytes": None,
    "operations": 2e9,
    "bytes": 5e8,
    "xla_operations": 4e9,
    "trained_parameters": 7,
}
PEER = {"batch": 4, "median_ms": 4.0, "in_a_row_ms": 4.0, "peak_bytes": 3e9, "trained_parameters": 7}


@pytest.mark.parametrize("plane, size", [("axial", (512, 256)), ("coronal", (128, 256)), ("sagittal", (128, 512))])
def test_kidney_samples_are_the_pipelines(plane, size):
    config = accelerator_step.config_of(f"kidney_{plane}", FULL_SIZE)
    assert config == preset("paper", "kidney", plane)
    assert training_batch.sample_shape(config) == (*patch_size(config), 3) == (*size, 3)


def test_tumor_samples_are_the_pipelines():
    config = accelerator_step.config_of("tumor", FULL_SIZE)
    assert config == preset("paper", "tumor")
    assert training_batch.sample_shape(config) == (*tumor.padded_shape(config)[1:], 1)


@pytest.mark.parametrize("precision, item_bytes", [("float32", 4), ("mixed_bfloat16", 2)])
def test_what_a_step_needs_by_hand(precision, item_bytes):
    config = KidneyConfig(base_filters=1, depth=1, patch_rows=4, patch_columns=4, batch_size=5)
    needed = accelerator_ours.needed(accelerator_ours.build(config), config, precision)
    parameters = 9 * (4 + 16 + 3) + 2 * 10 + 2 * 2
    assert needed["trained_parameters"] == parameters
    assert needed["operations"] == 5 * 2 * (3 * 1616 - 432)
    assert needed["bytes"] == 5 * item_bytes * (3 * 168 + 2 * 120 - 48) + 32 * parameters


def test_a_row_by_hand():
    pipeline = {"stages": [{"stage": "axial", "kind": "full", "samples_a_second": 50.0, "cpu_seconds_a_second": 2.0}]}
    row = accelerator_report.row_of("kidney_axial", "float32", OURS, PEER, LIMITS, pipeline)
    assert row["samples_a_second"] == 2000
    assert row["megavoxels_a_second"] == 0.2
    assert row["tera_operations_a_second"] == 0.5
    assert row["ours_over_peer"] == 0.5  # in the same time, twice the samples
    assert (row["arithmetic_floor_ms"], row["memory_floor_ms"], row["ours_over_floor"]) == (1.0, 0.5, 4.0)
    assert row["cores_full"] == 80 and "cores_augmented" not in row


def test_a_failure_is_told_and_leaves_the_other_side():
    row = accelerator_report.row_of("tumor", "float32", {"error": "no"}, PEER, {}, None)
    assert row["ours_error"] == "no" and row["peer_ms"] == 4.0 and "ours_over_peer" not in row


def test_another_network_is_told():
    row = accelerator_report.row_of("tumor", "float32", OURS, {**PEER, "trained_parameters": 6}, {}, None)
    assert "another network" in row["peer_error"]


def test_half_a_batch_is_tried_where_one_does_not_fit(monkeypatch):
    tried = []

    def finished(batch, arguments):
        tried.append(batch)
        return {"error": "RESOURCE_EXHAUSTED: Out of memory"} if batch > 2 else {"batch": batch}

    monkeypatch.setattr(accelerator_turns, "start", lambda job, arguments, batch: batch)
    monkeypatch.setattr(accelerator_turns, "finished", finished)
    job = accelerator_turns.Job("ours", "kidney_axial", "float32")
    assert accelerator_turns.with_less(job, finished(8, None), FULL_SIZE, 8) == {"batch": 2}
    assert tried == [8, 4, 2]
    assert accelerator_turns.with_less(job, {"error": "exit 1"}, FULL_SIZE, 8) == {"error": "exit 1"}
