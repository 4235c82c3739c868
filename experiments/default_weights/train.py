"""Train one network on samples that are being written, in Keras on PyTorch.

python -m experiments.default_weights.train --network=kidney_axial --samples_dir=DIR --output_dir=DIR --minutes=40

DIR of --samples_dir holds `real/` and `simulated/`. The output folder gets NAME.weights.h5 and the log NAME.csv.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import pathlib
import time
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch

from experiments.default_weights import fast  # noqa: F401  # replaces layers
from experiments.default_weights.batches import Batch, pool_of
from experiments.default_weights.networks import NETWORKS, config_of
from kits_tf import checkpoint, losses, models
from kits_tf.config import KidneyConfig, patch_size

DICE_SMOOTHING = 10.0  # voxels, of the tumor network: spares kidneys without a tumor a steep slope at nothing found
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
    model = build(config)
    if pretrained:
        checkpoint.load_weights(checkpoint.find(pretrained) / network, model)
    variables = [variable for variable in model.trainable_variables if not is_frozen(variable.path)]
    parameters = [variable.value for variable in variables]
    for variable in model.trainable_variables:
        variable.value.requires_grad_(not is_frozen(variable.path))
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=WEIGHT_DECAY, betas=BETAS)
    output_dir.mkdir(parents=True, exist_ok=True)
    start = loaded = time.monotonic()
    rows: list[dict[str, float]] = []
    while (share := (time.monotonic() - start) / (60 * minutes)) < 1 or not rows:
        rate = learning_rate(config, len(rows), share)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = {name: array.to(parameters[0].device) for name, array in pool.batch().items()}
        optimizer.zero_grad(set_to_none=True)
        total, terms = loss(model(batch["image"], training=True), batch, config)
        total.backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
        optimizer.step()
        seconds = time.monotonic() - start
        values = {name: float(value.detach()) for name, value in terms.items()}
        rows.append({"step": len(rows) + 1, "seconds": round(seconds, 1), "learning_rate": rate, **values})
        if len(rows) % LOG_STEPS == 0:
            show(network, rows[-LOG_STEPS:])
        if time.monotonic() - loaded > LOAD_SECONDS:
            loaded = time.monotonic()
            pool.load()
            write_log(output_dir / f"{network}.csv", rows)
    model.save_weights(output_dir / f"{network}.weights.h5")
    write_log(output_dir / f"{network}.csv", rows)


def build(config: Any) -> keras.Model:
    """Return a network of fixed input size, which Keras traces faster."""
    if isinstance(config, KidneyConfig):
        return models.KidneyNetwork(**models.architecture(config), size=patch_size(config))
    return models.TumorNetwork(**models.architecture(config), size=(config.grid,) * 3)


def is_frozen(path: str) -> bool:
    """Return whether a variable keeps its value: normalization undoes these biases, and summing them is slow."""
    return "unpooling" in path and path.endswith("bias")


def learning_rate(config: Any, step: int, share: float) -> float:
    """Return the rate of a step: a linear rise, then half a cosine over the time."""
    warmup = min(1.0, (step + 1) / config.warmup_steps)
    return config.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def loss(outputs: dict[str, Any], batch: Batch, config: Any) -> tuple[Any, dict[str, Any]]:
    """Return the total and its terms; that of stage 2 with a wider smoothing of the soft Dice."""
    if isinstance(config, KidneyConfig):
        return losses.kidney_loss({"label": batch["label"], "slab": batch["image"]}, outputs, config)
    weight = losses.small_tumor_weight(batch["tumor_ml"], config).reshape(-1, 1, 1, 1, 1)
    terms = {
        "cross_entropy": losses.cross_entropy(batch["label"], outputs["logits"], weight).mean(),
        "dice_loss": losses.dice_loss(batch["label"], outputs["logits"], config.dice_over, DICE_SMOOTHING).mean(),
        "regression_loss": losses.regression_loss(batch, outputs["regression"], config),
    }
    total = terms["cross_entropy"] + config.dice_weight * terms["dice_loss"]
    return total + config.regression_weight * terms["regression_loss"], terms


def show(network: str, rows: list[dict[str, float]]) -> None:
    """Print the means of some steps."""
    means = {name: np.mean([row[name] for row in rows]) for name in rows[-1] if name.endswith(("loss", "entropy"))}
    text = "  ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    print(f"{network} {rows[-1]['seconds']:.0f} s, step {rows[-1]['step']}: {text}", flush=True)


def write_log(path: pathlib.Path, rows: list[dict[str, float]]) -> None:
    """Write the mean of every `LOG_STEPS` steps, and of the last ones, as CSV."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for first in range(0, len(rows), LOG_STEPS):
            part = rows[first : first + LOG_STEPS]
            means = {name: f"{np.mean([row[name] for row in part]):.5g}" for name in part[-1]}
            writer.writerow(means | {name: part[-1][name] for name in ("step", "seconds")})


if __name__ == "__main__":
    main()
