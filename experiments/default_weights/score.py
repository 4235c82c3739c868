"""Score weights on CTs that no training sample was made of, and on tumors planted into them.

python -m experiments.default_weights.score --real_ct=DIR --output=scores.json

DIR of --real_ct is as for `paint`; without it, the bundled CT and the simulations alone are scored. --shapes=DIR, a
folder of KiTS19's labels, adds tumors of real shape in these CTs (see `plant`). --picture draws the worst cases.
--record stores the scores in result.json as those of the released weights, --try_name their summary among the tries.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

import kits_tf
from experiments import pictures
from experiments.default_weights import paint, plant
from experiments.default_weights.networks import RESULT, record, recorded
from experiments.default_weights.samples import Case, largest_pieces
from kits_tf import checkpoint, config, files, simulation
from kits_tf.evaluation.metrics import dice
from kits_tf.simulation.fields import random_generator

BUNDLED = "trunk_ct"
FAR_MM = 6.0  # found kidney further than this from a labelled one is a false piece
FOUND_SHARE = 0.1  # of a tumor's voxels that make it found
WORTH_FINDING_ML = 4.0
DARK_HU = -20.0  # contrast to the kidney; brighter tumors are hard to tell from it
REAL_SHAPED = 6  # tumors of real shape for each CT
PLANTED_SEED, SIMULATED_SEED = 77, 9413
# Outside the ranges of `simulate`, so that no spacing is one of training.
SIMULATED: dict[str, Any] = {"size": 320, "slice_spacing_mm": (5.25, 5.45)}

Scored = dict[str, dict[str, Any]]
"""Numbers of each case."""


def main() -> None:
    """Score the weights and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint_dir", default=checkpoint.DEFAULT)
    parser.add_argument("--real_ct", type=pathlib.Path)
    parser.add_argument("--cases", help="comma list of folders of --real_ct; by default those of held-out people")
    parser.add_argument("--planted", type=int, default=4, help="tumors planted into each of these CTs, one at a time")
    parser.add_argument("--shapes", type=pathlib.Path, help="labels in KiTS19's layout, whose tumors are planted")
    parser.add_argument("--simulated", type=int, default=10, help="number of simulations")
    parser.add_argument("--picture", type=pathlib.Path)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--record", action="store_true", help="record the scores of the released weights")
    parser.add_argument("--try_name", help="name of a try to record")
    arguments = parser.parse_args()
    scorer = Scorer(kits_tf.load_segmenter(arguments.checkpoint_dir))
    real = {BUNDLED: bundled()}
    if arguments.real_ct:
        names = arguments.cases.split(",") if arguments.cases else held_out(arguments.real_ct)
        real |= {name: paint.read(arguments.real_ct / name) for name in names}
    for name, case in real.items():
        scorer.add("real", name, case)
        for number in range(arguments.planted if name != BUNDLED else 0):
            scorer.add("planted", f"{name}_{number}", planted(case, number))
        if arguments.shapes and name != BUNDLED:
            for one in plant.planted(case, name, arguments.shapes, REAL_SHAPED):
                facts = {"subtype": one.subtype, "contrast_hu": one.contrast_hu}
                scorer.add("real_shaped", f"{name}_{one.donor}", one.case, **facts)
    for number in range(arguments.simulated):
        scorer.add("simulated", f"{number:02d}", simulated(number))
    scores: dict[str, Any] = {"checkpoint": arguments.checkpoint_dir, "cases": scorer.scores}
    scores["summary"] = summary(scorer.scores)
    files.write_text(arguments.output, json.dumps(scores, indent=1) + "\n")
    print(json.dumps(scores["summary"], indent=1))
    if arguments.picture:
        pictures.draw_sheet(scorer.worst(), arguments.picture)
    if arguments.record:
        record(scores=scores)
    if arguments.try_name:
        add_try(arguments.try_name, scores["summary"])


class Scorer:
    """Scores cases and keeps the worst of each kind for the picture."""

    def __init__(self, segmenter: Any) -> None:
        self.segmenter = segmenter
        self.scores: dict[str, Scored] = {}
        self._worst: dict[str, tuple[float, list[pictures.Plane]]] = {}

    def add(self, kind: str, name: str, case: Case, **facts: Any) -> None:
        """Segment a case and score it; facts about it are kept with its numbers."""
        found = self.segmenter.segment(case.hu, case.spacing_mm)
        numbers = score(case, found) | facts
        self.scores.setdefault(kind, {})[name] = numbers
        print(kind, name, numbers, flush=True)
        dices = (numbers["kidney_dice"], numbers["tumor_dice"])
        worst = min(value for value in dices if value is not None)
        if kind not in self._worst or worst < self._worst[kind][0]:
            self._worst[kind] = worst, planes(f"{kind} {name}", case, found)

    def worst(self) -> list[list[pictures.Plane]]:
        """Return the planes of the worst case of each kind."""
        return [row for _, row in self._worst.values()]


def bundled() -> Case:
    """Return the CT that comes with the package."""
    folder = pathlib.Path(kits_tf.__file__).with_name("samples") / BUNDLED
    volume = kits_tf.read_volume(folder / "imaging.nii.gz")
    labels, _ = kits_tf.read_labels(folder / "segmentation.nii.gz")
    return Case(volume.hu, labels > 0, labels > 1, volume.spacing_mm)


def held_out(folder: pathlib.Path) -> list[str]:
    """Return the names of the CTs of held-out people."""
    names = sorted(path.parent.name for path in folder.glob("*/kidney.nii.gz"))
    return [name for name in names if name.startswith(paint.HELD_OUT)]


