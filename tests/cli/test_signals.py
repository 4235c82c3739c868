"""Proves that no SIGINT and no SIGTERM is lost, wherever it comes: on a command that sends them to itself."""

import subprocess
import sys
import textwrap

import pytest

SIGNALS = [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")]

BEGIN = """
import gc, importlib.machinery, signal, sys, time
from absl import flags
from kits_tf.cli import app, signals
from kits_tf.training.termination import Termination

def send(*_):
    signal.raise_signal(signal.{name})

def collect():
    gc.callbacks.append(send)
    gc.collect()
    gc.callbacks.remove(send)

def delete():
    type("Sender", (), {{"__del__": send}})()

def catch():
    try:
        send()
    except:
        pass

def turn():
    try:
        send()
    except BaseException:
        raise ImportError("initialization failed")

class Spec:
    name, origin = property(send), "/nowhere"

def load():
    try:
        importlib.machinery.ExtensionFileLoader("x", "/nowhere").create_module(Spec())
    except TypeError:  # the name is None
        print("loaded")

def wait():
    time.sleep(60)
    print("the signal was lost")

def main():
"""

END = """
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # by what starts the tests
    signal.signal(signal.SIGINT, signal.default_int_handler)
app.run(main, flags.FlagValues())
"""


def run_sender(folder, name, body):
    """The exit code, the output and the errors of a command, kits-sender, that sends itself signals."""
    script = folder / "kits-sender"
    script.write_text(BEGIN.format(name=name) + textwrap.indent(textwrap.dedent(body), "    ") + END)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name, code, word", SIGNALS)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param("send()", id="raised"),
        pytest.param("collect(); wait()", id="in_a_callback_of_the_garbage_collector"),
        pytest.param("delete(); wait()", id="in_a_del"),
        pytest.param("catch(); wait()", id="in_a_bare_except"),
        pytest.param("turn()", id="turned_into_an_error"),
        pytest.param("catch()", id="just_before_the_end"),
    ],
)
def test_no_signal_is_lost(tmp_path, name, code, word, body):
    assert run_sender(tmp_path, name, body) == (code, "", f"kits-sender: {word}\n")


@pytest.mark.parametrize("name, code, word", SIGNALS)
def test_a_signal_waits_while_an_extension_module_is_loaded(tmp_path, name, code, word):
    """One that finds Python at work for the module, which may abort the process where an exception comes back."""
    assert run_sender(tmp_path, name, "load(); wait()") == (code, "loaded\n", f"kits-sender: {word}\n")


@pytest.mark.parametrize("name, code, word", SIGNALS)
def test_a_signal_unwinds_and_comes_no_second_time(tmp_path, name, code, word):
    body = """
        try:
            send()
        finally:
            time.sleep(4 * signals.AGAIN_SECONDS)
            print("tidied")
    """
    assert run_sender(tmp_path, name, body) == (code, "tidied\n", f"kits-sender: {word}\n")


@pytest.mark.parametrize("name, code, word", SIGNALS)
def test_a_signal_that_was_lost_before_training_is_noted_in_it(tmp_path, name, code, word):
    """And ends the command by what training makes of it alone."""
    body = """
        catch()
        with Termination() as termination:
            while not termination.asked:
                time.sleep(0.01)
        print("interrupted" if termination.interrupted else "terminated")
        return 0
    """
    found, out, _ = run_sender(tmp_path, name, body)
    assert (found, out) == (0, f"{word}\n")


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    """As a shell starts what it runs in the background."""
    script = tmp_path / "kits-sender"
    script.write_text(
        "import signal; from absl import flags; from kits_tf.cli import app\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "app.run(lambda: signal.raise_signal(signal.SIGINT), flags.FlagValues())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


def test_other_faults_that_python_drops_are_still_told(tmp_path):
    code, _, errors = run_sender(tmp_path, "SIGINT", 'type("Faulty", (), {"__del__": lambda self: 1 // 0})()')
    assert code == 0 and "ZeroDivisionError" in errors
