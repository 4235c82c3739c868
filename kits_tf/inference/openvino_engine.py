"""The OpenVINO engine: the same networks on a CPU, in bfloat16 where the processor computes in it by itself."""

import collections
import os
import pathlib
import threading

import numpy as np

from kits_tf.errors import UsageError
from kits_tf.inference.conversion import converted
from kits_tf.inference.engine import Engine
from kits_tf.openvino_core import core

NATIVE_BFLOAT16 = {"amx_bf16", "avx512_bf16"}  # processor flags; elsewhere bfloat16 is emulated, and slower
HINTS = {"float32": "f32", "bfloat16": "bf16"}
MAX_STREAMS = 4  # batches in work at once: each takes memory of its own
COMPILED_BYTES = 2**29
"""A network is compiled for each size of input; of these, those used last are kept: as many as have so much weight
together, but as many as a CT needs and no more than the sizes of CTs that are much alike."""
MIN_COMPILED, MAX_COMPILED = 8, 24


def load(folder, configs, precision):
    """The engine of a checkpoint folder; see `engines.load`."""
    return OpenVINOEngine(folder, configs, precision)


class OpenVINOEngine(Engine):
    """Runs networks through OpenVINO.

    Networks are converted once (see `conversion`) and compiled for each size of input that comes, which takes a
    fraction of a second. Several batches run side by side, each on a part of the processor's cores.

    Args:
        folder: the checkpoint folder.
        configs: {network name: config} of the networks to load.
        precision: "float32", "bfloat16" or "auto": bfloat16 where the processor computes in it.

    Raises:
        InputError: the weights are not those of a network.
        UsageError: bfloat16 on a processor that cannot even emulate it.
    """

    name = "openvino"
    batch_pixels = 2**16

    def __init__(self, folder, configs, precision="auto"):
        self._core = core()
        self.precision = chosen_precision(precision, self._core)
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self._streams = min(threads, MAX_STREAMS)
        self._properties = {
            "INFERENCE_PRECISION_HINT": HINTS[self.precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": self._streams,
        }
        with converted(folder, list(configs)) as paths:
            self._models = {name: self._core.read_model(path) for name, path in paths.items()}
        self._compiled = collections.OrderedDict()
        self._most_compiled = most_compiled(self._models.values())
        self._lock = threading.Lock()

    def probability(self, network, batch):
        return next(self.probabilities(network, [batch]))

    def probabilities(self, network, batches):
        running = collections.deque()
        free, compiled, size = [], None, 0
        for batch in batches:
            if compiled is None:
                size = len(batch)
                compiled = self._compile(network, batch.shape)
            if not free and len(running) <= self._streams:
                free.append(compiled.create_infer_request())
            if not free:
                yield finished(running, free)
            start(free.pop(), batch, size, running)
        while running:
            yield finished(running, free)

    def _compile(self, network, shape):
        """The network compiled for one size of input."""
        with self._lock:
            key = network, tuple(shape)
            if key not in self._compiled:
                model = self._models[network].clone()
                model.reshape(list(shape))
                self._compiled[key] = self._core.compile_model(model, "CPU", self._properties)
            self._compiled.move_to_end(key)
            if len(self._compiled) > self._most_compiled:
                self._compiled.popitem(last=False)
            return self._compiled[key]


def most_compiled(models):
    """How many compiled networks are kept."""
    weights = max((constant_bytes(model) for model in models), default=0)
    return int(np.clip(COMPILED_BYTES // max(1, weights), MIN_COMPILED, MAX_COMPILED))


def constant_bytes(model):
    """Bytes of a model's weights."""
    return sum(op.get_byte_size() for op in model.get_ops() if op.get_type_name() == "Constant")


def start(request, batch, size, running):
    """Starts a request on a batch, filled up with zeros to the `size` that the network was compiled for."""
    full = np.zeros((size, *batch.shape[1:]), np.float32)
    full[: len(batch)] = batch
    request.start_async([full], share_inputs=True)
    running.append((request, len(batch), full))


def finished(running, free):
    """Waits for the oldest request; returns its result and sets it free."""
    request, count, _ = running.popleft()
    request.wait()
    result = request.get_output_tensor(0).data[:count].copy()
    free.append(request)
    return result


def chosen_precision(precision, core):
    """The precision that a choice means on this processor."""
    can = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bfloat16" and not can:
        raise UsageError("engine_precision", "bfloat16 needs a processor with AVX-512 or AMX; takes float32")
    if precision == "auto":
        return "bfloat16" if can and computes_in_bfloat16() else "float32"
    return precision


def computes_in_bfloat16():
    """Whether the processor has instructions for bfloat16; true where that cannot be known."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return True
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), None)
    return flags is None or not NATIVE_BFLOAT16.isdisjoint(flags)
