"""SIGINT (Ctrl-C) and SIGTERM end a command by an exception, also where a library drops that on its way."""

import contextlib
import importlib.machinery
import signal
import sys
import threading

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

NOTED = set()  # signals that came and for which the command has not ended
AGAIN_SECONDS = 0.05  # after which a lost signal comes again, outside the callback that lost it

# Python's code that loads an extension module.
EXTENSION_LOADERS = {
    importlib.machinery.ExtensionFileLoader.create_module.__code__,
    importlib.machinery.ExtensionFileLoader.exec_module.__code__,
}


class FromSignal:
    """What a signal raises; where it vanishes before the command's end, the signal comes again.

    Python drops what is raised in a callback of the garbage collector or in `__del__`, a library what it catches by a
    bare `except` or, as TensorFlow, in C++ that calls Python.
    """

    def __del__(self):
        if NOTED:
            postpone()  # raised here, it would be dropped too


class Interrupted(FromSignal, KeyboardInterrupt):
    """Raised in the main thread on SIGINT (Ctrl-C)."""


class Terminated(FromSignal, SystemExit):
    """Raised in the main thread on SIGTERM, so that `finally` blocks run and half-written files are removed."""

    def __init__(self):
        super().__init__(EXIT_TERMINATED)


@contextlib.contextmanager
def signals_taken():
    """While open, SIGINT and SIGTERM raise, unless this process was started to ignore them; afterwards they kill."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
    sys.unraisablehook = on_unraisable
    signal.signal(signal.SIGALRM, come_again)
    for number in numbers:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def lost_signals_raised():
    """Raises at the end for signals that were lost within, also in place of an error that one was turned into."""
    try:
        yield
        come_again()
    except Exception:
        come_again()
        raise
    finally:
        NOTED.clear()


def on_signal(number, frame):
    """The handler of SIGINT and SIGTERM: notes the signal and raises, later where an exception may end in a crash."""
    NOTED.add(number)
    if loads_extension(frame):
        postpone()
    else:
        raise Interrupted() if number == signal.SIGINT else Terminated()


def loads_extension(frame):
    """Whether a frame is of Python that an extension module calls as it is loaded; jaxlib's abort at an exception."""
    while frame is not None and frame.f_code not in EXTENSION_LOADERS:
        frame = frame.f_back
    return frame is not None


def postpone():
    """Lets the signals that are noted come again in a moment."""
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)


def come_again(number=None, frame=None):
    """Delivers the signals that are noted once more, to whatever handles them now; the handler of SIGALRM."""
    for noted in tuple(NOTED):
        NOTED.discard(noted)
        signal.raise_signal(noted)


def on_unraisable(fault):
    """Python's hook for exceptions that it drops, which says nothing of those that come again."""
    if not isinstance(fault.exc_value, FromSignal):
        sys.__unraisablehook__(fault)
