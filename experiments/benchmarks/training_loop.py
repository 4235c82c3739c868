"""Measure the overhead of the training loop over the bare compiled step, and the cost of determinism.

Both train the axial network on one batch in memory, alternating in one process; another process repeats it with
deterministic kernels. Seconds are those of one step, the median of the runs.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from experiments import common
from experiments.benchmarks import synthetic
from kits_tf.config import KidneyConfig

KINDS = ("usual", "deterministic")


def main() -> None:
    """Measure both kinds of kernels, each in a process, or the one of --only in this process."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="of one run")
    parser.add_argument("--base_filters", type=int, default=16)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--only", choices=KINDS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments)))
        return
    result: dict[str, Any] = {"runs": arguments.runs, "steps": arguments.steps}
    module = [sys.executable, "-m", "experiments.benchmarks.training_loop", *sys.argv[1:]]
    for kind in KINDS:
        output = common.run([*module, f"--only={kind}"], capture=True).output
        result[kind] = json.loads(output.splitlines()[-1])
    slower = result["deterministic"]["loop_seconds"] / result["usual"]["loop_seconds"]
    common.write_result(arguments.output, result | {"deterministic_over_usual": round(slower, 3)})


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the seconds of a step of the loop, of a bare step and of the save."""
    import keras
    import tensorflow as tf

    if arguments.only == "deterministic":
        keras.utils.set_random_seed(0)
        tf.config.experimental.enable_op_determinism()
    config = KidneyConfig(
        num_steps=arguments.steps, base_filters=arguments.base_filters, batch_size=arguments.batch_size
    )
    bare = bare_step(config)
    times: dict[str, list[float]] = {"loop": [], "bare": [], "save": []}
    for _ in range(arguments.runs):
        for name, seconds in zip(("loop", "save"), loop_seconds(config), strict=True):
            times[name].append(seconds)
        start = time.monotonic()
        for _ in range(arguments.steps):
            float(bare())
        times["bare"].append((time.monotonic() - start) / arguments.steps)
    found = {f"{name}_seconds": round(statistics.median(values), 4) for name, values in times.items()}
    return found | {"loop_over_bare": round(found["loop_seconds"] / found["bare_seconds"], 4)}


def bare_step(config: KidneyConfig) -> Callable[[], Any]:
    """Return a compiled function that takes one step and returns its loss."""
    import keras
    import tensorflow as tf

    from kits_tf import losses, models

    model, optimizer = models.build(config), keras.optimizers.Adam(config.learning_rate)
    optimizer.build(model.trainable_variables)
    batch = {name: tf.constant(array) for name, array in synthetic.random_batch(config).items()}

    @tf.function(autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            total, _ = losses.kidney_loss(batch, model(batch["slab"], training=True), config)
        optimizer.apply(tape.gradient(total, model.trainable_variables))
        return total

    step()
    return step


def loop_seconds(config: KidneyConfig) -> tuple[float, float]:
    """Return the seconds of a step, without the traced first call, and of the save at the end."""
    import keras
    import tensorflow as tf

    from kits_tf.training import loop
    from kits_tf.training.callbacks import HistoryLogger, ProgressLogger
    from kits_tf.training.state import TrainingState, float32_network

    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    trainer = loop.Trainer(config, strategy)
    dataset = tf.data.Dataset.from_tensors(synthetic.random_batch(config)).repeat()
    times: list[tuple[int, float]] = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda step, logs: times.append((step, time.monotonic())))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        parts = {"model": trainer.model, "optimizer": trainer.optimizer}
        state = TrainingState(folder, parts, float32_network(config))
        loggers = [HistoryLogger(folder, 0), ProgressLogger("loop", config.num_steps), clock]
        callbacks = keras.callbacks.CallbackList(loggers)
        callbacks.on_train_begin()
        loop.train(trainer, iter(strategy.experimental_distribute_dataset(dataset)), state, None, callbacks)
        end = time.monotonic()
        callbacks.on_train_end()
    (first, start), (last, stop) = times[0], times[-1]
    return (stop - start) / (last - first), end - stop


if __name__ == "__main__":
    main()
