"""The OpenVINO engine: the same networks on a CPU, in bfloat16 where the processor computes in it natively."""

from __future__ import annotations

import collections
import concurrent.futures
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

_MAX_STREAMS = 4  # batches that run in parallel: each needs memory
_LOCK = threading.Lock()
_CORE: list[Any] = []
MAX_COMPILED = 16  # networks, each for one input shape: enough for two CTs of different shapes


def load_openvino() -> Any:
    """Import OpenVINO without its telemetry, which resolves an analytics host and keeps an id in the home folder."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # importing it now raises ImportError, which OpenVINO handles
    import openvino

    return openvino


def core() -> Any:
    """Return the program's only `openvino.Core`.

    The CPU plugin replaces the signal stack of the thread that loads it and restores it when its Core is deleted. With
    several Cores this may restore the stack of a deleted one, and the next signal would be a segmentation fault.
    """
    with _LOCK:
        if not _CORE:
            _CORE.append(load_openvino().Core())
            _CORE[0].set_property({"ENABLE_MMAP": False})
        return _CORE[0]


class OpenVINOEngine(Engine):
    """Runs networks through OpenVINO, several batches in parallel, each on a part of the processor's cores.

    Networks are converted once (see `conversion`) and compiled for each input shape in a fraction of a second.
    """

    name = "openvino"
    batch_pixels = 2**16

    def __init__(self, folder: pathlib.Path, configs: Mapping[str, Config], precision: str = "auto") -> None:
        self.precision = _chosen_precision(precision)
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._streams = min(threads, _MAX_STREAMS)
        self._properties = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[self.precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": self._streams,
        }
        self._models = {
            name: core().read_model(xml, weights) for name, (xml, weights) in converted(folder, list(configs)).items()
        }
        self._pool = concurrent.futures.ThreadPoolExecutor(threads)
        self._compiling = functools.lru_cache(MAX_COMPILED)(self._start_compiling)
        self._prepared: dict[str, set[tuple[int, ...]]] = collections.defaultdict(set)
        self._lock = threading.Lock()

    def probabilities(self, network: str, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """See `Engine`."""
        running: collections.deque[tuple] = collections.deque()
        compiled = None
        for batch in batches:
            if compiled is None:
                full_shape = self._prepared_shape(network, batch.shape)
                compiled = self._compile(network, full_shape)
            if len(running) <= self._streams:
                request = compiled.create_infer_request()
            else:
                request = running[0][0]
                yield _finish(running)
            full = np.zeros(full_shape, np.float32)  # a batch may be smaller
            full[: len(batch)] = batch
            request.start_async([full], share_inputs=True)
            running.append((request, len(batch), full))
        while running:
            yield _finish(running)

    def prepare(self, network: str, shape: tuple[int, ...]) -> None:
        """See `Engine`; compiles in the background."""
        with self._lock:
            self._prepared[network].add(shape)
            self._compiling(network, shape)

    def _prepared_shape(self, network: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the smallest shape prepared that holds a batch of a shape; its own if there is none."""
        with self._lock:
            fitting = (one for one in self._prepared[network] if one[1:] == shape[1:] and one[0] >= shape[0])
            return min(fitting, default=shape)

    def _compile(self, network: str, shape: tuple[int, ...]) -> Any:
        """Return the network compiled for one input shape."""
        with self._lock:
            compiling = self._compiling(network, shape)
        try:
            return compiling.result()
        except Exception:
            self._compiling.cache_clear()  # memory may suffice next time
            raise

    def _start_compiling(self, network: str, shape: tuple[int, ...]) -> concurrent.futures.Future[Any]:
        return self._pool.submit(self._compile_anew, network, shape)

    def _compile_anew(self, network: str, shape: tuple[int, ...]) -> Any:
        model = self._models[network].clone()
        model.reshape(list(shape))
        return core().compile_model(model, "CPU", self._properties)


load = OpenVINOEngine  # see `engines.load`


def _finish(running: collections.deque[tuple]) -> np.ndarray:
    """Wait for the oldest request and return its result."""
    request, count, _ = running.popleft()
    request.wait()
    return request.get_output_tensor(0).data[:count].copy()


def _chosen_precision(precision: str) -> str:
    """Return the precision that a choice means on this processor; "auto" avoids emulated bfloat16, which is slower."""
    if precision == "float32":
        return precision
    is_able = "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bfloat16" and not is_able:
        raise UsageError("precision", "bfloat16 needs a processor with AVX-512 or AMX; use float32")
    cpu = pathlib.Path("/proc/cpuinfo")
    is_native = not cpu.is_file() or not {"amx_bf16", "avx512_bf16"}.isdisjoint(cpu.read_text().split())
    return "bfloat16" if is_able and (precision == "bfloat16" or is_native) else "float32"
