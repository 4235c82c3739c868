"""TensorFlow starts without a line of its own."""

import subprocess
import sys


def test_tensorflow_is_loaded_without_its_opening_lines():
    """In a process of its own, as every process shows them once."""
    code = """
from kits_tf import quiet
from kits_tf.cli import app
app.quieten_libraries()
quiet.load_tensorflow()
print("done")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("done\n", "")
