"""A 3D convolution to one channel, computed as 2D convolutions."""

import keras
from keras import ops

BLOCK = 16  # slices out of one 2D convolution; at this width TensorFlow's convolutions vectorise on a CPU


@keras.saving.register_keras_serializable(package="kits_tf")
class SlicewiseConvolution3D(keras.layers.Conv3D):
    """A `Conv3D` to one channel, stride one, "same" padding, without bias: same weights, same result, less time.

    A 2D convolution whose input channels are the channels of a window of slices, and whose output channels are BLOCK
    slices of the result: its kernel holds the 3D kernel once for each output slice, shifted by one slice each time,
    and zeros elsewhere. On a CPU, TensorFlow takes about a third of the time of its 3D convolution, which does not
    vectorise over one output channel.

    Args:
        kernel_size: an odd number.

    Raises:
        ValueError: `kernel_size` is even.
    """

    def __init__(self, kernel_size, **kwargs):
        fixed = {"filters": 1, "strides": 1, "padding": "same", "use_bias": False, "data_format": "channels_last"}
        super().__init__(kernel_size=kernel_size, **fixed, **kwargs)
        if any(size % 2 == 0 for size in self.kernel_size):
            raise ValueError(f"kernel_size={kernel_size!r}: takes odd numbers")

    def windows(self, x):
        """Every BLOCK slices with the neighbours that they need, zeros beyond the ends, slices as channels.

        [batch, depth, rows, columns, channels] -> [batch * blocks, rows, columns, (BLOCK + 2 * reach) * channels].
        """
        batch, depth, rows, columns, channels = ops.shape(x)
        blocks, halo = count_blocks(depth), self.kernel_size[0] - 1
        x = ops.pad(x, ((0, 0), (halo // 2, halo // 2 + BLOCK - 1), (0, 0), (0, 0), (0, 0)))
        slices = BLOCK * ops.arange(blocks)[:, None] + ops.arange(BLOCK + halo)
        x = ops.take(x, ops.reshape(slices, (-1,)), axis=1)
        x = ops.transpose(ops.reshape(x, (batch, blocks, BLOCK + halo, rows, columns, channels)), (0, 1, 3, 4, 2, 5))
        return ops.reshape(x, (batch * blocks, rows, columns, (BLOCK + halo) * channels))

    def windows_kernel(self):
        """The kernel of the 2D convolution: [rows, columns, (BLOCK + 2 * reach) * channels, BLOCK]."""
        rest = ((0, 0), (0, 0), (0, 0))
        kernel = self.kernel[..., 0]
        kernel = ops.stack([ops.pad(kernel, ((out, BLOCK - 1 - out), *rest)) for out in range(BLOCK)], axis=-1)
        slices, rows, columns, channels, _ = kernel.shape
        return ops.reshape(ops.moveaxis(kernel, 0, 2), (rows, columns, slices * channels, BLOCK))

    def call(self, inputs):
        batch, depth, rows, columns, _ = ops.shape(inputs)
        x = ops.conv(self.windows(inputs), self.windows_kernel(), padding="same", data_format="channels_last")
        x = ops.reshape(x, (batch, count_blocks(depth), rows, columns, BLOCK))
        x = ops.transpose(x, (0, 1, 4, 2, 3))
        return ops.reshape(x, (batch, -1, rows, columns, 1))[:, :depth]

    def get_config(self):
        config = super().get_config()
        for name in ("filters", "strides", "padding", "use_bias", "data_format"):
            del config[name]
        return config


def count_blocks(depth):
    """Blocks of BLOCK slices that hold `depth` slices, the last perhaps in part; `depth` may be a tensor."""
    return (depth + BLOCK - 1) // BLOCK
