"""Compare the labels of engines and precisions: Dice between any two, with trained weights on simulated CTs."""

from __future__ import annotations

import itertools
import pathlib
import tempfile

from experiments import common
from kits_tf.evaluation.metrics import dice
from kits_tf.io.volume import read_labels

ENGINES = {
    "openvino_bfloat16": ("--engine=openvino", "--precision=bfloat16"),
    "openvino_float32": ("--engine=openvino", "--precision=float32"),
    "tensorflow": ("--engine=tensorflow",),
}


def main() -> None:
    """Segment the CTs with each engine and compare the labels."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--data_dir", required=True, help="CTs in the KiTS19 layout")
    parser.add_argument("--checkpoint_dir", default="default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for engine, flags in ENGINES.items():
            folders = f"--input={arguments.data_dir}", f"--output_dir={folder / engine}"
            common.command("predict", *folders, f"--checkpoint_dir={arguments.checkpoint_dir}", *flags)
        result = {
            f"{one} and {other}": agreement(folder / one, folder / other)
            for one, other in itertools.combinations(ENGINES, 2)
        }
    common.write_result(arguments.output, result | {"checkpoint": arguments.checkpoint_dir})


def agreement(one: pathlib.Path, other: pathlib.Path) -> dict[str, dict[str, float]]:
    """Return the lowest and mean Dice over the label files of two folders."""
    found: dict[str, list[float]] = {"kidney": [], "tumor": []}
    for path in sorted(one.glob("*.nii.gz")):
        first, second = (read_labels(folder / path.name)[0] for folder in (one, other))
        for threshold, values in enumerate(found.values()):
            values.append(dice(first > threshold, second > threshold))
    return {
        name: {"lowest": round(min(values), 5), "mean": round(sum(values) / len(values), 5), "cases": len(values)}
        for name, values in found.items()
    }


if __name__ == "__main__":
    main()
