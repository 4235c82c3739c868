"""Makes the weights in checkpoints/phantom: simulated CTs, three kidney networks, their kidneys, the tumor network.

    python experiments/train_phantom.py --work_dir=build/phantom

The phantoms are the training suite of `phantom_suites.py`; seeds are fixed. The tumor network learns on kidneys that
the kidney networks found, in the paper's order, and most of its cases are none of theirs. Every part resumes where an
earlier run stopped. The result, `config.json` and `model.weights.h5` of each network, is copied to --output_dir; what
each part took, by the clock and in seconds of CPU, is printed and written to `seconds.json` in --work_dir. Hardware
meant: two CPU cores, 45 minutes. The scores in its model card are made by `score_phantom_weights.py`; see
`checkpoints/phantom/MODEL_CARD.md`.
"""

import argparse
import contextlib
import json
import pathlib
import resource
import shutil
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

import phantom_suites  # noqa: E402
from commands import command  # noqa: E402

from kits_tf import files  # noqa: E402
from kits_tf.checkpoint import CONFIG_NAME, WEIGHTS_NAME  # noqa: E402

NETWORKS = {
    "kidney_axial": ["--stage=kidney", "--plane=axial"],
    "kidney_coronal": ["--stage=kidney", "--plane=coronal"],
    "kidney_sagittal": ["--stage=kidney", "--plane=sagittal"],
    "tumor": ["--stage=tumor"],
}
COPIED = (CONFIG_NAME, WEIGHTS_NAME)
SEED = 1
# 192 of the tumor network's 300 cases are new to the kidney networks, so their kidneys are as faulty as a patient's.
CASES = {"kidney": "0-287", "tumor": f"180-{phantom_suites.TRAINING.num_cases - 1}"}


def main():
    """Runs every part in turn."""
    arguments = parse()
    work = arguments.work_dir
    seconds = Seconds(work / "seconds.json")
    phantoms, prepared, checkpoints = work / "phantoms", work / "prepared", work / "checkpoints"
    kidneys = work / "kidneys"
    with seconds.of("phantoms"):
        command("phantom", f"--output_dir={phantoms}", *phantom_suites.TRAINING.flags)
    with seconds.of("prepare"):
        for stage, cases in CASES.items():
            folders = f"--data_dir={phantoms}", f"--output_dir={prepared / stage}"
            command("prepare", *folders, f"--cases={cases}", "--num_validation=0", "--num_test=0")
    for network in arguments.networks.split(","):
        if network == "tumor":
            with seconds.of("kidneys"):
                folders = f"--input={prepared / 'tumor'}", f"--output_dir={kidneys}"
                command("predict", "--stage=kidney", *folders, f"--checkpoint_dir={checkpoints}")
        with seconds.of(network):
            train(network, work, arguments.options)
        copy(checkpoints / network, arguments.output_dir / network)
    seconds.print()


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work_dir", type=pathlib.Path, default=ROOT / "build" / "phantom")
    parser.add_argument("--output_dir", type=pathlib.Path, default=ROOT / "checkpoints" / "phantom")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="which to train, with commas")
    parser.add_argument("options", nargs="*", help="more flags for kits-train, after --")
    return parser.parse_args()


def train(network, work, options):
    """Trains one network of the small preset."""
    prepared = work / "prepared" / network.partition("_")[0]
    folders = f"--data_dir={prepared}", f"--checkpoint_dir={work / 'checkpoints'}"
    masks = [f"--kidney_masks={work / 'kidneys'}"] if network == "tumor" else []
    command("train", *NETWORKS[network], *folders, *masks, "--preset=small", f"--seed={SEED}", *options)


def copy(source, target):
    """Copies what a released network consists of."""
    for name in COPIED:
        with files.replacing(target / name) as temporary:
            shutil.copyfile(source / name, temporary)


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
        print(f"{part:16} {taken[0] / 60:6.1f} min, {taken[1] / 60:6.1f} min of CPU", flush=True)


def now():
    """The clock, and the CPU's seconds of all commands that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic(), children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
