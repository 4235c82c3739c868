"""The network as prediction loads it: in float32, on one device, whatever trains it."""

import keras
import numpy as np

from kits_tf import files, models
from kits_tf.errors import InputError
from kits_tf.training.checkpoints import reason
from kits_tf.training.loop import LossError


class PlainCopy:
    """A copy of the network under training, for validation and for the weights that are kept.

    Args:
        config: a KidneyConfig or TumorConfig.
    """

    def __init__(self, config):
        policy = keras.mixed_precision.dtype_policy()
        keras.mixed_precision.set_dtype_policy("float32")
        try:
            self.model = models.build(config)
        finally:
            keras.mixed_precision.set_dtype_policy(policy)

    def take(self, average, step):
        """Takes over the weights, averaged where they are; with several workers all must call this together.

        Args:
            average: the trainer's Average.
            step: steps that are done.

        Raises:
            LossError: a weight is not finite.
        """
        weights = average.weights()
        if not all(np.isfinite(weight).all() for weight in weights):
            raise LossError(step, "a weight")
        self.model.set_weights(weights)

    def save(self, path):
        """Writes the weights, whole or not at all.

        Raises:
            InputError: the disk is full, or the folder cannot be written to.
        """
        try:
            with files.replacing(path) as temporary:
                self.model.save_weights(temporary)
        except (OSError, RuntimeError) as error:  # what HDF5 raises where a file cannot be written or closed
            raise InputError(path, f"cannot be written ({reason(error)})") from None
