"""Bad NIfTI files of every kind through kits-predict: no traceback, no hang, no memory, nothing half written.

    python experiments/fuzz_predict.py --seed=0 --rounds=3

Writes files of each kind in `experiments/fuzz_files.py` beside one good CT and segments the folder with kits-predict,
once a round with another seed. Each round must end with exit code 0 or 1 within `--seconds`, take no more memory than
`--gigabytes`, name each failed file in one line of its own, say no traceback, and leave nothing but whole files; the
good CT must be segmented. Whatever a kind's file is found to be (some are harmless), it must not be anything else.
Writes `experiments/results/fuzz_predict.json`. Hardware meant: one core, 4 GB, two minutes a round.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import nibabel  # noqa: E402
import numpy as np  # noqa: E402

from experiments.benchmarks.machine import machine  # noqa: E402
from experiments.documents import ROOT, write_result  # noqa: E402
from experiments.fuzz_files import KINDS, good_image, save  # noqa: E402


def main():
    """Runs the rounds; stops with exit code 1 at the first that goes wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="bound on a round, the networks' loading included"
    )
    parser.add_argument("--gigabytes", type=float, default=3.0, help="bound on the memory of a round")
    parser.add_argument("--checkpoint_dir", default="simulated")
    arguments = parser.parse_args()
    rounds = [one_round(seed, arguments) for seed in range(arguments.seed, arguments.seed + arguments.rounds)]
    result = {"kinds": sorted(KINDS), "count": len(KINDS), "rounds": rounds, "machine": machine()}
    print(json.dumps(result, indent=1))
    write_result("fuzz_predict", result)


def one_round(seed, arguments):
    """Makes the files, segments them and checks what came of it; returns the figures."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = pathlib.Path(folder) / "data", pathlib.Path(folder) / "out"
        data.mkdir()
        save(good_image(), data / "good.nii.gz")
        rng = np.random.default_rng(seed)
        for name, make in KINDS.items():
            make(data / f"{name}.nii.gz", rng)
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "kits_tf.cli.predict", f"--input={data}", f"--output_dir={out}",
             f"--checkpoint_dir={arguments.checkpoint_dir}",],
            capture_output=True, text=True, timeout=arguments.seconds, cwd=ROOT,
        )  # fmt: skip
        seconds = time.monotonic() - start
        gigabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        said = [line for line in done.stderr.splitlines() if ".nii.gz" in line]
        check(done, said, out, gigabytes <= arguments.gigabytes)
        refused = sorted(name for name in KINDS if any(f"/{name}.nii.gz" in line for line in said))
        return {
            "seed": seed,
            "seconds": round(seconds, 1),
            "peak_gb": round(gigabytes, 2),
            "refused": len(refused),
            "segmented": sorted(set(KINDS) - set(refused)),
        }


def check(done, said, out, fits):
    """Stops with what is wrong about a round, if anything is."""
    problems = []
    if done.returncode not in (0, 1):
        problems.append(f"exit code {done.returncode}")
    if "Traceback" in done.stderr + done.stdout:
        problems.append("a traceback")
    if not fits:
        problems.append("memory beyond the bound")
    for name in ("good", *KINDS):
        lines = [line for line in said if f"/{name}.nii.gz" in line]
        written = out / f"{name}_segmentation.nii.gz"
        if len(lines) + written.is_file() != 1:
            problems.append(f"{name}: {len(lines)} lines, {'written' if written.is_file() else 'nothing written'}")
        if written.is_file() and np.asarray(nibabel.load(written).dataobj).max() > 2:
            problems.append(f"{name}: labels that are none")
        if written.is_file() != (out / f"{name}_segmentation.json").is_file():
            problems.append(f"{name}: labels without JSON or the other way round")
    problems += [f"{path.name} left behind" for path in out.iterdir() if path.name.startswith(".")]
    if problems:
        sys.exit("\n".join([done.stderr[-3000:], *problems]))


if __name__ == "__main__":
    main()
