"""TensorFlow starts without a line of its own."""

import os
import subprocess
import sys


def test_tensorflow_is_loaded_without_its_opening_lines():
    """In a process of its own, as every process shows them once."""
    code = """
from kits_tf import runtime
runtime.load_tensorflow()
print("done")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("done\n", "")


def test_another_keras_backend_is_refused_and_left_alone():
    code = """
import os
from kits_tf import runtime
from kits_tf.errors import UsageError
try:
    runtime.load_tensorflow()
except UsageError as error:
    print(error, os.environ["KERAS_BACKEND"])
"""
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert "jax" in result.stdout and "KERAS_BACKEND" in result.stdout and result.stdout.endswith("jax\n")