def planted(case: Case, number: int) -> Case:
    """Return a CT with one painted tumor; the same for the same number."""
    rng = random_generator(PLANTED_SEED, number)
    hu = case.hu.astype(np.float32)
    kidneys = largest_pieces(case.kidney, 2)
    while True:
        kidney = kidneys[rng.integers(len(kidneys))]
        tumor = paint.paint(hu, kidney, case.spacing_mm, rng, paint.tumor_texture)
        if tumor.any():
            return Case(hu, case.kidney | tumor, tumor, case.spacing_mm)


def simulated(number: int) -> Case:
    """Return a held-out simulation."""
    hu, labels, spacing_mm = simulation.simulate(SIMULATED_SEED, number, **SIMULATED)
    return Case(hu, labels > 0, labels == 2, spacing_mm)


def score(case: Case, found: np.ndarray) -> dict[str, Any]:
    """Return the numbers of a case; those of a tumor are None without one."""
    voxel_ml = float(np.prod(case.spacing_mm)) / 1000
    kidney, tumor = found > 0, found == 2
    distance_mm = ndimage.distance_transform_edt(~case.kidney, case.spacing_mm)
    has_tumor = bool(case.tumor.any())
    covered = np.count_nonzero(tumor & case.tumor) / max(int(np.count_nonzero(case.tumor)), 1)
    return {
        "kidney_dice": round(dice(kidney, case.kidney), 4),
        "far_ml": round(int(np.count_nonzero(kidney & (distance_mm > FAR_MM))) * voxel_ml, 2),
        "false_tumor_ml": round(int(np.count_nonzero(tumor & ~case.tumor)) * voxel_ml, 2),
        "tumor_ml": round(int(np.count_nonzero(case.tumor)) * voxel_ml, 2),
        "tumor_dice": round(dice(tumor, case.tumor), 4) if has_tumor else None,
        "tumor_found": bool(covered >= FOUND_SHARE) if has_tumor else None,
        "rows_to_columns": transitions(tumor),
    }


def transitions(mask: np.ndarray) -> float | None:
    """Return how often a mask changes from row to row, over how often from column to column; None if it never does."""
    rows, columns = (int(np.count_nonzero(np.diff(mask, axis=axis))) for axis in (1, 2))
    return round(rows / columns, 3) if columns else None


def summary(scores: dict[str, Scored]) -> dict[str, Any]:
    """Return means and extremes over the cases of each kind."""
    real, planted_cases, real_shaped, simulations = (
        list(scores.get(kind, {}).values()) for kind in ("real", "planted", "real_shaped", "simulated")
    )
    dark = [one for one in real_shaped if one["contrast_hu"] < DARK_HU]
    return {
        "real_kidney_dice": aggregate(np.mean, real, "kidney_dice"),
        "real_lowest_kidney_dice": aggregate(np.min, real, "kidney_dice"),
        "real_most_far_ml": aggregate(np.max, real, "far_ml"),
        "real_median_false_tumor_ml": aggregate(np.median, real, "false_tumor_ml"),
        "real_most_false_tumor_ml": aggregate(np.max, real, "false_tumor_ml"),
        "planted_tumor_dice": aggregate(np.mean, planted_cases, "tumor_dice"),
        "planted_found": found_of_large(planted_cases),
        "real_shaped_tumor_dice": aggregate(np.mean, real_shaped, "tumor_dice"),
        "real_shaped_found": found_of_large(real_shaped),
        "real_shaped_dark_tumor_dice": aggregate(np.mean, dark, "tumor_dice"),
        "simulated_kidney_dice": aggregate(np.mean, simulations, "kidney_dice"),
        "simulated_tumor_dice": aggregate(np.mean, simulations, "tumor_dice"),
        "simulated_rows_to_columns": aggregate(np.mean, simulations, "rows_to_columns"),
    }


def found_of_large(cases: Iterable[dict[str, Any]]) -> str | None:
    """Return how many of the tumors worth finding were found; None if there are none."""
    large = [one["tumor_found"] for one in cases if one["tumor_ml"] > WORTH_FINDING_ML]
    return f"{sum(large)} of {len(large)}" if large else None


def aggregate(function: Any, cases: Iterable[dict[str, Any]], name: str) -> float | None:
    """Return a function of a number of the cases that have it; None if none has."""
    values = [case[name] for case in cases if case[name] is not None]
    return round(float(function(values)), 4) if values else None


def planes(title: str, case: Case, found: np.ndarray) -> list[pictures.Plane]:
    """Return the slice of each plane in which labels and findings differ most, with both outlined."""
    labels = case.kidney.astype(np.uint8) + case.tumor
    drawn: list[pictures.Plane] = []
    for axis, plane in enumerate(config.PLANES):
        others = tuple(other for other in range(3) if other != axis)
        index = int(np.count_nonzero(labels != found, axis=others).argmax())
        hu, aspect = pictures.cut(case.hu, axis, index, case.spacing_mm)
        colors: Sequence[tuple[np.ndarray, int, str]] = (
            (labels, 0, pictures.LABEL),
            (labels, 1, pictures.LABEL),
            (found, 0, pictures.KIDNEY),
            (found, 1, pictures.TUMOR),
        )
        outlines = [(array.take(index, axis) > label, color) for array, label, color in colors]
        drawn.append((f"{title}: {plane}", hu, aspect, outlines))
    return drawn


def add_try(name: str, numbers: dict[str, Any], result: pathlib.Path = RESULT) -> None:
    """Record a summary among the tries, in place of one of the same name."""
    others = [one for one in recorded(result)["tries"] if one["name"] != name]
    record(result, tries=[*others, {"name": name, **numbers}])


if __name__ == "__main__":
    main()
