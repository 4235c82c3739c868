"""The axial network with polyphase pooling against maximum pooling, at equal parameters, on structures one pixel thin.

    python experiments/polyphase_against_max.py

The task: slabs of noise with smooth bright blobs; on every slab one-pixel dots and one-pixel lines are planted, inside
the blobs and outside; those inside are the foreground. A network must keep the detail and know where it stands. Both
kinds have attention gates; the width of the max-pool network is the one that comes closest in parameters. Every seed
changes weights and training data; test slabs are the same throughout. Reported: Dice on the test slabs, mean and range
over the seeds. Two cores: about 3 minutes, no accelerator.
Writes `experiments/results/polyphase_against_max.json` and the figures in docs/networks.md.
"""

import argparse
import pathlib
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from experiments.documents import replace_block, table, write_result  # noqa: E402

POOLINGS = ("polyphase", "haar", "max")
NUM_TEST_SLABS = 64
BATCH_SIZE = 8
TEST_SEED = 1_000_000


def main():
    """Trains each network on each seed and writes the scores."""
    arguments = parse()
    widths = equal_widths(arguments.base_filters, arguments.poolings)
    runs = []
    for seed in range(arguments.seeds):
        for pooling in arguments.poolings:
            runs.append(run(pooling, widths[pooling], seed, arguments))
            print(runs[-1], flush=True)
    result = {"settings": vars(arguments), "runs": runs}
    write_result("polyphase_against_max", result)
    replace_block("networks.md", "pooling", report(result))


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--poolings", nargs="+", choices=POOLINGS, default=["polyphase", "max"])
    parser.add_argument("--base_filters", type=int, default=8, help="of the networks with lossless pooling")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--learning_rate", type=float, default=3e-3)
    return parser.parse_args()


def equal_widths(base_filters, poolings):
    """{pooling: base width}, each as close as can be in parameters to polyphase pooling at `base_filters`."""
    from kits_tf.models import KidneyNetwork

    target = KidneyNetwork(base_filters).count_params()
    widths = {pooling: base_filters for pooling in poolings}
    if "max" in widths:
        candidates = range(base_filters, 2 * base_filters + 1)
        counts = {width: KidneyNetwork(width, pooling="max").count_params() for width in candidates}
        widths["max"] = min(counts, key=lambda width: abs(counts[width] - target))
    return widths


def slabs(count, size, seed):
    """Planted slabs and their foreground: [count, size, size, 3] in [0, 1], [count, size, size, 1] 0 or 1.

    The three slices of a slab share their blobs; the dots and lines are in the centre slice alone, as bright above
    their surroundings as the noise's standard deviation times four.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    x = np.empty((count, size, size, 3), np.float32)
    label = np.zeros((count, size, size, 1), np.float32)
    for i in range(count):
        blobs = np.zeros((size, size))
        for _ in range(rng.integers(2, 5)):
            centre, radius = rng.uniform(0, size, 2), rng.uniform(size / 10, size / 5)
            distance = np.hypot(rows - centre[0], columns - centre[1]) / radius
            blobs = np.maximum(blobs, np.clip(3 * (1 - distance), 0, 1))
        thin = planted(rng, size)
        x[i] = 0.3 + 0.2 * blobs[..., None] + rng.normal(0, 0.05, (size, size, 3))
        x[i, ..., 1] += 0.2 * thin
        label[i, ..., 0] = thin * (blobs > 0.5)
    return x, label


def planted(rng, size):
    """Dots of one pixel and straight lines one pixel thin: [size, size], 0 or 1."""
    thin = np.zeros((size, size))
    dots = rng.integers(0, size, (size // 2, 2))
    thin[dots[:, 0], dots[:, 1]] = 1
    for _ in range(size // 8):
        start, angle, length = rng.uniform(0, size, 2), rng.uniform(0, np.pi), rng.integers(4, size // 4)
        along = np.arange(length)
        row = np.rint(start[0] + along * np.sin(angle)).astype(int)
        column = np.rint(start[1] + along * np.cos(angle)).astype(int)
        inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
        thin[row[inside], column[inside]] = 1
    return thin


def run(pooling, base_filters, seed, arguments):
    """Trains one network and scores it; returns its row as a dict."""
    import keras
    import tensorflow as tf

    from kits_tf import losses
    from kits_tf.config import KidneyConfig
    from kits_tf.models import KidneyNetwork

    keras.utils.set_random_seed(seed)
    network = KidneyNetwork(base_filters, pooling=pooling, batch_norm_momentum=0.9)
    config = KidneyConfig(pooling=pooling, dice_weight=1.0)
    schedule = keras.optimizers.schedules.CosineDecay(arguments.learning_rate, arguments.steps)
    optimizer = keras.optimizers.Adam(schedule)
    optimizer.build(network.trainable_variables)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3)), tf.TensorSpec((None, None, None, 1))])
    def step(x, label):
        with tf.GradientTape() as tape:
            total, _ = losses.kidney_loss({"label": label, "slab": x}, network(x, training=True), config)
        optimizer.apply(tape.gradient(total, network.trainable_variables), network.trainable_variables)

    start = time.time()
    for number in range(arguments.steps):
        step(*slabs(BATCH_SIZE, arguments.size, seed * arguments.steps + number))
    seconds = time.time() - start
    x, label = slabs(NUM_TEST_SLABS, arguments.size, TEST_SEED)
    predict = tf.function(lambda x: network(x, training=False)["logits"])
    found = np.concatenate([predict(x[i : i + BATCH_SIZE]) for i in range(0, len(x), BATCH_SIZE)]) > 0
    return {
        "pooling": pooling,
        "base_filters": base_filters,
        "parameters": network.count_params(),
        "seed": seed,
        "dice": round(float(2 * np.sum(found * label) / (found.sum() + label.sum())), 4),
        "seconds": round(seconds, 1),
    }


def report(result):
    """The figures for the page."""
    rows = []
    for pooling in result["settings"]["poolings"]:
        runs = [one for one in result["runs"] if one["pooling"] == pooling]
        scores = [one["dice"] for one in runs]
        parameters = f"{runs[0]['parameters']:,}".replace(",", " ")
        spread = f"{np.mean(scores):.3f} ({min(scores):.3f} to {max(scores):.3f})"
        rows.append([pooling, runs[0]["base_filters"], parameters, spread])
    settings = result["settings"]
    text = f"{settings['steps']} steps of {BATCH_SIZE} slabs of {settings['size']} x {settings['size']} pixels, "
    text += f"{settings['seeds']} seeds, {NUM_TEST_SLABS} test slabs."
    return [text, "", *table(["pooling", "base width", "parameters", "Dice, mean (range)"], rows)]


if __name__ == "__main__":
    main()
