"""Training runs of networks so small that a step takes milliseconds, and a program that does several of them."""

import dataclasses
import functools
import json
import signal
import subprocess
import sys

from kits_tf.config import preset

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


def start(data, *runs, **options):
    """Starts `main` as a process, where determinism and logical devices can be set."""
    text = json.dumps([str(data), [(name, str(folder), *more) for name, folder, *more in runs], options])
    line = [sys.executable, "-m", "tests.training.tiny_runs", text]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def main(data, runs, devices=1, slow=False, weights=None):
    """Does runs (network, folder, strategy, preset, options); each worker may write its own weights as .npz."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts the tests may ignore it
    import numpy as np
    import tensorflow as tf

    from kits_tf.training import loop, state, strategies

    def copy_and_write(self, arrays, copy=state.TrainingState.copy_weights):
        copy(self, arrays)
        if weights:
            np.savez(f"{weights}_{self.folder.name}.npz", *arrays)

    state.TrainingState.copy_weights = copy_and_write
    strategies.make_strategy = functools.cache(strategies.make_strategy)  # a process has one cluster
    if slow:
        loop.SAVE_SECONDS, loop.MAX_CALL_STEPS = 0, 1
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    for network, folder, strategy, preset_name, options in runs:
        try:
            train(data, folder, tiny_config(network, preset_name, **options), strategy=strategy)
        except KeyboardInterrupt as error:  # the next run may resume this one
            print(error)


if __name__ == "__main__":
    DATA, RUNS, OPTIONS = json.loads(sys.argv[1])
    main(DATA, RUNS, **OPTIONS)
