"""What each widening of the simulation brings: a short training of the axial network on each, scored alike.

    python experiments/simulation_tries.py --anatomy=organs.nii.gz --legend=organs.json --anatomy_ct=imaging.nii.gz \
        --image=imaging.nii.gz --organs=organs.nii.gz

Every try trains as many steps from the same seed, two tries at a time, and is scored by the axial plane alone: on the
real CT, on the held-out suite of `simulation_suites.py` and on the test suite of `phantom_suites.py`. The trainings
are much shorter than that of released weights, so the figures compare the tries and say little else. Writes
`experiments/results/simulation_tries.json` and the table in docs/simulation.md. Hardware meant: two CPU cores, half
an hour.
"""

import argparse
import hashlib
import pathlib
import sys
from concurrent import futures

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

import held_out_simulations  # noqa: E402
import phantom_suites  # noqa: E402
import real_ct  # noqa: E402
import simulation_suites  # noqa: E402
from commands import command  # noqa: E402
from documents import replace_block, table, write_result  # noqa: E402

TOGETHER = 2  # trainings at a time, one core each
SEED = 1
ONE_GRID = ("--size=256", "--pixel_spacing_mm=1.5,1.5", "--slice_spacing_mm=3,3")
RANDOM_PATIENTS = ("--size=256", "--slices=64", "--pixel_spacing_mm=1.3,1.9", "--slice_spacing_mm=2.0,5.0")
ONE_PHASE = "--phases=nephrographic"
AXIAL_ALONE = ("--planes=axial", "--stage=kidney")
NATIVE = ("--set=inplane_mm=0", "--set=slice_mm=0")


def tries(anatomy, num_cases):
    """{name: (flags of each call of kits-phantom, more flags of kits-train)}.

    Args:
        anatomy: the flags of kits-phantom that name the organ maps.
        num_cases: how many simulations a try has.
    """
    seed, count = f"--seed={simulation_suites.TRAINING_SEED}", f"--num_cases={num_cases}"
    maps_alone = [flag for flag in anatomy if not flag.startswith("--anatomy_ct")]
    wide = simulation_suites.training(anatomy, num_cases)
    return {
        "random patients, no organ map": (([seed, count, *RANDOM_PATIENTS],), ()),
        "organ map, one phase, one grid": (([*anatomy, seed, count, *ONE_GRID, ONE_PHASE],), ()),
        "organ map, all phases, one grid": (([*anatomy, seed, count, *ONE_GRID],), ()),
        "organ map, all phases, many grids": (wide, ()),
        "the same, its tissue split without a CT": (simulation_suites.training(maps_alone, num_cases), ()),
        "the same, a quarter of the cases": (simulation_suites.training(anatomy, num_cases // 4), ()),
        "the same, networks on the native grid": (wide, NATIVE),
    }


def main():
    """Simulates, trains and scores every try, then writes the table."""
    arguments = parse()
    anatomy, work = simulation_suites.anatomy_flags(arguments), arguments.work_dir
    plan = tries(anatomy, arguments.num_cases)
    checkpoints = {name: work / f"checkpoints_{number}" for number, name in enumerate(plan)}
    prepared = {name: prepare(work, simulations) for name, (simulations, _) in plan.items()}

    def train_one(name):
        train(prepared[name], checkpoints[name], plan[name][1], arguments.steps)

    with futures.ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(train_one, plan))
    held_out = held_out_simulations.make(anatomy, work / "held_out")
    phantoms = work / "phantoms"
    command("phantom", f"--output_dir={phantoms}", *phantom_suites.TEST.flags)
    result = {name: scores(checkpoints[name], work, held_out, phantoms, arguments) for name in plan}
    write_result("simulation_tries", {"cases": arguments.num_cases, "steps": arguments.steps, "tries": result})
    replace_block("simulation.md", "tries", lines(result))
    print("\n".join(lines(result)))


def prepare(work, simulations):
    """Simulates and prepares the cases of a try, once for all tries that share them; returns the prepared folder."""
    folder = work / hashlib.sha256(repr(simulations).encode()).hexdigest()[:12]
    for flags in simulations:
        command("phantom", f"--output_dir={folder / 'simulations'}", *flags)
    folders = f"--data_dir={folder / 'simulations'}", f"--output_dir={folder / 'prepared'}"
    command("prepare", *folders, "--num_validation=0", "--num_test=0")
    return folder / "prepared"


def train(prepared, checkpoints, options, steps):
    """Trains the axial network of one try on one core."""
    folders = f"--data_dir={prepared}", f"--checkpoint_dir={checkpoints}"
    flags = "--stage=kidney", "--plane=axial", "--preset=small", f"--seed={SEED}", f"--set=num_steps={steps}"
    command("train", *folders, *flags, "--precision=mixed_bfloat16", *options, TF_NUM_INTRAOP_THREADS="1")


def scores(checkpoint, work, held_out, phantoms, arguments):
    """{"real_ct", "held_out", "phantoms"}: the results of `real_ct.score` and `held_out_simulations.score`."""
    found = {
        name: held_out_simulations.score(cases, work, checkpoint, AXIAL_ALONE, ("kidney_dice",))
        for name, cases in (("held_out", held_out), ("phantoms", phantoms))
    }
    real = real_ct.score(arguments.image, arguments.organs, arguments.kidneys, checkpoint, AXIAL_ALONE)
    return {"real_ct": real, **found}


def lines(result):
    """The table of tries."""
    rows = [
        (
            name,
            f"{found['real_ct']['kidney_dice']:.3f}",
            f"{found['real_ct']['outside_kidneys_ml']:.0f} ml",
            f"{found['held_out']['mean']['kidney_dice']:.3f}",
            f"{found['phantoms']['mean']['kidney_dice']:.3f}",
        )
        for name, found in result.items()
    ]
    return table(("simulation", "real CT", "found outside", "held-out simulations", "test phantoms"), rows)


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    simulation_suites.add_anatomy(parser)
    real_ct.add_ct(parser)
    parser.add_argument("--work_dir", type=pathlib.Path, default=ROOT / "build" / "tries")
    parser.add_argument("--num_cases", type=int, default=80, help="simulations of each try")
    parser.add_argument("--steps", type=int, default=700, help="of each training")
    return parser.parse_args()


if __name__ == "__main__":
    main()
