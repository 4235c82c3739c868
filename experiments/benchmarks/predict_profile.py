"""Profile a prediction in OpenVINO: the seconds of each part, from the start of the program, and memory over time.

With --checkpoint_dir=random, the networks of preset `best` get random weights, and stage 2 gets the labelled kidneys.
"""

from __future__ import annotations

import cProfile
import os
import pathlib
import pstats
import time
from typing import Any

import psutil

from experiments import common
from experiments.benchmarks import synthetic
from kits_tf import checkpoint
from kits_tf.data.kits19 import IMAGE_NAME, LABEL_NAME
from kits_tf.inference.segmenter import load_segmenter
from kits_tf.io.volume import read_labels, read_volume, write_labels

START_SECONDS = time.time() - psutil.Process().create_time()
"""From the start of the interpreter to here, with all imports of `kits_tf.io` and `inference`."""

PARTS = {
    "load networks": ("inference/segmenter.py", "load_segmenter"),
    "read and decompress": ("io/volume.py", "read_volume"),
    "find the body": ("geometry.py", "body_box"),
    "resample": ("geometry.py", "resize"),
    "prepare slabs": ("inference/kidney.py", "slab_batch"),
    "compile networks": ("engines/openvino.py", "_compile"),
    "wait for networks": ("engines/openvino.py", "_finish"),
    "fuse planes": ("inference/fusion.py", "add"),
    "sides": ("laterality.py", "kidney_sides"),
    "compress and write": ("io/volume.py", "write_labels"),
}


def main() -> None:
    """Segment once and write the times."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--slices", type=int, default=108)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--checkpoint_dir", default=checkpoint.DEFAULT, help="or random")
    parser.add_argument("--width", type=int, default=32, help="of random weights")
    picture = common.ROOT / "docs" / "images" / "predict_profile.png"
    parser.add_argument("--picture", type=pathlib.Path, default=picture)
    arguments = parser.parse_args()
    case = synthetic.simulated_ct(arguments.slices, arguments.size) / synthetic.CASE
    is_random = arguments.checkpoint_dir == "random"
    weights = synthetic.random_checkpoint(arguments.width) if is_random else checkpoint.find(arguments.checkpoint_dir)
    seconds, memory = profile(case, weights, is_random)
    total = seconds["total"]
    result = {
        "slices": arguments.slices,
        "weights": f"random, base width {arguments.width}" if is_random else str(arguments.checkpoint_dir),
        "total_seconds": round(total, 2),
        "seconds": {name: round(value, 3) for name, value in seconds.items() if name != "total"},
        "percent": {name: round(100 * value / total, 1) for name, value in seconds.items() if name != "total"},
        "peak_mb": round(max(mb for _, mb in memory)),
    }
    draw(result, memory, arguments.picture)
    common.write_result(arguments.output, result)


def profile(
    case: pathlib.Path, weights: pathlib.Path, is_random: bool
) -> tuple[dict[str, float], list[tuple[float, float]]]:
    """Return the seconds of each part, and (second, MB) samples."""
    load_segmenter(str(weights), "openvino")  # converts the networks if they are not yet
    kidneys, profiler = read_labels(case / LABEL_NAME)[0] > 0 if is_random else None, cProfile.Profile()
    with common.watch_memory(os.getpid(), 0.05) as memory:
        start = time.perf_counter()
        profiler.enable()
        segmenter = load_segmenter(str(weights), "openvino")
        ct = read_volume(case / IMAGE_NAME)
        labels = segmenter.run(ct.hu, ct.spacing_mm).labels
        if kidneys is not None:
            labels = segmenter.run(ct.hu, ct.spacing_mm, mask=kidneys).labels
        write_labels(labels, ct, common.BUILD / "profiled.nii.gz")
        profiler.disable()
        total = time.perf_counter() - start
    stats: dict[tuple[str, int, str], Any] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    seconds = {
        part: sum(times[3] for (file, _, name), times in stats.items() if file.endswith(end) and name == function)
        for part, (end, function) in PARTS.items()
    }
    seconds["rest"] = max(0.0, total - sum(seconds.values()))
    return {"start": START_SECONDS, **seconds, "total": START_SECONDS + total}, memory


def draw(result: dict[str, Any], memory: list[tuple[float, float]], path: pathlib.Path) -> None:
    """Draw the seconds as bars and the memory over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    names = list(result["seconds"])[::-1]
    bars = left.barh(names, [result["seconds"][name] for name in names], color="#4477aa")
    left.bar_label(bars, [f"{result['percent'][name]} %" for name in names], padding=3)
    left.set(xlabel="seconds", title=f"{result['slices']} slices, weights {result['weights']}")
    left.margins(x=0.18)
    right.plot(*zip(*memory, strict=True), color="#4477aa")
    right.set(xlabel="seconds", ylabel="resident memory, MB", ylim=(0, None))
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
