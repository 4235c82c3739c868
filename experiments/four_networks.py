"""Trains the four networks of a set of released weights on simulated CTs; `train_simulated.py` says which.

Every part resumes where an earlier run stopped. What each part took, by the clock and in seconds of CPU, is printed
and written to `seconds.json` in the work folder.
"""

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import resource
import shutil
import sys
import time
from concurrent import futures

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

import packed_weights  # noqa: E402
from commands import command  # noqa: E402

from kits_tf import files  # noqa: E402
from kits_tf.checkpoint import CONFIG_NAME, WEIGHTS_NAME  # noqa: E402
from kits_tf.data import kits19  # noqa: E402

NETWORKS = {
    "kidney_axial": ["--stage=kidney", "--plane=axial"],
    "kidney_coronal": ["--stage=kidney", "--plane=coronal"],
    "kidney_sagittal": ["--stage=kidney", "--plane=sagittal"],
    "tumor": ["--stage=tumor"],
}
SEED = 1
TOGETHER = (
    2  # kidney networks in training at a time: two on a core each take less time than one after the other on both
)


Round = collections.namedtuple("Round", "part checkpoints flags")  # part: how its name ends


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a set of weights is made from.

    Attributes:
        simulations: for each call of kits-simulate its flags, without the output folder.
        cases: numbers of the cases that the kidney networks learn from, and of those that they then find kidneys in
            for the tumor network, {"kidney": "0-199", "tumor": "0-299"}.
        options: more flags of kits-train for each stage.
        refining: {stage: for each further training, which starts from the one before, more flags of kits-train}; a
            stage that is not named has none. The tumor network's take the cases that `cases` has for "tumor_refined".
        tumor_kidneys: which of the kidney networks' trainings, counted from 0, finds the kidneys that the tumor
            network learns from; by default the last.
    """

    simulations: tuple
    cases: dict
    options: dict = dataclasses.field(default_factory=lambda: {"kidney": [], "tumor": []})
    refining: dict = dataclasses.field(default_factory=dict)
    tumor_kidneys: int = -1


def parser(name, description):
    """The command line of an experiment whose weights are called `name`."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--work_dir", type=pathlib.Path, default=ROOT / "build" / name)
    result.add_argument("--output_dir", type=pathlib.Path, default=ROOT / "checkpoints" / name)
    result.add_argument("--networks", default=",".join(NETWORKS), help="which to train, with commas")
    result.add_argument("options", nargs="*", help="more flags for kits-train, after --")
    return result


def make(recipe, work, output, networks=tuple(NETWORKS), options=()):
    """Simulates, prepares and trains.

    Args:
        recipe: a `Recipe`.
        work: folder for everything on the way.
        output: folder that each network's config and weights are copied to.
        networks: which of NETWORKS to train.
        options: flags of kits-train for all of them, after the recipe's.
    """
    seconds = Seconds(work / "seconds.json")
    simulations, prepared = work / "simulations", work / "prepared"
    rounds = {stage: rounds_of(recipe, work, stage) for stage in ("kidney", "tumor")}
    with seconds.of("simulations"):
        for flags in recipe.simulations:
            command("simulate", f"--output_dir={simulations}", *flags)
    with seconds.of("prepare"):
        for name, cases in recipe.cases.items():
            folders = f"--data_dir={simulations}", f"--output_dir={prepared / name}"
            command("prepare", *folders, f"--cases={cases}", "--num_validation=0", "--num_test=0")
    planes = [network for network in networks if network != "tumor"]
    for part, checkpoints, flags in rounds["kidney"]:
        with seconds.of(f"kidney networks{part}"):
            train_planes(planes, work, checkpoints, [*flags, *options])
    if "tumor" in networks:
        with seconds.of("kidneys"):
            finders = rounds["kidney"][recipe.tumor_kidneys].checkpoints
            find_kidneys(recipe, simulations, finders, work / "kidneys")
        for part, checkpoints, flags in rounds["tumor"]:
            with seconds.of(f"tumor network{part}"):
                train("tumor", work, checkpoints, [*flags, *options], "tumor_refined" if part else "tumor")
    for network in networks:
        copy(rounds[stage_of(network)][-1].checkpoints / network, output / network)
    seconds.print()


