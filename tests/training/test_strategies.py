"""Proves the choice of strategy, which worker this is, what XLA compiles, and the TPU path with a stand-in."""

import json
import types
import urllib.error

import pytest
import tensorflow as tf

from kits_tf.errors import UsageError
from kits_tf.training import strategies
from tests.training.tiny_runs import tiny_config

ONE = tf.distribute.OneDeviceStrategy("CPU:0")


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("no host"), ValueError("no host\nat all"), ImportError("no host")]
)
def test_what_a_search_for_a_tpu_meets_is_one_line(error, monkeypatch):
    """The name of a TPU is looked up at Google Cloud, which is an address that no other machine knows."""

    def search(tpu):
        raise error

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", search)
    with pytest.raises(UsageError, match=r"^--tpu: 'x' cannot be used \(.*no host.*\); must be 'local'") as caught:
        strategies.make_strategy("auto", "x")
    assert "\n" not in str(caught.value)


def test_the_tpu_path_makes_a_stand_in(monkeypatch):
    """TPUStrategy replaced by one device, its set-up by calls that are counted; no TPU is at hand."""
    called = []
    monkeypatch.setattr(
        tf.distribute.cluster_resolver, "TPUClusterResolver", lambda tpu: called.append(tpu) or "resolver"
    )
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", called.append)
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", called.append)
    monkeypatch.setattr(tf.distribute, "TPUStrategy", lambda resolver: called.append(resolver) or ONE)
    assert strategies.make_strategy("auto", tpu="local") is ONE
    assert called == ["local", "resolver", "resolver", "resolver"]


@pytest.mark.parametrize("environment", ["{", "[]", json.dumps({"cluster": {"worker": ["a:1"]}})])
def test_a_tf_config_that_cannot_be_used_is_one_line(environment, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", environment)
    with pytest.raises(UsageError, match="TF_CONFIG"):
        strategies.make_strategy("multi_worker")


@pytest.mark.parametrize(
    "cluster, kind, number, place",
    [
        ({}, None, None, (0, 1)),
        ({"worker": ["a", "b"]}, "worker", 0, (0, 2)),
        ({"worker": ["a", "b"]}, "worker", 1, (1, 2)),
        ({"chief": ["a"], "worker": ["b", "c"]}, "chief", 0, (0, 3)),
        ({"chief": ["a"], "worker": ["b", "c"]}, "worker", 1, (2, 3)),
    ],
)
def test_which_worker_this_is(cluster, kind, number, place, monkeypatch):
    class Workers:
        cluster_resolver = types.SimpleNamespace(
            cluster_spec=lambda: tf.train.ClusterSpec(cluster), task_type=kind, task_id=number
        )

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", Workers)
    assert strategies.worker_of(Workers()) == strategies.Worker(*place)
    assert strategies.worker_of(ONE) == strategies.ALONE


@pytest.mark.parametrize(
    "jit, grid, gpus, expected",
    [("auto", 16, [], False), ("auto", 16, ["GPU:0"], True), ("auto", 0, ["GPU:0"], False), ("on", 16, [], True),
     ("off", 16, ["GPU:0"], False)],
)  # fmt: skip
def test_what_xla_compiles(jit, grid, gpus, expected, monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus)
    assert strategies.uses_xla(jit, tiny_config("tumor", grid=grid), ONE) == expected
