"""What the training loop costs beside the bare compiled step, and what determinism costs.

    python experiments/benchmarks/training_loop.py

Both sides train the axial network on one batch in memory: the loop as `kits-train` runs it (rows of history, progress,
signals), and a `tf.function` of gradient and Adam that is called again and again. They take turns in one process; a
process of its own does the same under `--deterministic`. Seconds are a step's, the median of the runs. Writes
`experiments/results/training_loop.json`.
"""

import argparse
import dataclasses
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from experiments.benchmarks.machine import machine  # noqa: E402
from experiments.benchmarks.training_batch import random_batch  # noqa: E402
from experiments.documents import write_result  # noqa: E402
from kits_tf.config import preset  # noqa: E402


def main():
    """Measures both ways of computing, each in a process of its own, or the one that `--only` names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="of one run")
    parser.add_argument("--base_filters", type=int, default=16)
    parser.add_argument("--only", choices=["usual", "deterministic"])
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments)))
        return
    result = {"machine": machine(), "runs": arguments.runs, "steps": arguments.steps}
    for kind in ("usual", "deterministic"):
        flags = [f"--{name}={getattr(arguments, name)}" for name in ("runs", "steps", "base_filters")]
        line = [sys.executable, __file__, f"--only={kind}", *flags]
        output = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout
        result[kind] = json.loads(output.splitlines()[-1])
        print(kind, result[kind], flush=True)
    slower = result["deterministic"]["loop_seconds"] / result["usual"]["loop_seconds"]
    write_result("training_loop", result | {"deterministic_over_usual": round(slower, 3)})


def measure(arguments):
    """Seconds a step of the loop and of the bare step, and what one save takes."""
    import tensorflow as tf

    if arguments.only == "deterministic":
        tf.keras.utils.set_random_seed(0)
        tf.config.experimental.enable_op_determinism()
    config = dataclasses.replace(
        preset("paper", "kidney", "axial"), base_filters=arguments.base_filters, num_steps=arguments.steps
    )
    batch = random_batch(config)
    bare = bare_step(config, batch)
    times = {"loop": [], "bare": [], "save": []}
    for _ in range(arguments.runs):
        seconds, saving = loop_seconds(config, batch)
        times["loop"].append(seconds)
        times["save"].append(saving)
        times["bare"].append(bare_seconds(bare, arguments.steps))
    found = {f"{name}_seconds": round(statistics.median(values), 4) for name, values in times.items()}
    return found | {"loop_over_bare": round(found["loop_seconds"] / found["bare_seconds"], 4)}


def bare_step(config, batch):
    """A compiled function that takes one step and returns its loss."""
    import keras
    import tensorflow as tf

    from kits_tf import losses, models

    model, optimizer = models.build(config), keras.optimizers.Adam(config.learning_rate)
    optimizer.build(model.trainable_variables)
    batch = {name: tf.constant(array) for name, array in batch.items()}

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            total, _ = losses.kidney_loss(batch, model(batch["slab"], training=True), config)
        optimizer.apply(tape.gradient(total, model.trainable_variables))
        return total

    step()
    return step


def bare_seconds(step, count):
    """Seconds a step over so many."""
    start = time.monotonic()
    for _ in range(count):
        float(step())
    return (time.monotonic() - start) / count


def loop_seconds(config, batch):
    """(seconds a step, seconds of the save at the end) of a whole run, without the first call, which is traced."""
    import keras
    import tensorflow as tf

    from kits_tf.training import loop
    from kits_tf.training.callbacks import HistoryLogger, ProgressLogger
    from kits_tf.training.state import TrainingState, float32_network

    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    trainer = loop.Trainer(config, strategy)
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    times = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda step, logs: times.append((step, time.monotonic())))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        parts = {"model": trainer.model, "optimizer": trainer.optimizer}
        state = TrainingState(folder, parts, float32_network(config))
        watchers = [HistoryLogger(folder, 0), ProgressLogger("loop", 0, config.num_steps), clock]
        callbacks = keras.callbacks.CallbackList(watchers)
        callbacks.on_train_begin()
        loop.train(trainer, iter(strategy.experimental_distribute_dataset(dataset)), state, None, callbacks)
        end = time.monotonic()
        callbacks.on_train_end()
    (first, start), (last, stop) = times[0], times[-1]
    return (stop - start) / (last - first), end - stop


if __name__ == "__main__":
    main()
