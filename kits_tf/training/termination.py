"""SIGTERM and SIGINT (Ctrl-C), noted instead of obeyed at once."""

import os
import signal
import socket
import sys
import threading

EXIT_INTERRUPTED = 128 + signal.SIGINT


class Termination:
    """While open, signals are noted instead of ending the program in the middle of a step or a file.

    A second SIGINT ends it at once. A signal that this process was started to ignore stays ignored.

    Attributes:
        asked: whether a signal came.
        interrupted: whether SIGINT did.
    """

    def __init__(self):
        self.asked = self.interrupted = False
        self._previous = {}
        self._second = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            numbers = [n for n in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(n) != signal.SIG_IGN]
            if signal.SIGINT in numbers:
                self._second = SecondInterrupt()
            self._previous = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def _note(self, number, frame):
        self.asked = True
        self.interrupted = self.interrupted or number == signal.SIGINT

    def __exit__(self, *error):
        for number, handler in self._previous.items():
            if handler is not None:
                signal.signal(number, handler)
        if self._second is not None:
            self._second.close()


class SecondInterrupt:
    """Answers the first SIGINT with a line and ends the process at the second.

    It is a thread, as Python calls no handler during a call of TensorFlow, and a run's first may take minutes.
    """

    def __init__(self):
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._previous = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        count = 0
        while number := self._reader.recv(1):
            if number[0] != signal.SIGINT:
                continue
            count += 1
            if count > 1:
                os._exit(EXIT_INTERRUPTED)
            start = "\n" if sys.stderr.isatty() else ""  # a bar is showing there
            print(f"{start}interrupted: saves and ends; Ctrl-C again ends at once", file=sys.stderr, flush=True)

    def close(self):
        """Ends the thread."""
        signal.set_wakeup_fd(self._previous)
        self._writer.close()
        self._thread.join()
        self._reader.close()
