"""Random batches as the training pipelines deliver them, for benchmarks of steps; needs no TensorFlow."""

import numpy as np

from kits_tf.config import patch_size

INPUTS = {"kidney": "slab", "tumor": "image"}
"""What a stage's batch calls the network's input."""


def sample_shape(config):
    """A sample's shape as the training pipelines deliver it, channels last; tests compare it with theirs."""
    if config.stage == "kidney":
        return (*patch_size(config), 3)
    return config.grid, config.grid // 2, config.grid // 2, 1  # "split", which needs no padding at these sizes


def random_batch(config):
    """One batch as NumPy arrays, channels last."""
    draw = np.random.default_rng(0)
    image = draw.random((config.batch_size, *sample_shape(config)), np.float32)
    batch = {INPUTS[config.stage]: image, "label": (image[..., :1] > 0.9).astype(np.float32)}
    if config.stage == "tumor":
        batch["tumor_ml"] = np.full(config.batch_size, 5.0, np.float32)
    return batch
