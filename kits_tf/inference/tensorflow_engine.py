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
        self._networks = {name: load_network(folder / name, config) for name, config in configs.items()}

    def probability(self, network, batch):
        """Foreground probability.

        Args:
            network: "kidney_axial", "kidney_coronal", "kidney_sagittal" or "tumor".
            batch: float32 [batch, height, width, 3], or [batch, depth, height, width, 1] for the tumor; sizes
                divisible by what the network's depth needs.

        Returns:
            float32, the batch's shape without its last axis.
        """
        return self._networks[network].probability(batch).numpy()


def load_network(folder, config):
    """A trained network as a tf.Module whose function `probability` does what `TensorFlowEngine.probability` says.

    Args:
        folder: the network's own folder.
        config: its config.

    Raises:
        InputError: the weights are not this network's.
    """
    module = tf.Module()
    module.model = models.build(config)
    path = folder / checkpoint.WEIGHTS
    try:
        module.model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(path, f"holds no weights of the network in config.json ({reason})") from None

    @tf.function(input_signature=[tf.TensorSpec([None, *module.model.input.shape[1:]], tf.float32, name="batch")])
    def probability(batch):
        return tf.sigmoid(module.model(batch, training=False)["logits"][..., 0])

    module.probability = probability
    return module
