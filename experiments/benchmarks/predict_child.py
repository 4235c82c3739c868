"""One prediction in a process of its own, of whichever checkout PYTHONPATH names; prints what it took as JSON.

    PYTHONPATH=CHECKOUT python experiments/benchmarks/predict_child.py CASE_DIR CHECKPOINT OUTPUT_DIR --engine=openvino

Stage 1 runs; then `segmentation.nii.gz` of the case replaces what it found, so that stage 2 runs on two kidneys of
normal size even where weights are random; `--injected=0` leaves this out.
"""

import argparse
import json
import pathlib
import resource
import sys
import time


def main():
    """Segments once and prints seconds and peak memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("case", type=pathlib.Path)
    parser.add_argument("checkpoint")
    parser.add_argument("output_dir")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--injected", type=int, default=1)
    arguments = parser.parse_args()
    sys.path.pop(0)  # this file's own folder, so that PYTHONPATH decides
    start = time.perf_counter()
    from kits_tf.inference import inputs, jobs
    from kits_tf.inference.segmenter import load_segmenter

    segmenter = load_segmenter(arguments.checkpoint, arguments.engine, precision=arguments.precision)
    if arguments.injected:
        inject(arguments.case / "segmentation.nii.gz")
    loaded = time.perf_counter()
    [source] = inputs.find_inputs(arguments.case).inputs
    summary = jobs.segment(jobs.Job(segmenter, arguments.output_dir, "benchmark"), source).sidecar
    end = time.perf_counter()
    said = {
        "engine": segmenter.engine.name,
        "precision": segmenter.engine.precision,
        "load_seconds": round(loaded - start, 2),
        "segment_seconds": round(end - loaded, 2),
        "stages": summary["seconds"],
        "kidney_ml": summary["kidney_ml"],
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(said))


def inject(path):
    """Make segmenters find the kidneys of a label file, after they have done the work of stage 1."""
    from kits_tf.inference import segmenter
    from kits_tf.io.volume import read_labels

    kidneys = read_labels(path)[0] > 0
    find = segmenter._Case._kidney_mask

    def kidney_mask(case, kept):
        find(case, kept)
        return kidneys

    segmenter._Case._kidney_mask = kidney_mask


if __name__ == "__main__":
    main()
