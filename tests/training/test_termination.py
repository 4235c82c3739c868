"""Proves that SIGTERM and Ctrl-C are noted, not obeyed, that a second Ctrl-C ends, and that handlers come back.

Each in a process of its own: one in which OpenVINO has converted networks may crash when a signal comes.
"""

import signal
import subprocess
import sys
import time

import pytest

BEGIN = """
import hashlib
import signal
from kits_tf.training.termination import Termination

NUMBER = signal.Signals.{name}
signal.signal(signal.SIGINT, signal.default_int_handler)
"""

NOTED = """
before = signal.getsignal(NUMBER)
with Termination() as termination:
    print(termination.asked, termination.interrupted)
    signal.raise_signal(NUMBER)
    print(termination.asked, termination.interrupted)
print(signal.getsignal(NUMBER) == before, signal.set_wakeup_fd(-1))
"""

IGNORED = """
signal.signal(NUMBER, signal.SIG_IGN)
with Termination() as termination:
    signal.raise_signal(NUMBER)
    print(termination.asked)
"""

LONG_CALL = """
with Termination():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # for minutes, in which no handler of Python's is called
"""


def run(program, name):
    """What a program prints, in words."""
    line = [sys.executable, "-c", BEGIN.format(name=name) + program]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("name, interrupted", [("SIGTERM", "False"), ("SIGINT", "True")])
def test_signals_are_noted_and_the_handlers_come_back(name, interrupted):
    assert run(NOTED, name) == ["False", "False", "True", interrupted, "True", "-1"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signals_that_are_ignored_stay_so(name):
    """As a shell starts what it runs in the background."""
    assert run(IGNORED, name) == ["False"]


def test_a_second_interrupt_ends_at_once():
    line = [sys.executable, "-c", BEGIN.format(name="SIGINT") + LONG_CALL]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "interrupted: saves and ends; Ctrl-C again ends at once\n"
    time.sleep(0.1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130
