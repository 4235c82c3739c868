"""A 3D convolution to one channel, computed as 2D convolutions."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kits_tf")
class SlicewiseConvolution3D(keras.layers.Conv3D):
    """A `Conv3D` to one channel, stride one, "same" padding, without bias: same weights, same result, less time.

    One 2D convolution of every slice gives, in as many channels as the kernel is deep, what the slice adds to each of
    its neighbours; these are shifted and summed. On a CPU, TensorFlow takes a third to a tenth of the time of its 3D
    convolution, which does not vectorise over one output channel.

    Args:
        kernel_size: an odd number.
    """

    def __init__(self, kernel_size, **kwargs):
        fixed = {"filters": 1, "strides": 1, "padding": "same", "use_bias": False, "data_format": "channels_last"}
        super().__init__(kernel_size=kernel_size, **fixed, **kwargs)

    def call(self, inputs):
        batch, depth, *plane, channels = ops.shape(inputs)
        reach = self.kernel_size[0] // 2
        kernel = ops.moveaxis(self.kernel[..., 0], 0, -1)  # [rows, columns, channels, slices]
        shares = ops.conv(
            ops.reshape(inputs, (batch * depth, *plane, channels)), kernel, padding="same", data_format="channels_last"
        )
        shares = ops.reshape(shares, (batch, depth, *plane, self.kernel_size[0]))
        shares = ops.pad(shares, ((0, 0), (reach, reach), (0, 0), (0, 0), (0, 0)))
        shifted = [share[:, tap : tap + depth] for tap, share in enumerate(ops.unstack(shares, axis=-1))]
        return ops.expand_dims(sum(shifted[1:], shifted[0]), -1)

    def get_config(self):
        config = super().get_config()
        for name in ("filters", "strides", "padding", "use_bias", "data_format"):
            del config[name]
        return config
