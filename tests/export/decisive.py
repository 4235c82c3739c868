"""A checkpoint of tiny random networks that find something: for comparisons that all background would make empty."""

import numpy as np

from kits_tf.checkpoint import WEIGHTS_NAME
from kits_tf.inference.engines.tensorflow import load_network
from tests.tiny import tiny_configs, write_checkpoint


def decisive_checkpoint(folder, configs=None):
    """Writes a checkpoint whose networks call about half of everything bright foreground; returns the folder."""
    configs = configs or tiny_configs()
    write_checkpoint(folder, configs)
    for name, config in configs.items():
        model = load_network(folder / name, config).model
        head = model.get_layer("logits")
        head.bias.assign([0.0])
        bright = np.zeros((1, *[16] * (len(model.input.shape) - 2), model.input.shape[-1]), np.float32)
        middle = (slice(None), *[slice(4, 12)] * (len(model.input.shape) - 2))
        bright[middle] = np.random.default_rng(0).normal(0.5, 0.03, bright[middle].shape)
        head.bias.assign([-np.median(np.asarray(model(bright, training=False)["logits"])[middle])])
        model.save_weights(folder / name / WEIGHTS_NAME)
    return folder
