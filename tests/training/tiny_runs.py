"""Training runs of networks so small that a step takes milliseconds, and a program that runs one.

python -m tests.training.tiny_runs NETWORK DATA FOLDER [--devices=2] [--strategy=mirrored] [--save_seconds=0] ...
"""

import argparse
import dataclasses
import signal
import subprocess
import sys

from kits_tf.config import override, preset

PATCHES = {"inplane_mm": 0.0, "slice_mm": 0.0, "patch_rows": 16, "patch_columns": 16, "patch_slices": 8}


def tiny_config(network="kidney_axial", preset_name="small", **options):
    """A preset at base width 2, with one pooling and small patches."""
    stage, _, plane = network.partition("_")
    own = PATCHES if plane else {"grid": 16}
    common = {"base_filters": 2, "depth": 1, "batch_size": 4, "num_steps": 5}
    common |= {"augment": network == "kidney_axial", **own, **options}
    return dataclasses.replace(preset(preset_name, stage, plane or None), **common)


def train(data, folder, config=None, seed=3, **machine):
    """Trains with `run.run`, deterministically; returns what it returns."""
    from kits_tf.training import run, state

    config = config or tiny_config()
    settings = state.Settings(seed, kidney_masks="labels" if config.stage == "tumor" else None)
    return run.run(config, data, folder, settings, run.Machine(**{"deterministic": True, **machine}))


def program(*words):
    """The command line of `main`."""
    return [sys.executable, "-m", "tests.training.tiny_runs", *map(str, words)]


def run_program(*words):
    """Runs `main` in a process of its own, where determinism and logical devices can be set; it has to succeed."""
    done = subprocess.run(program(*words), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def spy_on(state, path):
    """Lets a TrainingState write the weights that it copies, also on a worker that writes nothing else."""
    import numpy as np

    copy = state.copy_weights

    def copy_and_write(self, weights):
        copy(self, weights)
        np.savez(path, *weights)

    state.copy_weights = copy_and_write


def main():
    """Trains networks, one after the other in this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", help="names, with commas")
    parser.add_argument("data")
    parser.add_argument("folder")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--strategy", default="one")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--save_seconds", type=float, default=120)
    parser.add_argument("--max_call_steps", type=int, default=100)
    parser.add_argument("--weights", help="a .npz file for the weights as this process holds them at the end")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts the tests may ignore it
    import tensorflow as tf

    from kits_tf.training import loop, state

    loop.SAVE_SECONDS, loop.MAX_CALL_STEPS = arguments.save_seconds, arguments.max_call_steps
    if arguments.weights:
        spy_on(state.TrainingState, arguments.weights)
    if arguments.devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * arguments.devices)
    for network in arguments.networks.split(","):
        config = override(tiny_config(network, arguments.preset), arguments.set)
        try:
            done = train(arguments.data, arguments.folder, config, strategy=arguments.strategy)
        except state.TrainingError as error:
            sys.exit(str(error))
        except KeyboardInterrupt as error:
            print(error)
            sys.exit(130)
        if not done:
            sys.exit(143)


if __name__ == "__main__":
    main()
