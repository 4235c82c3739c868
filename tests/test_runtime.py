"""TensorFlow starts without a line of its own."""

import os
import subprocess
import sys


def test_tensorflow_is_loaded_without_its_opening_lines():
    """In a process of its own, as every process shows them once."""
    code = "from kits_tf import runtime; runtime.load_tensorflow(); print('done')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("done\n", "")


def test_another_keras_backend_is_refused():
    code = "from kits_tf import runtime; runtime.load_tensorflow()"
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.returncode and "KERAS_BACKEND" in result.stderr and "jax" in result.stderr.splitlines()[-1]
