"""Proves the choice of strategy, which worker this is, what XLA compiles, and the TPU path with a stand-in."""

import json
import types
import urllib.error

import pytest
import tensorflow as tf

from kits_tf.errors import UsageError
from kits_tf.training import strategies
from tests import planted
from tests.training.tiny_runs import tiny_config, train

ONE = tf.distribute.OneDeviceStrategy("CPU:0")


def test_a_tpu_that_cannot_be_reached_is_one_line():
    with pytest.raises(UsageError, match="--tpu: 'grpc://nowhere:x y' cannot be used") as caught:
        strategies.make_strategy("tpu", "grpc://nowhere:x y")
    assert "\n" not in str(caught.value)


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


@pytest.mark.parametrize("tpu", [None, ""])
def test_a_tpu_that_nothing_names_is_asked_for(tpu, monkeypatch):
    for name in ("TPU_NAME", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="^--tpu: is required by --strategy=tpu here .*; must be 'local' on a TPU VM"):
        strategies.make_strategy("tpu", tpu)


def test_the_tpu_path_trains_on_a_stand_in(tmp_path, monkeypatch):
    """TPUStrategy replaced by one device, its set-up by calls that are counted; no TPU is at hand."""
    called = []
    monkeypatch.setattr(
        tf.distribute.cluster_resolver, "TPUClusterResolver", lambda tpu: called.append(tpu) or "resolver"
    )
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", called.append)
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", called.append)
    monkeypatch.setattr(tf.distribute, "TPUStrategy", lambda resolver: called.append(resolver) or ONE)
    data = planted.prepared_folder(tmp_path / "data", count=1)
    config = tiny_config(num_steps=2)
    assert train(data, tmp_path / "networks", config, strategy="auto", tpu="local", deterministic=False)
    assert called == ["local", "resolver", "resolver", "resolver"]
    assert (tmp_path / "networks" / "kidney_axial" / "model.weights.h5").is_file()


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


def test_one_device_is_the_only_worker():
    assert strategies.worker_of(ONE) == strategies.ALONE


@pytest.mark.parametrize(
    "jit, grid, gpus, expected",
    [("auto", 16, [], False), ("auto", 16, ["GPU:0"], True), ("auto", 0, ["GPU:0"], False), ("on", 16, [], True),
     ("off", 16, ["GPU:0"], False)],
)  # fmt: skip
def test_what_xla_compiles(jit, grid, gpus, expected, monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus)
    assert strategies.uses_xla(jit, tiny_config("tumor", grid=grid), ONE) == expected
