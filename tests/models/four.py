"""The system's four networks, narrow and with fixed weights, and one batch for each: for tests across settings."""

import dataclasses

import numpy as np

from kits_tf import losses, models
from kits_tf.config import PLANES, preset
from tests.models.harness import random_input, randomise

WIDTH = 4


def four_configs(**options):
    """{network name: config} of the `small` preset at base width 4, with other options where given."""
    configs = {f"kidney_{plane}": preset("small", "kidney", plane) for plane in PLANES}
    configs["tumor"] = preset("small", "tumor")
    return {name: dataclasses.replace(config, base_filters=WIDTH, **options) for name, config in configs.items()}


def network_of(name, config):
    """The network with weights that differ by name but never otherwise."""
    return randomise(models.build(config), seed=sum(map(ord, name)))


def batch_of(config):
    """(input, targets, loss) for a network: two samples of the smallest size with more than one voxel at the bottom.

    The first sample holds a box of foreground, the second none.
    """
    if config.stage == "kidney":
        x = random_input(2, 32, 32, 3)
        label = np.zeros((2, 32, 32, 1), "float32")
        label[0, 8:20, 5:17] = 1
        return x, {"label": label, "slab": x}, losses.kidney_loss
    x = random_input(2, 16, 16, 16, 1)
    label = np.zeros((2, 16, 16, 16, 1), "float32")
    label[0, 3:9, 2:12, 5:9] = 1
    return x, {"label": label, "image": x, "tumor_ml": np.array([3.0, 0.0], "float32")}, losses.tumor_loss
