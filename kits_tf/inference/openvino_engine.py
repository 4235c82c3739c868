"""The OpenVINO engine: the same networks, converted when loaded, on a CPU; float32."""

import numpy as np

from kits_tf.errors import UsageError
from kits_tf.inference.engine import Engine


class OpenVINOEngine(Engine):
    """Runs networks through OpenVINO.

    Args:
        folder: the checkpoint folder.
        configs: {network name: config} of the networks to load.

    Raises:
        UsageError: OpenVINO is not installed.
    """

    name = "openvino"

    def __init__(self, folder, configs):
        try:
            import openvino
        except ImportError:
            raise UsageError("engine", "openvino is not installed; pip install 'kits-tf[openvino]'") from None
        self._core = openvino.Core()
        self._models = {name: self._compile(openvino, folder / name, config) for name, config in configs.items()}

    def _compile(self, openvino, folder, config):
        from kits_tf.inference.tensorflow_engine import load_network

        model = openvino.convert_model(load_network(folder, config).probability.get_concrete_function())
        return self._core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def probability(self, network, batch):
        """Foreground probability; arguments and result as of `Engine.probability`."""
        compiled = self._models[network]
        return compiled(np.ascontiguousarray(batch))[compiled.output(0)]
