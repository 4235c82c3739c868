"""How far the test phantoms can be segmented without learning: one HU window, opened, two largest components.

The window is chosen by grid search on the test phantoms themselves, so that the figure is an upper bound of what a
window can do; it must stay below 0.6 mean kidney Dice, or the phantoms were too easy.

    python experiments/phantom_baseline.py

Two cores: about three minutes, most of it simulating the ten phantoms of `phantom_suites.TEST`. No accelerator.
Figures go to `results/phantom_baseline.json` and docs/phantoms.md, unless it is another suite.
"""

import argparse
import multiprocessing
import pathlib
import sys

import numpy as np
import scipy.ndimage

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from experiments import documents  # noqa: E402
from experiments.phantom_suites import SUITES  # noqa: E402
from kits_tf.simulation.phantom import simulate  # noqa: E402

LOWS = range(80, 211, 10)
WIDTHS = (20, 30, 40, 50, 60, 80, 110, 150, 250)
OPENINGS_MM = (4.0, 8.0)  # radius of the ball that a candidate is opened with
FINALISTS = 6  # windows that are scored again on the whole grid
BODY_HU = -300


def main():
    """Prints the best window and what it scores on each phantom, and keeps it in results and documents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", choices=SUITES, default="test")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    arguments = parser.parse_args()
    suite = SUITES[arguments.suite]
    cases = [(arguments.suite, i) for i in range(suite.num_cases)]
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        coarse = np.mean(pool.starmap(search_case, cases), axis=0)
        best = np.argsort(coarse)[::-1][:FINALISTS]
        choices = [CHOICES[i] for i in best]
        scores = np.array(pool.starmap(score_case, [(*case, choices) for case in cases]))
    winner = int(scores.mean(axis=0).argmax())
    low, width, radius = choices[winner]
    result = {
        "suite": arguments.suite,
        "window_hu": [low, low + width],
        "opening_mm": radius,
        "mean_kidney_dice": round(float(scores.mean(axis=0)[winner]), 4),
        "kidney_dice": [round(float(s), 3) for s in scores[:, winner]],
    }
    rows = table_rows(result)
    print("\n".join(rows))
    if arguments.suite == "test":
        documents.write_result("phantom_baseline", result)
        documents.replace_block("phantoms.md", "phantom_baseline", rows)


def table_rows(result):
    """The lines of the table in docs/phantoms.md."""
    each = ", ".join(f"{score:.2f}" for score in result["kidney_dice"])
    low, high = result["window_hu"]
    return documents.table(
        ["", ""],
        [
            ("mean kidney Dice", f"**{result['mean_kidney_dice']:.3f}**"),
            ("each phantom", each),
            ("window, opening", f"{low} to {high} HU, {result['opening_mm']:g} mm"),
        ],
    )


CHOICES = [(low, width, radius) for low in LOWS for width in WIDTHS for radius in OPENINGS_MM]


def search_case(suite_name, index):
    """Kidney Dice of one phantom for each of CHOICES, on every second row and column."""
    return list(score_choices(*load_case(suite_name, index, stride=2), CHOICES))


def score_case(suite_name, index, choices):
    """Kidney Dice of one phantom for each choice, on its whole grid."""
    return list(score_choices(*load_case(suite_name, index, stride=1), choices))


def load_case(suite_name, index, stride):
    """(smoothed HU, kidney mask, body mask, spacing in mm) of a phantom."""
    suite = SUITES[suite_name]
    hu, labels, spacing_mm, _ = simulate(suite.seed, index, **suite.options)
    hu = scipy.ndimage.gaussian_filter(hu, (0.5, 0.7, 0.7), output=np.float32)  # against the noise
    hu, kidney = hu[:, ::stride, ::stride], labels[:, ::stride, ::stride] > 0
    return hu, kidney, body_mask(hu), np.array(spacing_mm) * (1, stride, stride)


def score_choices(hu, kidney, body, spacing_mm, choices):
    """Kidney Dice of each (low, width, opening radius)."""
    for low, width, radius in choices:
        window = body & (hu >= low) & (hu < low + width)
        yield dice(two_largest(opened(window, radius, spacing_mm)), kidney)


def body_mask(hu):
    """The largest component of what is not air, holes of each slice filled; bool [slices, rows, columns]."""
    body = two_largest(hu > BODY_HU, count=1)
    return np.stack([scipy.ndimage.binary_fill_holes(plane) for plane in body])


def opened(mask, radius_mm, spacing_mm):
    """The mask opened by a ball of `radius_mm`."""
    reach = np.maximum(np.floor(radius_mm / spacing_mm), 1).astype(int)
    offsets = np.meshgrid(*(np.arange(-r, r + 1) * s for r, s in zip(reach, spacing_mm, strict=True)), indexing="ij")
    ball = sum(o**2 for o in offsets) <= max(radius_mm, max(spacing_mm)) ** 2
    return scipy.ndimage.binary_opening(mask, ball)


def two_largest(mask, count=2):
    """The largest components of a mask, bool of its shape."""
    numbered, found = scipy.ndimage.label(mask)
    if not found:
        return mask
    sizes = np.bincount(numbered.ravel())
    sizes[0] = 0
    return np.isin(numbered, np.argsort(sizes)[::-1][: min(count, found)])


def dice(prediction, reference):
    """Dice overlap of two masks; 1 where both are empty."""
    total = prediction.sum() + reference.sum()
    return 1.0 if total == 0 else 2.0 * (prediction & reference).sum() / total


if __name__ == "__main__":
    main()
