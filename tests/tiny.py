"""A checkpoint of tiny networks with random weights, and a CT to run it on: for tests of everything but accuracy."""

import dataclasses

import numpy as np

from kits_tf import config as configs
from kits_tf.config import PLANES, preset


def tiny_configs():
    """The four configs, {network name: config}: base width 2, two poolings, cubes of 16 voxels."""
    small = {
        f"kidney_{plane}": dataclasses.replace(
            preset("small", "kidney", plane), base_filters=2, depth=2, search_step=2
        )
        for plane in PLANES
    }
    options = {"base_filters": 2, "depth": 1, "grid": 16, "average_mirrored": True}
    return small | {"tumor": dataclasses.replace(preset("small", "tumor"), **options)}


def write_checkpoint(folder, network_configs=None, seed=0):
    """Writes a checkpoint folder with random weights of that seed; returns it."""
    import keras

    from kits_tf import models
    from kits_tf.checkpoint import WEIGHTS_NAME

    keras.utils.set_random_seed(seed)
    for name, config in (network_configs or tiny_configs()).items():
        model = models.build(config)
        model.get_layer("logits").bias.assign([0.0])  # by their own start, untrained networks find nothing
        (folder / name).mkdir(parents=True)
        configs.save(config, folder / name / "config.json")
        model.save_weights(folder / name / WEIGHTS_NAME)
    return folder


def blobs(shape):
    """Two ellipsoids beside each other, as a mask."""
    s, r, c = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return (s / 0.8) ** 2 + ((r - 0.2) / 0.3) ** 2 + ((np.abs(c) - 0.4) / 0.2) ** 2 < 1


def small_ct(shape=(12, 60, 80), seed=0):
    """A body with two bright blobs in it: HU int16 [slices, rows, columns], and noise so that no two voxels agree."""
    rng = np.random.default_rng(seed)
    hu = np.full(shape, -1000, np.int16)
    r, c = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape[1:]), indexing="ij")
    hu[:, r**2 + c**2 < 0.8] = 40
    hu[blobs(shape)] = 200
    return (hu + rng.normal(0, 20, shape)).astype(np.int16)
