"""Proves that SIGTERM is noted, not obeyed, and that the handler before it comes back."""

import subprocess
import sys

PROGRAM = """
import signal
from kits_tf.training.termination import Termination

before = signal.getsignal(signal.SIGTERM)
with Termination() as termination:
    print(termination.asked)
    signal.raise_signal(signal.SIGTERM)
    print(termination.asked)
print(signal.getsignal(signal.SIGTERM) is before)
"""


def test_sigterm_is_noted_and_the_handler_comes_back():
    """In a process of its own: one in which OpenVINO has converted networks may crash when a signal comes."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert (done.stdout.split(), done.returncode) == (["False", "True", "True"], 0), done.stderr
