"""Train one network on samples that are being written, in Keras on PyTorch.

python -m experiments.default_weights.train --network=kidney_axial --samples_dir=DIR --output_dir=DIR --minutes=40

DIR of --samples_dir holds `real/` and `simulated/`. The output folder gets NAME.weights.h5 and the log NAME.csv.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch

from experiments.default_weights import fast  # noqa: F401  # replaces layers
from experiments.default_weights.batches import Batch
from experiments.default_weights.cubes import CubePool
from experiments.default_weights.networks import NETWORKS, PHASES, TUMOR_LOGIT_SHIFT, Phase, config_of
from experiments.default_weights.slabs import SlabPool
from kits_tf import checkpoint, losses, models
from kits_tf.config import KidneyConfig, TumorConfig, patch_size

DICE_SMOOTHING = 10.0 / 64**3  # of a cube's volume
LOG_STEPS, LOAD_SECONDS = 20, 300
WEIGHT_DECAY, BETAS = 1e-4, (0.9, 0.99)


def main() -> None:
    """Train a network."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, required=True)
    parser.add_argument("--samples_dir", type=pathlib.Path, required=True)
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--pretrained", help="checkpoint folder or released weights to start from; else random ones")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch on the CPU")
    parser.add_argument("--precision", default="mixed_bfloat16")
    train(**vars(parser.parse_args()))


def train(
    network: str,
    samples_dir: pathlib.Path,
    output_dir: pathlib.Path,
    minutes: float,
    pretrained: str | None = None,
    seed: int = 5,
    threads: int = 1,
    precision: str = "mixed_bfloat16",
) -> None:
    """Train a network for some minutes; arguments as the flags."""
    torch.set_num_threads(threads)
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(seed)
    config = config_of(network)
    pool = pool_of(config, [samples_dir / "real", samples_dir / "simulated"], np.random.default_rng(seed))
    pool.load()
    output_dir.mkdir(parents=True, exist_ok=True)
    run = Run(config, pool, output_dir / f"{network}.csv")
    start, done = time.monotonic(), 0.0
    model: Any = None
    for pool.phase in PHASES[config.stage]:
        before, model = model, build(config, pool.phase)
        if before is not None:
            model.set_weights(before.get_weights())
        elif pretrained:
            checkpoint.load_weights(checkpoint.find(pretrained) / network, model)
        done += pool.phase.share
        run.train(model, start, start + 60 * minutes * done)
    if config.stage == "tumor":
        bias = model.get_layer("logits").bias
        bias.assign(bias + TUMOR_LOGIT_SHIFT)
    model.save_weights(output_dir / f"{network}.weights.h5")
    run.write_log()


class Run:
    """The training of one network, and its log.

    Args:
        config: Of the network.
        pool: Makes the batches.
        log: CSV file of the log.
    """

    def __init__(self, config: Any, pool: SlabPool | CubePool, log: pathlib.Path) -> None:
        self.config, self.pool, self.log = config, pool, log
        self.rows: list[dict[str, float]] = []

    def train(self, model: keras.Model, start: float, end: float) -> None:
        """Train from now to `end`, at least one step; times are of the monotonic clock."""
        parameters = trained_parameters(model)
        rates = self.pool.phase.rates
        optimizer = torch.optim.AdamW(parameters, lr=rates[0], weight_decay=WEIGHT_DECAY, betas=BETAS)
        begin = loaded = time.monotonic()
        for step in itertools.count():
            rate = learning_rate(rates, self.config.warmup_steps, step, (time.monotonic() - begin) / (end - begin))
            for group in optimizer.param_groups:
                group["lr"] = rate
            terms = self.step(model, parameters, optimizer)
            seconds = round(time.monotonic() - start, 1)
            self.rows.append({"step": len(self.rows) + 1, "seconds": seconds, "learning_rate": rate, **terms})
            if len(self.rows) % LOG_STEPS == 0:
                show(self.log.stem, self.rows[-LOG_STEPS:])
            if time.monotonic() - loaded > LOAD_SECONDS:
                loaded = time.monotonic()
                self.pool.load()
                self.write_log()
            if time.monotonic() >= end:
                return

    def step(self, model: keras.Model, parameters: list[torch.Tensor], optimizer: Any) -> dict[str, float]:
        """Train on one batch and return the terms of the loss.

        A batch whose loss or gradient overflows in half precision is left out, also of the moving averages.
        """
        batch = {name: array.to(parameters[0].device) for name, array in self.pool.batch().items()}
        averages = [variable.value.data for variable in model.non_trainable_variables if "moving" in variable.path]
        kept = [average.clone() for average in averages]
        optimizer.zero_grad(set_to_none=True)
        total, terms = loss(model(batch["image"], training=True), batch, self.config)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
        if torch.isfinite(total) and torch.isfinite(norm):
            optimizer.step()
        else:
            for average, before in zip(averages, kept, strict=True):
                average.copy_(before)
        return {name: float(value.detach()) for name, value in terms.items()}

    def write_log(self) -> None:
        """Write the means of every `LOG_STEPS` steps, and of the last ones."""
        with open(self.log, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows[0]), lineterminator="\n")
            writer.writeheader()
            for first in range(0, len(self.rows), LOG_STEPS):
                part = self.rows[first : first + LOG_STEPS]
                means = {name: f"{np.nanmean([row[name] for row in part]):.5g}" for name in part[-1]}
                writer.writerow(means | {name: part[-1][name] for name in ("step", "seconds")})


