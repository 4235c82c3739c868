"""The networks and losses import Keras alone, and give the same numbers under TensorFlow and JAX.

KERAS_BACKEND=jax python -m tests.models.test_backends OUT.npz
"""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.models.harness import arrays, batch_of, four_configs, network_of

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main(path):
    """Writes {"NETWORK/NAME": array} to an .npz file: outputs, and the loss in training mode with its terms."""
    if keras.backend.backend() == "jax":
        assert "tensorflow" not in sys.modules
        import jax

        jax.config.update("jax_disable_most_optimizations", True)  # compiling takes longer than computing
    results = {}
    for name, depth in (("kidney_axial", 2), ("tumor", 1)):  # gates need two poolings
        config = four_configs(depth=depth)[name]
        network, (x, targets, loss) = network_of(name, config), batch_of(config)
        outputs = arrays(network(x))
        total, terms = loss(targets, network(x, training=True), config)
        for key, value in {**outputs, **terms, "total": total}.items():
            results[f"{name}/{key}"] = keras.ops.convert_to_numpy(value)
    np.savez(path, **results)


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_tensorflow_and_jax_agree(tmp_path):
    command = [sys.executable, "-m", "tests.models.test_backends", str(tmp_path / "jax.npz")]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "jax"}
    jax = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    main(tmp_path / "tensorflow.npz")
    _, errors = jax.communicate()
    assert jax.returncode == 0, errors
    ours, theirs = (np.load(tmp_path / f"{backend}.npz") for backend in ("tensorflow", "jax"))
    assert set(ours) == set(theirs) and len(ours) == 12
    for key in ours:
        np.testing.assert_allclose(theirs[key], ours[key], rtol=0, atol=1e-4, err_msg=key)


if __name__ == "__main__":
    main(sys.argv[1])