def rounds_of(recipe, work, stage):
    """The trainings of a stage in their order, list of `Round`; each but the first starts from the one before."""
    rounds = [Round("", work / "checkpoints", recipe.options[stage])]
    for number, flags in enumerate(recipe.refining.get(stage, ()), 1):
        ending = f"_{number}" if number > 1 else ""
        start = f"--pretrained={rounds[-1].checkpoints}"
        rounds.append(Round(f" refined{ending}", work / f"refined{ending}", [*flags, start]))
    return rounds


def train_planes(planes, work, checkpoints, options):
    """Trains kidney networks, TOGETHER at a time."""
    with futures.ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(lambda network: train(network, work, checkpoints, options, "kidney"), planes))


def stage_of(network):
    """The stage of one of NETWORKS."""
    return network.partition("_")[0]


def train(network, work, checkpoints, options, cases):
    """Trains one network of the small preset, a kidney network on its share of the cores.

    Args:
        network: one of NETWORKS.
        work: the work folder.
        checkpoints: folder of the network's folder.
        options: more flags of kits-train.
        cases: which of the recipe's `cases` it learns from, by name.
    """
    stage = stage_of(network)
    folders = f"--data_dir={work / 'prepared' / cases}", f"--checkpoint_dir={checkpoints}"
    masks = [f"--kidney_masks={work / 'kidneys'}"] if stage == "tumor" else []
    threads = max(1, os.cpu_count() // TOGETHER) if stage == "kidney" else os.cpu_count()
    flags = *NETWORKS[network], *folders, *masks, "--preset=small", f"--seed={SEED}", *options
    command("train", *flags, TF_NUM_INTRAOP_THREADS=str(threads))


def find_kidneys(recipe, simulations, checkpoints, kidneys):
    """Predicts the kidneys of the tumor network's cases."""
    folders = [
        str(simulations.resolve() / kits19.case_name(number)) for number in kits19.parse_cases(recipe.cases["tumor"])
    ]
    inputs = kidneys.parent / "tumor_cases.txt"
    files.write_text(inputs, "\n".join(folders) + "\n")
    command(
        "predict", "--stage=kidney", f"--input={inputs}", f"--output_dir={kidneys}", f"--checkpoint_dir={checkpoints}"
    )


def copy(source, target):
    """Copies what a released network consists of, its weights packed."""
    with files.replacing(target / CONFIG_NAME) as temporary:
        shutil.copyfile(source / CONFIG_NAME, temporary)
    with files.replacing(target / WEIGHTS_NAME) as temporary:
        packed_weights.pack(source / WEIGHTS_NAME, temporary)


class Seconds:
    """What each part took, over all runs that shared the work folder: {part: [by the clock, of CPU]}."""

    def __init__(self, path):
        self._path = path
        self._seconds = json.loads(path.read_text()) if path.is_file() else {}

    @contextlib.contextmanager
    def of(self, part):
        """Adds what the block takes to a part, also when it ends early."""
        start = now()
        try:
            yield
        finally:
            before = self._seconds.get(part, [0.0, 0.0])
            self._seconds[part] = [round(b + t - s, 1) for b, t, s in zip(before, now(), start, strict=True)]
            files.write_text(self._path, json.dumps(self._seconds, indent=2) + "\n")
            self.print_line(part, self._seconds[part])

    def print(self):
        """Prints all parts and their sum."""
        for part, taken in self._seconds.items():
            self.print_line(part, taken)
        self.print_line("together", [sum(taken) for taken in zip(*self._seconds.values(), strict=True)])

    def print_line(self, part, taken):
        """Prints one part in minutes."""
        print(f"{part:23} {taken[0] / 60:6.1f} min, {taken[1] / 60:6.1f} min of CPU", flush=True)


def now():
    """The clock, and the CPU's seconds of all commands that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic(), children.ru_utime + children.ru_stime
