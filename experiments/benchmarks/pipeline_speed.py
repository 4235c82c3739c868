"""Measure the training pipelines: samples a second, CPU time, and memory over many batches.

Each measurement is a process that reads the training cases of a prepared folder with the patches of preset `paper`:
plain, augmented as the preset says, and with every augmentation. "numpy" cuts and scales such patches of one volume in
memory. Megapixels count one slice of a slab. CPU seconds are meaningful on a busy machine, too.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import os
import pathlib
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil

from experiments import common
from kits_tf import geometry
from kits_tf.arrays import NumPy
from kits_tf.config import PLANES, override, patch_size, preset

STAGES = [
    *itertools.product(PLANES, ("numpy", "plain", "augmented", "full")),
    *itertools.product(("tumor",), ("augmented", "full")),
]
FULL = {"max_elastic_mm": 6.0, "max_gamma": 0.3, "max_blur_mm": 1.5, "max_coarsening": 1.5}  # besides the preset's own


def main() -> None:
    """Measure every stage, or the one of --only in this process."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--data_dir", type=pathlib.Path, required=True, help="a prepared folder")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--batches", type=int, default=0, help="also measure memory over this number of axial batches")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="options of the config")
    parser.add_argument("--only", nargs=2, metavar=("STAGE", "KIND"))
    arguments = parser.parse_args()
    if arguments.only:
        stage, kind = arguments.only
        print(json.dumps(measure(stage, kind, arguments)))
        return
    index = json.loads((arguments.data_dir / "dataset.json").read_text(encoding="utf-8"))["cases"]
    result: dict[str, Any] = {"cases": len(index), "slices": [case["shape"][0] for case in index], "stages": []}
    bare: dict[str, float] = {}
    module = [sys.executable, "-m", "experiments.benchmarks.pipeline_speed", *sys.argv[1:]]
    for stage, kind in [*STAGES, *([("axial", "memory")] if arguments.batches else [])]:
        output = common.run([*module, "--only", stage, kind], capture=True).output
        found = {"stage": stage, "kind": kind} | json.loads(output.splitlines()[-1])
        if kind == "numpy":
            bare[stage] = found["megapixels_a_second"]
        elif stage in bare and kind != "memory":
            found["ratio_to_numpy"] = round(found["megapixels_a_second"] / bare[stage], 3)
        print(json.dumps(found), flush=True)
        result["stages"].append(found)
    common.write_result(arguments.output, result)


def measure(stage: str, kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one stage."""
    plane = None if stage == "tumor" else stage
    config: Any = override(preset("paper", "tumor" if stage == "tumor" else "kidney", plane), arguments.set)
    if kind == "numpy":
        return rate(numpy_patches(stage, config), config, arguments.seconds, 1, 0)
    config = dataclasses.replace(config, augment=kind != "plain", **(FULL if kind == "full" else {}))
    batches = open_pipeline(config, arguments.data_dir)
    if kind == "memory":
        return memory_over(batches, arguments.batches)
    warmup = 8 if stage == "tumor" else 2 + 300 // config.batch_size
    return rate(batches, config, arguments.seconds, config.batch_size, warmup)


def rate(batches: Iterator, config: Any, seconds: float, size: int, warmup: int) -> dict[str, float]:
    """Return how fast an iterator delivers batches of `size` samples, after a warmup."""
    import tensorflow as tf

    from kits_tf.pipelines import tumor

    is_tumor = config.stage == "tumor"
    shape = tumor.blocks(tf.zeros([config.grid] * 3), config).shape[1:] if is_tumor else patch_size(config)
    pixels: int = math.prod(shape)
    for _ in range(warmup):
        next(batches)
    start, used, count = time.monotonic(), time.process_time(), 0
    while time.monotonic() - start < seconds:
        next(batches)
        count += size
    seconds, used = time.monotonic() - start, time.process_time() - used
    return {
        "samples_a_second": round(count / seconds, 1),
        "megapixels_a_second": round(count * pixels / seconds / 1e6, 2),
        "megapixels_a_cpu_second": round(count * pixels / used / 1e6, 2),
        "cpu_seconds_a_second": round(used / seconds, 2),
        "memory_mb": round(psutil.Process().memory_info().rss / 1e6),
    }


def open_pipeline(config: Any, data_dir: pathlib.Path) -> Iterator:
    """Return the batches of the training cases."""
    import tensorflow as tf

    from kits_tf.training.data import batches, training_sources

    folder = pathlib.Path(tempfile.gettempdir()) / f"pipeline_speed_{os.getuid()}"
    sources = training_sources(config, data_dir, folder, report=lambda line: None)
    return iter(batches(config, sources, 0, 0, tf.distribute.InputContext()))


def memory_over(batches: Iterator, count: int) -> dict[str, Any]:
    """Return the memory at twenty points of `count` batches, and its peak."""
    points = []
    for number in range(1, count + 1):
        next(batches)
        if number % max(1, count // 20) == 0:
            points.append(round(psutil.Process().memory_info().rss / 1e6))
    peak_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
    return {"batches": count, "memory_mb": points, "peak_mb": peak_mb}


def numpy_patches(plane: str, config: Any) -> Iterator[np.ndarray]:
    """Yield patches cut from one volume in memory, clipped and scaled, on one core."""
    from kits_tf.pipelines.kidney import PATCH_AXES

    rng, axes = np.random.default_rng(0), PATCH_AXES[plane]
    hu = rng.integers(-1024, 1500, (200, 512, 512)).astype(np.int16)
    while True:
        index = int(rng.integers(hu.shape[geometry.AXIS[plane]]))
        bounds = [slice(None)] * 3
        for axis, side in zip(axes, patch_size(config), strict=True):
            first = int(rng.integers(hu.shape[axis] - side + 1))
            bounds[axis] = slice(first, first + side)
        slabs = geometry.slabs(NumPy, hu[tuple(bounds)], plane, np.array([index]))
        yield geometry.scale(NumPy, slabs, config.clip_hu)


if __name__ == "__main__":
    main()
