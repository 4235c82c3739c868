"""Samples a second of the training pipelines, two cores, and the memory they take over many batches.

    kits-prepare --data_dir=build/raw --output_dir=build/prepared --num_validation=3 --num_test=3
    python experiments/benchmarks/pipeline_speed.py --data_dir=build/prepared --batches=2000

Every stage is a process of its own that reads all cases of the folder, with the `paper` preset's patches on the
native grid: plain, augmented as the preset says, and with every kind of augmentation. Megapixels are those of a slab's
one slice (512 x 256 for an axial half); CPU seconds tell what the work took where the machine was busy with something
else. The bare NumPy loop cuts the same patches from one volume in memory, clips and scales them. Writes
`experiments/results/pipeline_speed.json` and the table in `docs/data.md`.
"""

import argparse
import dataclasses
import itertools
import json
import math
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from experiments.benchmarks.machine import machine, resident_mb  # noqa: E402
from experiments.documents import replace_block, table, write_result  # noqa: E402

STAGES = [
    *itertools.product(("axial", "coronal", "sagittal"), ("numpy", "plain", "augmented", "full")),
    *itertools.product(("tumor",), ("augmented", "full")),
]
SHOWN = ("samples_a_second", "megapixels_a_second", "ratio_to_numpy", "memory_mb")
FULL = {"max_elastic_mm": 6.0, "max_gamma": 0.3, "max_blur_mm": 1.5, "max_coarsening": 1.5}  # beside the preset's own


def main():
    """Measures every stage, or the one that `--only` names, in this process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", nargs=2, metavar=("STAGE", "KIND"))
    parser.add_argument("--batches", type=int, default=0, help="measure memory over so many axial batches as well")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="options of the config")
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(*arguments.only, arguments)))
        return
    result = {"machine": machine(), "data": describe(arguments.data_dir), "stages": []}
    bare = {}
    for stage, kind in STAGES:
        found = in_a_process(arguments, "--only", stage, kind)
        if kind == "numpy":
            bare[stage] = found["megapixels_a_second"]
        elif stage in bare:
            found["ratio_to_numpy"] = round(found["megapixels_a_second"] / bare[stage], 3)
        result["stages"].append(found)
        print(json.dumps(found), flush=True)
    if arguments.batches:
        result["memory"] = in_a_process(arguments, "--only", "axial", "memory", f"--batches={arguments.batches}")
        print(json.dumps(result["memory"]), flush=True)
    write_result("pipeline_speed", result)
    replace_block("data.md", "speed", lines_of(result))


def lines_of(result):
    """The table in Markdown."""
    header = ["samples", "augmentation", "a second", "megapixels a second", "to NumPy", "MB"]
    rows = [
        [stage["stage"], stage["kind"], *(stage.get(name, "") for name in SHOWN)]
        for stage in result["stages"]
        if stage["kind"] != "numpy"
    ]
    lines = [*table(header, rows), "", f"{result['data']['cases']} cases; {result['machine']['cores']} cores."]
    if "memory" in result:
        memory = result["memory"]
        span = f"between {min(memory['memory_mb'])} and {max(memory['memory_mb'])} MB"
        lines += [
            f"Over {memory['batches']} axial batches the process took {span}, at the peak {memory['peak_mb']} MB."
        ]
    return lines


def in_a_process(arguments, *flags):
    """One stage in a fresh process; its result as a dict."""
    line = [sys.executable, __file__, f"--data_dir={arguments.data_dir}", f"--seconds={arguments.seconds}", *flags]
    line += [f"--set={assignment}" for assignment in arguments.set]
    return json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def describe(data_dir):
    """How many cases and slices there are."""
    cases = json.loads((data_dir / "dataset.json").read_text(encoding="utf-8"))["cases"]
    return {"cases": len(cases), "slices": [case["shape"][0] for case in cases]}


def measure(stage, kind, arguments):
    """What one stage does in a while."""
    if kind == "numpy":
        return {"stage": stage, "kind": kind} | numpy_loop(stage, arguments)
    config, batches = open_pipeline(stage, kind, arguments)
    if kind == "memory":
        return {"stage": stage, "kind": kind} | memory_over(batches, arguments.batches)
    pixels = math.prod(patch_shape(stage, config))
    for _ in range(2 + 300 // config.batch_size if stage != "tumor" else 8):  # past the start
        next(batches)
    start, used, count = time.monotonic(), cpu_seconds(), 0
    while time.monotonic() - start < arguments.seconds:
        next(batches)
        count += config.batch_size
    seconds, used = time.monotonic() - start, cpu_seconds() - used
    return {
        "stage": stage,
        "kind": kind,
        "samples_a_second": round(count / seconds, 1),
        "megapixels_a_second": round(count * pixels / seconds / 1e6, 2),
        "megapixels_a_cpu_second": round(count * pixels / used / 1e6, 2),
        "cpu_seconds_a_second": round(used / seconds, 2),
        "memory_mb": round(resident_mb(os.getpid())),
    }


def cpu_seconds():
    """Processor time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def patch_shape(stage, config):
    """Height and width of a slab, or the sides of a sub-block."""
    from kits_tf.config import patch_size
    from kits_tf.pipelines import tumor

    return tumor.padded_shape(config)[1:] if stage == "tumor" else patch_size(config)


