"""The TensorFlow engine: Keras networks behind one compiled function each."""

import tensorflow as tf

from kits_tf import models
from kits_tf.errors import InputError
from kits_tf.inference import checkpoint


class TensorFlowEngine:
    """Runs networks on whatever device TensorFlow finds.

    Args:
        folder: the checkpoint folder.
        configs: {network name: config} of the networks to load.
    """

    name = "tensorflow"

    def __init__(self, folder, configs):
        self._functions = {name: self._load(folder / name, config) for name, config in configs.items()}

    def _load(self, folder, config):
        model = models.build(config)
        path = folder / checkpoint.WEIGHTS
        try:
            model.load_weights(path)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(path, f"holds no weights of the network in config.json ({reason})") from None
        signature = tf.TensorSpec([None, *model.input.shape[1:]], tf.float32)
        return tf.function(
            lambda batch: tf.sigmoid(model(batch, training=False)["logits"][..., 0]), input_signature=[signature]
        )

    def probability(self, network, batch):
        """Foreground probability.

        Args:
            network: "kidney_axial", "kidney_coronal", "kidney_sagittal" or "tumor".
            batch: float32 [batch, height, width, 3], or [batch, depth, height, width, 1] for the tumor; sizes
                divisible by what the network's depth needs.

        Returns:
            float32, the batch's shape without its last axis.
        """
        return self._functions[network](batch).numpy()
