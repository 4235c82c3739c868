"""OpenVINO's Core, one in a program.

OpenVINO's processor plugin gives the thread that loads it a stack for signal handlers and takes it back when its Core
goes, restoring what was there when it came. With several Cores, that can be the stack of one that is gone, and the
next signal ends the program with a segmentation fault. So there is one, which stays.
"""

import functools
import threading

import openvino

LOCK = threading.Lock()


def core():
    """The program's `openvino.Core`; files of models may be removed while they are in use."""
    with LOCK:
        return made()


@functools.cache
def made():
    """Makes it."""
    result = openvino.Core()
    result.set_property({"ENABLE_MMAP": False})
    return result
