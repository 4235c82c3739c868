"""Makes the weights in checkpoints/phantom: simulated CTs, kits-prepare, then kits-train for each network.

    python experiments/train_phantom.py --work_dir=build/phantom

The phantoms are the training suite of `phantom_suites.py`; seeds are fixed. Every part resumes where an earlier run
stopped. The result, `config.json` and `model.weights.h5` of each network, is copied to --output_dir; what each part
took is printed and written to `seconds.json` in --work_dir. Hardware meant: two CPU cores without AMX, 45 minutes.
The scores in its model card are made by `score_phantom_weights.py`; see `checkpoints/phantom/MODEL_CARD.md`.
"""

import argparse
import json
import pathlib
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
# The kidney networks have over a hundred slabs a case, the tumor network two kidneys.
CASES = {"kidney": 192, "tumor": phantom_suites.TRAINING.num_cases}


def main():
    """Runs every part in turn."""
    arguments = parse()
    work = arguments.work_dir
    seconds = Seconds(work / "seconds.json")
    phantoms, prepared, checkpoints = work / "phantoms", work / "prepared", work / "checkpoints"
    with seconds.of("phantoms"):
        command("phantom", f"--output_dir={phantoms}", *phantom_suites.TRAINING.flags)
    with seconds.of("prepare"):
        for stage, count in CASES.items():
            folders = f"--data_dir={phantoms}", f"--output_dir={prepared / stage}"
            command("prepare", *folders, f"--cases=0-{count - 1}", "--num_validation=0", "--num_test=0")
    for network in arguments.networks.split(","):
        with seconds.of(network):
            train(network, prepared / network.partition("_")[0], checkpoints, arguments.options)
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


def train(network, prepared, checkpoints, options):
    """Trains one network of the small preset."""
    folders = f"--data_dir={prepared}", f"--checkpoint_dir={checkpoints}"
    command("train", *NETWORKS[network], *folders, "--preset=small", f"--seed={SEED}", *options)


def copy(source, target):
    """Copies what a released network consists of."""
    for name in COPIED:
        with files.replacing(target / name) as temporary:
            shutil.copyfile(source / name, temporary)


class Seconds:
    """What each part took, over all runs that shared the work folder."""

    def __init__(self, path):
        self._path = path
        self._seconds = json.loads(path.read_text()) if path.is_file() else {}

    def of(self, part):
        """A context that adds its time to a part."""
        return Stopwatch(lambda taken: self._add(part, taken))

    def _add(self, part, taken):
        self._seconds[part] = round(self._seconds.get(part, 0.0) + taken, 1)
        files.write_text(self._path, json.dumps(self._seconds, indent=2) + "\n")
        print(f"{part}: {taken:.0f} s", flush=True)

    def print(self):
        """Prints all parts and their sum."""
        for part, taken in self._seconds.items():
            print(f"{part:16} {taken / 60:6.1f} min")
        print(f"{'together':16} {sum(self._seconds.values()) / 60:6.1f} min")


class Stopwatch:
    """Calls a function with the seconds that the block took, also when it ends early."""

    def __init__(self, note):
        self._note = note

    def __enter__(self):
        self._start = time.monotonic()

    def __exit__(self, *error):
        self._note(time.monotonic() - self._start)


if __name__ == "__main__":
    main()
