"""Each of the four networks learns two samples by heart: Dice in inference mode of at least 0.99 within 300 steps.

Both heads' losses must then be lower than at the start.

    python experiments/overfit_two.py --case=0

The samples are cut from a simulated CT: for a plane, both halves of
the volume, whole, each in its slice with the most kidney; for the tumor network, the two sub-blocks with the most
tumor. Base width 8. --grid=96 makes smaller sub-blocks, for less time. Two cores:
about 20 minutes, no accelerator.
Writes `experiments/results/overfit_two.json` and the table in docs/networks.md.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from experiments.documents import replace_block, result_path, table, write_result  # noqa: E402
from kits_tf import config as configs  # noqa: E402
from kits_tf import geometry, kidney_crops, laterality  # noqa: E402
from kits_tf.arrays import NumPy as xp  # noqa: E402, N813

NETWORKS = ("axial", "coronal", "sagittal", "tumor")
WANTED_DICE = 0.99


def main():
    """Overfits each network and writes what it took."""
    arguments = parse()
    hu, labels, spacing_mm = case_of(arguments)
    results = of_other_networks(arguments)
    for name in arguments.networks:
        config = config_of(name, arguments)
        if name == "tumor":
            batch = two_blocks(hu, labels, spacing_mm, config)
        else:
            batch = two_halves(hu, labels, config)
        print(f"{name}: two samples of {batch[0].shape[1:]}", flush=True)
        start = time.time()
        history = overfit(config, *batch, arguments.steps, arguments.learning_rate)
        results[name] = {"size": batch[0].shape[1:], "seconds": round(time.time() - start), "history": history}
    results = {name: results[name] for name in NETWORKS if name in results}
    result = {"source": arguments.source, "learning_rate": arguments.learning_rate, "networks": results}
    write_result("overfit_two", result)
    replace_block("networks.md", "overfitting", report(result))


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", type=int, default=0, help="number of the simulated case")
    parser.add_argument(
        "--networks", nargs="+", choices=NETWORKS, default=NETWORKS, help="the others keep their earlier results"
    )
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--learning_rate", type=float, default=3e-3)
    parser.add_argument("--grid", type=int, default=160, help="side of the kidney's cube")
    arguments = parser.parse_args()
    arguments.source = f"simulated case {arguments.case}"
    return arguments


def of_other_networks(arguments):
    """What an earlier run on the same case found for the networks that are not trained now, {name: result}."""
    path = result_path("overfit_two")
    earlier = json.loads(path.read_text()) if path.is_file() else {}
    if (earlier.get("source"), earlier.get("learning_rate")) != (arguments.source, arguments.learning_rate):
        return {}
    return {name: found for name, found in earlier["networks"].items() if name not in arguments.networks}


def case_of(arguments):
    """(hu, labels, spacing_mm) of the case, its imaging simulated with seed 0."""
    from kits_tf.simulation import simulate

    return simulate(0, arguments.case)


def config_of(name, arguments):
    """The small preset (base width 8) at native pixels and, for the tumor, with contiguous sub-blocks."""
    if name == "tumor":
        return dataclasses.replace(configs.preset("small", "tumor"), grid=arguments.grid, blocks="split")
    return configs.preset("small", "kidney", name)


def two_halves(hu, labels, config):
    """The right and the left half, each in its slice with the most kidney, padded to multiples of 16.

    Returns:
        (x [2, height, width, 3], targets of `kidney_loss`).
    """
    slices, masks, plane = [], [], config.plane
    for half in geometry.halves(xp, plane, hu.shape):
        area = geometry.plane_view(labels > 0, plane)[slice(*half.indices), :, slice(*half.kept)].sum(axis=(1, 2))
        index = np.array([half.indices[0] + int(np.argmax(area))], np.int32)
        for source, parts in (
            (geometry.scale(xp, hu, config.clip_hu), slices),
            ((labels > 0).astype(np.float32), masks),
        ):
            slab = geometry.slabs(xp, source, plane, index)[:, :, slice(*half.columns)]
            parts.append(geometry.pad_to_multiple(xp, slab, 16, (1, 2)))
    width = max(part.shape[2] for part in slices)
    x, label = (
        np.concatenate([np.pad(part, ((0, 0), (0, 0), (0, width - part.shape[2]), (0, 0))) for part in parts])
        for parts in (slices, masks)
    )
    return x, {"label": label[..., 1:2], "slab": x}


def two_blocks(hu, labels, spacing_mm, config):
    """The two sub-blocks with the most tumor, of all kidneys.

    Returns:
        (x [2, depth, height, width, 1], targets of `tumor_loss`).
    """
    side_map = laterality.kidney_sides(labels > 0, spacing_mm, geometry.middle_column((0, hu.shape[2])))
    images, tumors = [], []
    for kidney in laterality.kidneys(side_map):
        mask = side_map[kidney.box] == kidney.side
        arrays = (
            geometry.scale(xp, hu[kidney.box], config.clip_hu) * mask,
            (labels[kidney.box] == 2).astype(np.float32) * mask,
        )
        for array, parts in zip(arrays, (images, tumors), strict=True):
            cube = kidney_crops.to_cube(xp, array.astype(np.float32), spacing_mm, config.margin_mm, config.grid)
            parts.extend(kidney_crops.split(xp, cube, config.blocks))
    most = np.argsort([-part.sum() for part in tumors])[:2]
    x = np.stack([images[i] for i in most])[..., None].astype(np.float32)
    label = (np.stack([tumors[i] for i in most])[..., None] >= 0.5).astype(np.float32)
    tumor_ml = np.full(2, np.count_nonzero(labels == 2) * np.prod(spacing_mm) / 1000, np.float32)
    return x, {"label": label, "image": x, "tumor_ml": tumor_ml}


def overfit(config, x, targets, num_steps, learning_rate, check_every=20, report=print):
    """Trains a fresh network on one batch until it is `learned` in inference mode.

    Args:
        config: a KidneyConfig or TumorConfig.
        x: the network's input, the whole batch.
        targets: of the stage's loss.
        num_steps: at most.
        learning_rate: of Adam.
        check_every: steps between looks at the Dice.
        report: called with a line of text at each look.

    Returns:
        A list of {"step", "dice", and each term of the loss in inference mode}, from step 0 on.
    """
    import keras
    import tensorflow as tf

    from kits_tf import losses, models

    keras.utils.set_random_seed(0)
    network = models.build(config)
    loss = {"kidney": losses.kidney_loss, "tumor": losses.tumor_loss}[config.stage]
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(network.trainable_variables)
    x, targets = tf.constant(x), {name: tf.constant(value) for name, value in targets.items()}

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            total, _ = loss(targets, network(x, training=True), config)
        optimizer.apply(tape.gradient(total, network.trainable_variables), network.trainable_variables)

    @tf.function
    def look():
        outputs = network(x, training=False)
        found = tf.cast(outputs["logits"] > 0, tf.float32)
        sums = tf.reduce_sum(found) + tf.reduce_sum(targets["label"])
        dice = 2 * tf.reduce_sum(found * targets["label"]) / tf.maximum(sums, 1)
        return {"dice": dice, **loss(targets, outputs, config)[1]}

    history = []
    for number in range(num_steps + 1):
        if number % check_every == 0 or number == num_steps:
            history.append({"step": number, **{name: float(value) for name, value in look().items()}})
            report("  " + " ".join(f"{name} {value:.4g}" for name, value in history[-1].items()))
            if learned(history):
                break
        step()
    return history


def learned(history):
    """Whether the Dice is at least `WANTED_DICE` and both heads' losses are lower than at the start."""
    first, last = history[0], history[-1]
    heads = [name for name in last if name not in ("step", "dice", "dice_loss")]
    return last["dice"] >= WANTED_DICE and all(last[name] < first[name] for name in heads)


def report(result):
    """The table for the page."""
    rows = []
    for name, one in result["networks"].items():
        first, last = one["history"][0], one["history"][-1]
        second = "reconstruction_loss" if name != "tumor" else "regression_loss"
        rows.append(
            [
                name,
                " x ".join(map(str, one["size"][:-1])),
                last["step"],
                f"{last['dice']:.4f}",
                f"{first['cross_entropy_loss']:.3g} to {last['cross_entropy_loss']:.3g}",
                f"{first[second]:.3g} to {last[second]:.3g}",
            ]
        )
    source = f"Samples from {result['source']}, imaging simulated; Adam, learning rate {result['learning_rate']:g}."
    return [source, "", *table(["network", "sample", "steps", "Dice", "cross-entropy", "second head's loss"], rows)]


if __name__ == "__main__":
    main()
