"""Scores weights on the ten test phantoms: the whole system, each plane alone, and with the tumor network shuffled.

    python experiments/score_phantom_weights.py --work_dir=build/scores

The phantoms are the test suite of `phantom_suites.py`, which shares no contrast phase and no spacing with the training
suite. Writes `scores.json` beside the weights and the table of their model card. Hardware meant: two CPU cores, about
five minutes.

The shuffled network has every weight tensor of the tumor network permuted at random (seed 0): what is left of the
tumor Dice then is what a network of that shape finds by chance.
"""

import argparse
import json
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

import phantom_suites  # noqa: E402
from commands import command, scores_of  # noqa: E402

from kits_tf import files  # noqa: E402
from kits_tf.checkpoint import CONFIG_NAME, WEIGHTS_NAME  # noqa: E402
from kits_tf.config import PLANES  # noqa: E402

BEGIN, END = "<!-- scores: begin -->\n", "<!-- scores: end -->\n"


def main():
    """Predicts and evaluates each variant, then writes what was found."""
    arguments = parse()
    work, weights = arguments.work_dir.resolve(), arguments.checkpoint_dir.resolve()
    command("phantom", f"--output_dir={work / 'test'}", *phantom_suites.TEST.flags)
    scores = {"whole system": score(work, "whole system", weights)}
    for plane in PLANES:
        scores[plane] = score(work, plane, weights, f"--planes={plane}", "--stage=kidney", keys=["kidney_dice"])
    shuffled = shuffle_tumor(weights, work / "shuffled")
    masks = ("--stage=tumor", f"--kidney_masks={work / 'predictions' / 'whole system'}")
    scores["tumor weights shuffled"] = score(work, "tumor weights shuffled", shuffled, *masks, keys=["tumor_dice"])
    files.write_text(weights / "scores.json", json.dumps(scores, indent=2) + "\n")
    write_table(weights / "MODEL_CARD.md", scores)
    print(table(scores))


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work_dir", type=pathlib.Path, default=ROOT / "build" / "scores")
    parser.add_argument("--checkpoint_dir", type=pathlib.Path, default=ROOT / "checkpoints" / "phantom")
    return parser.parse_args()


def score(work, name, weights, *flags, keys=("kidney_dice", "tumor_dice")):
    """Mean scores of one variant, {key: mean over the test phantoms}."""
    mean = scores_of(work / "test", work / "predictions" / name, work / f"{name}.json", weights, *flags)["mean"]
    return {key: round(mean[key], 4) for key in keys}


def shuffle_tumor(weights, target):
    """A copy of the tumor network with every weight tensor permuted; returns its checkpoint folder."""
    import numpy as np

    from kits_tf import config, models

    folder = target / "tumor"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(weights / "tumor" / CONFIG_NAME, folder)
    network = models.build(config.load(folder / CONFIG_NAME))
    network.load_weights(weights / "tumor" / WEIGHTS_NAME)
    rng = np.random.default_rng(0)
    network.set_weights([rng.permutation(w.ravel()).reshape(w.shape) for w in network.get_weights()])
    network.save_weights(folder / WEIGHTS_NAME)
    return target


def table(scores):
    """The scores as a Markdown table."""
    lines = ["| networks | kidney Dice | tumor Dice |", "| --- | --- | --- |"]
    for name, values in scores.items():
        kidney, tumor = (f"{values[key]:.3f}" if key in values else "" for key in ("kidney_dice", "tumor_dice"))
        lines.append(f"| {name} | {kidney} | {tumor} |")
    return "\n".join(lines) + "\n"


def write_table(path, scores):
    """Replaces the table of a model card."""
    card = path.read_text(encoding="utf-8")
    before, _, rest = card.partition(BEGIN)
    _, _, after = rest.partition(END)
    files.write_text(path, before + BEGIN + table(scores) + END + after)


if __name__ == "__main__":
    main()
