"""What the two networks share as Keras models: a config of their arguments, and a check of the input's size."""

import keras


class Network(keras.Model):
    """A functional model that is rebuilt from its constructor's arguments.

    Args:
        inputs, outputs: of the functional graph.
        options: the constructor's arguments, for `get_config`.
        depth: poolings; every spatial size of an input must be a multiple of 2**depth.
        **kwargs: of `keras.Model`.
    """

    def __init__(self, *, inputs, outputs, options, depth, **kwargs):
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.options = dict(options)
        self.divisor = 2**depth

    def call(self, inputs, training=None, mask=None):
        size = tuple(inputs.shape[1:-1])
        if any(length is not None and length % self.divisor for length in size):
            raise ValueError(f"input size {size}: {self.name} takes multiples of {self.divisor} in each axis")
        return super().call(inputs, training=training, mask=mask)

    def get_config(self):
        return {**self.options, "name": self.name, "trainable": self.trainable}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)
