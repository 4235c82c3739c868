"""Simulates imaging around real KiTS19 labels, segments and scores it; notes the time and peak memory of each step.

    python experiments/largest_cases.py --masks_dir=kits19/data --cases=5,151,160

Case 151 has 1059 slices and a horseshoe kidney, 160 has 796 columns, 5 has one kidney. Writes the table of
`docs/largest_cases.md`. Hardware meant: two CPU cores, 8 GB, about ten minutes. The imaging is simulated: the scores
say that the program runs on volumes of this size and shape, not how well it would do on patients.
"""

import argparse
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

from commands import command  # noqa: E402

from kits_tf import files  # noqa: E402
from kits_tf.data.kits19 import case_name, parse_cases  # noqa: E402

INTRODUCTION = """# The largest cases

Imaging simulated around real KiTS19 labels, segmented with the `{weights}` weights (simulated CTs alone) and scored,
each step a process of its own on two CPU cores. Made by
`python experiments/largest_cases.py --masks_dir=kits19/data --cases=5,151,160`.

"""


def main():
    """Runs the three steps on each case and writes the table."""
    arguments = parse()
    work = arguments.work_dir
    lines = ["| case | shape | step | seconds | peak memory |", "| --- | --- | --- | --- | --- |"]
    scores = ["", "| case | kidney Dice | tumor Dice |", "| --- | --- | --- |"]
    for number in parse_cases(arguments.cases):
        folders = {name: work / str(number) / name for name in ("data", "predictions")}
        scored = work / str(number) / "scores.json"
        steps = {
            "phantom": [f"--masks_dir={arguments.masks_dir}", f"--cases={number}", f"--output_dir={folders['data']}"],
            "predict": [
                f"--input={folders['data']}", f"--output_dir={folders['predictions']}",
                f"--checkpoint_dir={arguments.checkpoint_dir}", "--overwrite",
            ],
            "evaluate": [
                f"--predictions={folders['predictions']}", f"--references={folders['data']}", f"--output={scored}"
            ],
        }  # fmt: skip
        measured = {name: command(name, *flags) for name, flags in steps.items()}
        summary = json.loads((folders["predictions"] / f"prediction_{number:05d}.json").read_text())
        shape = "x".join(map(str, summary["shape"]))
        for name, (seconds, megabytes) in measured.items():
            lines.append(f"| {number} | {shape} | kits-{name} | {seconds:.0f} | {megabytes / 1000:.2f} GB |")
        case = json.loads(scored.read_text())["cases"][case_name(number)]
        scores.append(f"| {number} | {case['kidney_dice']:.3f} | {case['tumor_dice']:.3f} |")
    text = INTRODUCTION.format(weights=arguments.checkpoint_dir) + "\n".join(lines + scores) + "\n"
    files.write_text(arguments.output, text)
    print(text)


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masks_dir", type=pathlib.Path, required=True)
    parser.add_argument("--cases", default="5,151,160")
    parser.add_argument("--checkpoint_dir", default="phantom", help="weights that know such imaging")
    parser.add_argument("--work_dir", type=pathlib.Path, default=ROOT / "build" / "largest")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs" / "largest_cases.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
