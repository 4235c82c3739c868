"""The OpenVINO engine: the same networks on a CPU, in bfloat16 where the processor computes in it natively."""

from __future__ import annotations

import collections
import functools
import os
import pathlib
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from kits_tf.config import Config
from kits_tf.errors import UsageError
from kits_tf.inference.engines.base import Engine
from kits_tf.inference.engines.conversion import converted

_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_MAX_STREAMS = 4  # batches in work at once: each takes memory of its own
_LOCK = threading.Lock()

MAX_COMPILED = 16
"""Networks are compiled for each input size; so many are kept, enough for two CTs of different sizes."""


def load(folder: pathlib.Path, configs: Mapping[str, Config], precision: str) -> OpenVINOEngine:
    """Load the networks of a checkpoint folder; see `engines.load`."""
    return OpenVINOEngine(folder, configs, precision)


def load_openvino() -> Any:
    """Import OpenVINO without its telemetry, which resolves an analytics host and keeps an id in the home folder."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # an ImportError, which it allows
    import openvino

    return openvino


def core() -> Any:
    """Return the program's only `openvino.Core`.

    The CPU plugin replaces the signal stack of the thread that loads it and restores it when its Core is deleted. With
    several Cores this may restore the stack of a deleted one, and the next signal would be a segmentation fault.
    """
    with _LOCK:
        return _core()


@functools.cache
def _core() -> Any:
    result = load_openvino().Core()
    result.set_property({"ENABLE_MMAP": False})
    return result


class OpenVINOEngine(Engine):
    """Runs networks through OpenVINO.

    Networks are converted once (see `conversion`) and compiled for each input size, which takes a fraction of a
    second. Several batches run in parallel, each on a part of the processor's cores.

    Args:
        folder: The checkpoint folder.
        configs: The config of each network to load, by network name.
        precision: "float32", "bfloat16" or "auto": bfloat16 where the processor computes in it natively.

    Raises:
        InputError: The weights are not those of a network.
        UsageError: The processor has no bfloat16, or the conversion failed.
    """

    name = "openvino"
    batch_pixels = 2**16

    def __init__(self, folder: pathlib.Path, configs: Mapping[str, Config], precision: str = "auto") -> None:
        self.precision = _chosen_precision(precision)
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._streams = min(threads, _MAX_STREAMS)
        self._properties = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": self._streams,
        }
        self._models = {
            name: core().read_model(xml, weights) for name, (xml, weights) in converted(folder, list(configs)).items()
        }
        self._compiled: collections.OrderedDict[tuple, Any] = collections.OrderedDict()
        self._lock = threading.Lock()

    def probability(self, network: str, batch: np.ndarray) -> np.ndarray:
        """See `Engine`."""
        return next(self.probabilities(network, [batch]))

    def probabilities(self, network: str, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """See `Engine`."""
        running: collections.deque[tuple] = collections.deque()
        free: list[Any] = []
        compiled, size = None, 0
        for batch in batches:
            if compiled is None:
                size = len(batch)
                compiled = self._compile(network, batch.shape)
            if not free and len(running) <= self._streams:
                free.append(compiled.create_infer_request())
            if not free:
                yield _finish(running, free)
            _start(free.pop(), batch, size, running)
        while running:
            yield _finish(running, free)

    def _compile(self, network: str, shape: tuple[int, ...]) -> Any:
        """Return the network compiled for one input size."""
        with self._lock:
            key = network, tuple(shape)
            if key not in self._compiled:
                model = self._models[network].clone()
                model.reshape(list(shape))
                self._compiled[key] = core().compile_model(model, "CPU", self._properties)
            self._compiled.move_to_end(key)
            if len(self._compiled) > MAX_COMPILED:
                self._compiled.popitem(last=False)
            return self._compiled[key]


def _start(request: Any, batch: np.ndarray, size: int, running: collections.deque[tuple]) -> None:
    """Start a request on a batch, padded with zeros to the `size` that the network is compiled for."""
    full = np.zeros((size, *batch.shape[1:]), np.float32)
    full[: len(batch)] = batch
    request.start_async([full], share_inputs=True)
    running.append((request, len(batch), full))


def _finish(running: collections.deque[tuple], free: list[Any]) -> np.ndarray:
    """Wait for the oldest request, free it and return its result."""
    request, count, _ = running.popleft()
    request.wait()
    result = request.get_output_tensor(0).data[:count].copy()
    free.append(request)
    return result


def _chosen_precision(precision: str) -> str:
    """Return the precision that a choice means on this processor; "auto" avoids emulated bfloat16, which is slower."""
    if precision == "float32":
        return precision
    is_able = "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bfloat16" and not is_able:
        raise UsageError("engine_precision", "bfloat16 needs a processor with AVX-512 or AMX; use float32")
    cpu = pathlib.Path("/proc/cpuinfo")
    is_native = not cpu.is_file() or not {"amx_bf16", "avx512_bf16"}.isdisjoint(cpu.read_text().split())
    return "bfloat16" if is_able and (precision == "bfloat16" or is_native) else "float32"