def open_pipeline(stage, kind, arguments):
    """(config, iterator of batches) of a stage over all cases of the folder, whatever their split."""
    import tensorflow as tf

    from kits_tf.config import override, preset
    from kits_tf.data.records import find_records
    from kits_tf.data.stage_inputs import kidney_samples
    from kits_tf.training.data import batches

    plane = None if stage == "tumor" else stage
    config = override(preset("paper", "tumor" if stage == "tumor" else "kidney", plane), arguments.set)
    config = dataclasses.replace(config, augment=kind != "plain", **(FULL if kind == "full" else {}))
    sources = find_records(arguments.data_dir)
    if stage == "tumor":
        folder = pathlib.Path(tempfile.gettempdir()) / "pipeline_speed_kidneys"
        sources = kidney_samples(sources, config, "labels", folder, report=lambda line: None)
    return config, iter(batches(config, sources, 0, 0, tf.distribute.InputContext()))


def memory_over(batches, count):
    """Resident memory at twenty points of so many batches, and the process's peak."""
    points = []
    for number in range(count):
        next(batches)
        if (number + 1) % (count // 20) == 0:
            points.append(round(resident_mb(os.getpid())))
    return {
        "batches": count,
        "memory_mb": points,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }


def numpy_loop(stage, arguments):
    """The same patches cut from one volume in memory by NumPy alone, on one core."""
    import numpy as np

    from kits_tf import geometry
    from kits_tf.arrays import NumPy as xp
    from kits_tf.config import patch_size, preset
    from kits_tf.pipelines import kidney

    config = preset("paper", "kidney", stage)
    height, width = patch_size(config)
    rng = np.random.default_rng(0)
    hu = rng.integers(-1024, 1500, (200, 512, 512)).astype(np.int16)
    axes = kidney.PATCH_AXES[stage]
    start, count = time.monotonic(), 0
    while time.monotonic() - start < arguments.seconds / 2:
        index = int(rng.integers(hu.shape[geometry.AXIS[stage]]))
        row = int(rng.integers(hu.shape[axes[0]] - height + 1))
        column = int(rng.integers(hu.shape[axes[1]] - width + 1))
        bounds = {axes[0]: slice(row, row + height), axes[1]: slice(column, column + width)}
        part = hu[tuple(bounds.get(axis, slice(None)) for axis in range(3))]
        geometry.scale(xp, geometry.slabs(xp, part, stage, np.array([index])), config.clip_hu)
        count += 1
    seconds = time.monotonic() - start
    return {
        "samples_a_second": round(count / seconds, 1),
        "megapixels_a_second": round(count * height * width / seconds / 1e6, 2),
    }


if __name__ == "__main__":
    main()
