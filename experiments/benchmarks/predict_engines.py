"""How far engines and precisions agree: Dice between any two, with trained weights on simulated CTs.

    python experiments/benchmarks/predict_engines.py --data_dir=simulations --checkpoint_dir=simulated

Writes `experiments/results/predict_engines.json`: for each pair the lowest and the mean Dice of kidney (label > 0) and
tumor (label 2) over the CTs. Hardware meant: two cores, 4 GB, some minutes for ten simulated CTs.
"""

import argparse
import itertools
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from experiments.benchmarks.machine import machine  # noqa: E402
from experiments.commands import command  # noqa: E402
from experiments.documents import write_result  # noqa: E402
from kits_tf.evaluation.metrics import dice  # noqa: E402
from kits_tf.io.volume import read_labels  # noqa: E402

ROADS = {
    "openvino_bfloat16": ["--engine=openvino", "--engine_precision=bfloat16"],
    "openvino_float32": ["--engine=openvino", "--engine_precision=float32"],
    "tensorflow": ["--engine=tensorflow"],
}


def main():
    """Segments the CTs by each road and writes how the labels agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--checkpoint_dir", default="simulated")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, flags in ROADS.items():
            command("predict", f"--input={arguments.data_dir}", f"--output_dir={folder}/{name}",
                    f"--checkpoint_dir={arguments.checkpoint_dir}", *flags)  # fmt: skip
        result = {
            f"{one} and {other}": agreement(pathlib.Path(folder) / one, pathlib.Path(folder) / other)
            for one, other in itertools.combinations(ROADS, 2)
        }
    result |= {"checkpoint": arguments.checkpoint_dir, "machine": machine()}
    print(json.dumps(result, indent=1))
    write_result("predict_engines", result)


def agreement(one, other):
    """Lowest and mean Dice over the label files of two folders."""
    found = {"kidney": [], "tumor": []}
    for path in sorted(one.glob("*.nii.gz")):
        labels = [read_labels(folder / path.name)[0] for folder in (one, other)]
        for name, threshold in (("kidney", 0), ("tumor", 1)):
            found[name].append(dice(*(part > threshold for part in labels)))
    return {
        name: {"lowest": round(min(values), 5), "mean": round(sum(values) / len(values), 5), "cases": len(values)}
        for name, values in found.items()
    }


if __name__ == "__main__":
    main()
