"""SIGTERM, noted instead of obeyed at once."""

import signal
import threading


class Termination:
    """While open, SIGTERM is noted in `asked` instead of ending the program in the middle of a step or a file."""

    def __init__(self):
        self.asked = False
        self._previous = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def _note(self, number, frame):
        self.asked = True

    def __exit__(self, *error):
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
