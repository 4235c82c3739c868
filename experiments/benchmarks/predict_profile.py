"""Where the seconds and the bytes of a prediction go, as figures and as a picture.

    python experiments/benchmarks/predict_profile.py --slices=108 --width=32

Random weights of preset `best`, N x 512 x 512, two kidneys given to stage 2. The parts are timed where they are
called; what remains is "rest". Slabs are prepared while networks run, so their seconds count only where networks wait
for them. Writes `experiments/results/predict_profile.json` and
`docs/images/predict_profile.png`. Hardware meant: two cores, 4 GB, about a minute.
"""

import argparse
import collections
import functools
import importlib
import json
import os
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from experiments.benchmarks import predict_child  # noqa: E402
from experiments.benchmarks.machine import machine, resident_mb  # noqa: E402
from experiments.benchmarks.predict_setup import LABEL, random_checkpoint, simulated_ct  # noqa: E402
from experiments.documents import ROOT, write_result  # noqa: E402
from kits_tf import files  # noqa: E402

PARTS = {
    "read and decompress": ("kits_tf.io.volume", "read_volume"),
    "find the body": ("kits_tf.geometry", "body_box"),
    "prepare slabs": ("kits_tf.inference.kidney", "slab_batch"),
    "compile networks": ("kits_tf.inference.engines.openvino.OpenVINOEngine", "_compile"),
    "wait for networks": ("kits_tf.inference.engines.openvino", "_finish"),
    "kidneys and sides": ("kits_tf.inference.segmenter", "kidney_sides"),
    "cubes": ("kits_tf.kidney_crops", "to_cube"),
    "cubes back": ("kits_tf.kidney_crops", "from_cube"),
    "compress and write": ("kits_tf.inference.outputs", "write_labels"),
    "measure": ("kits_tf.inference.outputs", "measure"),
}


def main():
    """Segments once with clocks in place and writes what they say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=108)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--work_dir", type=pathlib.Path, default=pathlib.Path("build/benchmarks"))
    arguments = parser.parse_args()
    case = simulated_ct(arguments.work_dir / "ct", arguments.slices)
    checkpoint = random_checkpoint(arguments.work_dir, arguments.width)
    seconds, memory = profile(case, checkpoint, arguments.work_dir / "out")
    total = seconds.pop("total")
    seconds["rest"] = max(0.0, total - sum(seconds.values()))
    result = {
        "slices": arguments.slices,
        "width": arguments.width,
        "total_seconds": round(total, 2),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "percent": {name: round(100 * value / total, 1) for name, value in seconds.items()},
        "peak_mb": round(max(mb for _, mb in memory)),
        "machine": machine(),
    }
    print(json.dumps(result, indent=1))
    write_result("predict_profile", result)
    draw(result, memory, ROOT / "docs" / "images" / "predict_profile.png")


def profile(case, checkpoint, out):
    """({part: seconds}, [(seconds, resident megabytes)])."""
    from kits_tf.inference import inputs, jobs
    from kits_tf.inference.segmenter import load_segmenter

    seconds = collections.defaultdict(float)
    for name, (home, function) in PARTS.items():
        put_clock(seconds, name, home, function)
    segmenter = load_segmenter(str(checkpoint), "openvino")
    predict_child.inject(case / LABEL)
    [source] = inputs.find_inputs(case).inputs
    memory, end, start = [], threading.Event(), time.perf_counter()

    def watch():
        while not end.wait(0.05):
            memory.append((time.perf_counter() - start, resident_mb(os.getpid())))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    jobs.segment(jobs.Job(segmenter, out, "profile"), source)
    seconds["total"] = time.perf_counter() - start
    end.set()
    thread.join()
    return seconds, memory


def put_clock(seconds, name, home, function):
    """Replaces a function by one that adds its seconds up."""
    module, _, owner = home.partition(".OpenVINOEngine")
    place = importlib.import_module(module)
    place = place.OpenVINOEngine if home.endswith("OpenVINOEngine") else place
    original = getattr(place, function)

    @functools.wraps(original)
    def clocked(*arguments, **options):
        start = time.perf_counter()
        try:
            return original(*arguments, **options)
        finally:
            seconds[name] += time.perf_counter() - start

    setattr(place, function, clocked)


def draw(result, memory, path):
    """Draws the seconds as bars and the memory over time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6), dpi=110, layout="constrained")
    names = list(result["seconds"])[::-1]
    bars = left.barh(names, [result["seconds"][name] for name in names], color="#4477aa")
    left.bar_label(bars, [f"{result['percent'][name]} %" for name in names], padding=3)
    left.set_xlabel("seconds")
    left.margins(x=0.18)
    right.plot(*zip(*memory, strict=True), color="#4477aa")
    right.set_xlabel("seconds")
    right.set_ylabel("resident memory, MB")
    right.set_ylim(bottom=0)
    figure.suptitle(f"{result['slices']}x512x512, base width {result['width']}, {result['total_seconds']} s")
    with files.replacing(path) as temporary:
        figure.savefig(temporary)


if __name__ == "__main__":
    main()
