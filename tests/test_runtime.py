"""TensorFlow starts without a line of its own."""

import os
import subprocess
import sys

import pytest

from kits_tf import runtime
from kits_tf.errors import UsageError


def test_tensorflow_is_loaded_without_its_opening_lines():
    """In a process of its own, as every process shows them once."""
    code = "from kits_tf import runtime; runtime.load_tensorflow(); print('done')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("done\n", "")


def test_a_gpu_that_is_not_there_is_refused_and_the_cpu_is_alone_if_asked_for():
    with pytest.raises(UsageError, match=r"^--device: gpu:99 does not exist; TensorFlow finds \d+ GPUs?$"):
        runtime.load_tensorflow("gpu:99")
    code = "from kits_tf import runtime; runtime.load_tensorflow('cpu')\nimport tensorflow as tf\n"
    code += "print([device.device_type for device in tf.config.list_logical_devices()])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "['CPU']\n"


def test_another_keras_backend_is_refused():
    code = "from kits_tf import runtime; runtime.load_tensorflow()"
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.returncode and "KERAS_BACKEND" in result.stderr and "jax" in result.stderr.splitlines()[-1]
