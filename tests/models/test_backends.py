"""The networks and losses import Keras alone, and give the same numbers under TensorFlow and JAX."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")


@needs_jax
def test_networks_losses_and_metrics_import_keras_alone():
    code = "import sys; import kits_tf.models, kits_tf.losses, kits_tf.metrics; print('tensorflow' in sys.modules)"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def start(backend, path):
    """Starts `backend_outputs` on a backend in a process of its own."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": backend}
    command = [sys.executable, "-m", "tests.models.backend_outputs", str(path)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


@needs_jax
def test_tensorflow_and_jax_agree(tmp_path):
    paths = {backend: tmp_path / f"{backend}.npz" for backend in ("tensorflow", "jax")}
    for process in [start(backend, path) for backend, path in paths.items()]:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    ours, theirs = (np.load(path) for path in paths.values())
    assert set(ours) == set(theirs) and len(ours) == 12
    for key in ours:
        np.testing.assert_allclose(theirs[key], ours[key], rtol=0, atol=1e-4, err_msg=key)