def pool_of(
    config: KidneyConfig | TumorConfig, folders: Sequence[pathlib.Path], rng: np.random.Generator
) -> SlabPool | CubePool:
    """Return the pool that a network trains on, in its first phase."""
    options = folders, rng, PHASES[config.stage][0]
    return CubePool(config, *options) if isinstance(config, TumorConfig) else SlabPool(config, *options)


def build(config: Any, phase: Phase) -> keras.Model:
    """Return a network of fixed input size, which Keras traces faster."""
    if isinstance(config, KidneyConfig):
        return models.KidneyNetwork(**models.architecture(config), size=patch_size(config))
    return models.TumorNetwork(**models.architecture(config), size=(phase.grid,) * 3)


def trained_parameters(model: keras.Model) -> list[torch.Tensor]:
    """Return what is trained: all but the biases of up-convolutions.

    The normalization behind them undoes these biases all but at the border, and summing their gradient is slow.
    """
    found = []
    for variable in model.trainable_variables:
        is_trained = not ("unpooling" in variable.path and variable.path.endswith("bias"))
        variable.value.requires_grad_(is_trained)
        found += [variable.value] if is_trained else []
    return found


def learning_rate(rates: tuple[float, float], warmup_steps: int, step: int, share: float) -> float:
    """Return the rate of a step: a linear rise, and half a cosine from the first to the last rate over the time."""
    first, last = rates
    falling = last + (first - last) * 0.5 * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0)))
    return falling * min(1.0, (step + 1) / warmup_steps)


def loss(outputs: dict[str, Any], batch: Batch, config: Any) -> tuple[Any, dict[str, Any]]:
    """Return the total and its terms.

    The soft Dice of stage 2 is that of the batch plus the mean over samples with a tumor, in which small ones count.
    Both are smoothed by more voxels than in `kits_tf.losses`: this spares kidneys without a tumor a steep slope where
    nothing is found.
    """
    label = batch["label"]
    if isinstance(config, KidneyConfig):
        return losses.kidney_loss({"label": label, "slab": batch["image"]}, outputs, config)
    smoothing = DICE_SMOOTHING * label.shape[1] ** 3
    weight = losses.small_tumor_weight(batch["tumor_ml"], config).reshape(-1, 1, 1, 1, 1)
    has_tumor = label.sum((1, 2, 3, 4)) > 2 * smoothing
    of_samples = losses.dice_loss(label, outputs["logits"], "sample", smoothing)
    of_tumors = (of_samples * has_tumor).sum() / has_tumor.sum().clamp_min(1)
    terms = {
        "cross_entropy": losses.cross_entropy(label, outputs["logits"], weight).mean(),
        "dice_loss": losses.dice_loss(label, outputs["logits"], config.dice_over, smoothing) + of_tumors,
        "regression_loss": losses.regression_loss(batch, outputs["regression"], config),
    }
    total = terms["cross_entropy"] + config.dice_weight * terms["dice_loss"]
    return total + config.regression_weight * terms["regression_loss"], terms


def show(network: str, rows: list[dict[str, float]]) -> None:
    """Print the means of some steps."""
    means = {name: np.mean([row[name] for row in rows]) for name in rows[-1] if name.endswith(("loss", "entropy"))}
    text = "  ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    print(f"{network} {rows[-1]['seconds']:.0f} s, step {rows[-1]['step']}: {text}", flush=True)


if __name__ == "__main__":
    main()
