"""Scores weights on the held-out suite of CTs simulated from organ maps.

    python experiments/held_out_simulations.py --checkpoint_dir=simulated \
        --anatomy=organs.nii.gz --legend=organs.json --anatomy_ct=imaging.nii.gz

The suite is that of `simulation_suites.py`: ten cases whose spacings training never saw. Writes
`experiments/results/held_out_WEIGHTS.json`. Hardware meant: two CPU cores, a minute.
"""

import argparse
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

import simulation_suites  # noqa: E402
from commands import command, scores_of  # noqa: E402
from documents import write_result  # noqa: E402

SCORES = ("kidney_dice", "tumor_dice")


def main():
    """Simulates, segments, writes the result and prints it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    simulation_suites.add_anatomy(parser)
    parser.add_argument("--checkpoint_dir", default="simulated")
    parser.add_argument("--work_dir", type=pathlib.Path, default=ROOT / "build" / "held_out")
    parser.add_argument("options", nargs="*", help="more flags for kits-predict, after --")
    arguments = parser.parse_args()
    simulations = make(simulation_suites.anatomy_flags(arguments), arguments.work_dir)
    result = score(simulations, arguments.work_dir, arguments.checkpoint_dir, arguments.options)
    write_result(f"held_out_{pathlib.Path(arguments.checkpoint_dir).name}", result)
    print(json.dumps(result))


def make(anatomy, work):
    """Simulates the held-out suite; returns its folder."""
    simulations = work / "simulations"
    command("simulate", f"--output_dir={simulations}", *simulation_suites.held_out(anatomy))
    return simulations


def score(simulations, work, checkpoint_dir, options=(), keys=SCORES):
    """What weights score on simulations: the mean of each score and its value in each case.

    Args:
        simulations: folder of cases in the KiTS19 layout.
        work: folder for predictions, made anew.
        checkpoint_dir: a folder, or the name of released weights.
        options: more flags of kits-predict.
        keys: which scores.
    """
    scores = scores_of(simulations, work / "predictions", work / "scores.json", checkpoint_dir, *options)
    return {
        "weights": pathlib.Path(checkpoint_dir).name,
        "options": list(options),
        "mean": {key: round(scores["mean"][key], 4) for key in keys},
        "cases": {name: {key: round(case[key], 4) for key in keys} for name, case in scores["cases"].items()},
    }


if __name__ == "__main__":
    main()
