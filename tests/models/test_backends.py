"""The networks and losses import Keras alone, and give the same outputs and gradients under TensorFlow and JAX."""

import ast
import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_networks_and_losses_import_keras_alone():
    allowed = {"itertools", "keras", "kits_tf", "math", "numpy"}
    for path in [*(ROOT / "kits_tf" / "models").glob("*.py"), ROOT / "kits_tf" / "losses.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                modules = [node.module] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
                assert {module.partition(".")[0] for module in modules} <= allowed, path
                assert all(not m.startswith("kits_tf.") or m.startswith("kits_tf.models") for m in modules), path


def start(backend, path):
    """Starts `backend_outputs` on a backend in a process of its own."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": backend}
    command = [sys.executable, "-m", "tests.models.backend_outputs", str(path)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_tensorflow_and_jax_agree(tmp_path):
    """Same weights: outputs to 1e-4, gradients of the full loss to 1e-3 of a network's largest or of 1."""
    paths = {backend: tmp_path / f"{backend}.npz" for backend in ("tensorflow", "jax")}
    processes = [start(backend, path) for backend, path in paths.items()]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    ours, theirs = (np.load(path) for path in paths.values())
    assert set(ours) == set(theirs)
    networks = {key.partition("/")[0] for key in ours}
    assert networks == {"kidney_axial", "kidney_coronal", "kidney_sagittal", "tumor"}
    for key in ours:
        network, kind, _ = key.split("/")
        if kind == "outputs":
            np.testing.assert_allclose(theirs[key], ours[key], rtol=0, atol=1e-4, err_msg=key)
        else:
            largest = max(np.abs(ours[k]).max() for k in ours if k.startswith(f"{network}/gradients/"))
            np.testing.assert_allclose(theirs[key], ours[key], rtol=0, atol=1e-3 * min(1, largest), err_msg=key)
