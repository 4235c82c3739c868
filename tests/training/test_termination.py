"""Proves that SIGTERM is noted, not obeyed, and that the handler before it comes back."""

import signal

from kits_tf.training.termination import Termination


def test_sigterm_is_noted_and_the_handler_comes_back():
    before = signal.getsignal(signal.SIGTERM)
    with Termination() as termination:
        assert not termination.asked
        signal.raise_signal(signal.SIGTERM)  # to this thread; os.kill may interrupt a library's thread instead
        assert termination.asked
    assert signal.getsignal(signal.SIGTERM) is before
