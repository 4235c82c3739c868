"""Compare batch and group normalization in the tumor network with batches of two sub-blocks, as in preset `paper`."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from experiments import common
from kits_tf import arrays, geometry
from kits_tf.config import TumorConfig, preset
from kits_tf.data.records import find_records
from kits_tf.data.stage_inputs import kidney_samples, read_sample
from kits_tf.losses import tumor_loss
from kits_tf.pipelines import tumor
from kits_tf.training import data
from kits_tf.training.loop import Trainer

SMALL: dict[str, Any] = {"grid": 32, "depth": 2, "base_filters": 4, "learning_rate": 1e-3, "augment": False}
SMALL["batch_norm_momentum"] = 0.9  # the default needs more steps
AIR_SHARE = 0.05  # a sub-block with less kidney than this is nearly all air


def main() -> None:
    """Simulate, train and write the result."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--steps", type=int, default=200, help="training steps of a network")
    arguments = parser.parse_args()
    folder = prepared(common.BUILD / "normalization")
    config = TumorConfig(**(vars(preset("paper", "tumor")) | SMALL | {"num_steps": arguments.steps}))
    training, held_out = (
        kidney_samples(find_records(folder, split), config, "labels", folder / split)
        for split in ("training", "validation")
    )
    result: dict[str, Any] = {"steps": arguments.steps, "kidneys": [len(training), len(held_out)]}
    result["air"] = air_of(training, config)
    for kind in ("batch", "group"):
        result[kind] = [train(dataclasses.replace(config, normalization=kind), training, held_out)]
    common.write_result(arguments.output, result)


def prepared(folder: pathlib.Path) -> pathlib.Path:
    """Return a prepared folder of 20 simulated CTs, made once."""
    if not (folder / "prepared" / "dataset.json").is_file():
        flags = ["--num_cases=20", "--size=160", "--slices=60", "--workers=1"]
        common.command("simulate", f"--output_dir={folder / 'ct'}", *flags)
        flags = [f"--output_dir={folder / 'prepared'}", "--num_validation=6", "--num_test=0"]
        common.command("prepare", f"--data_dir={folder / 'ct'}", *flags)
    return folder / "prepared"


def blocks_of(sample: dict[str, Any], config: TumorConfig) -> dict[str, tf.Tensor]:
    """Return the four sub-blocks of a kidney as a batch for the loss."""
    kidney = read_sample(str(sample["path"]), False)
    image = geometry.scale(arrays.tensorflow(), kidney["image"], config.clip_hu)
    parts = {"image": image, "label": tf.cast(kidney["label"], tf.float32)}
    batch = {name: tumor.blocks(array, config)[..., None] for name, array in parts.items()}
    return batch | {"tumor_ml": tf.fill([4], kidney["tumor_ml"])}


def air_of(samples: list[dict[str, Any]], config: TumorConfig) -> dict[str, Any]:
    """Return how much the statistics of the images of random pairs of sub-blocks differ."""
    images = np.concatenate([blocks_of(sample, config)["image"].numpy() for sample in samples])
    share = (images > 0).mean(axis=(1, 2, 3, 4))
    pairs = np.random.default_rng(0).integers(0, len(images), (500, 2))
    means, variances = (getattr(images[pairs], name)(axis=(1, 2, 3, 4, 5)) for name in ("mean", "var"))
    return {
        "nearly_air": round(float((share < AIR_SHARE).mean()), 3),
        "pair_mean_5_to_95": [round(float(x), 4) for x in np.percentile(means, (5, 95))],
        "pair_variance_5_to_95": [round(float(x), 5) for x in np.percentile(variances, (5, 95))],
    }


def train(config: TumorConfig, training: list[Any], held_out: list[Any]) -> dict[str, list[float]]:
    """Return the cross-entropy of training and, in inference mode, that of held-out kidneys, at some steps."""
    tf.keras.utils.set_random_seed(0)
    strategy = tf.distribute.get_strategy()
    trainer = Trainer(config, strategy)
    iterator = data.distributed(strategy, config, training, seed=0, step=0)
    batches = [blocks_of(sample, config) for sample in held_out]
    score = tf.function(lambda batch: tumor_loss(batch, trainer.model(batch["image"], training=False), config)[1])
    every = max(1, config.num_steps // 10)
    curves: dict[str, list[float]] = {"training": [], "held_out": []}
    for _ in range(0, config.num_steps, every):
        names, values = trainer.run(iterator, every)
        curves["training"].append(round(float(values[:, names.index("cross_entropy")].mean()), 4))
        found = [float(score(batch)["cross_entropy"]) for batch in batches]
        curves["held_out"].append(round(float(np.mean(found)), 4))
    print(config.normalization, json.dumps(curves), flush=True)
    return curves


if __name__ == "__main__":
    main()
