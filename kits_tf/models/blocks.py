"""What both networks are made of: convolutions of either rank, normalisation, the block of two convolutions."""

import keras

NORMALIZATIONS = ("batch", "group")
RARE = -2.0  # where a segmentation head's bias starts: foreground is rare, sigmoid(-2) = 0.12


def convolution(rank, filters, size, **options):
    """A convolution layer in `rank` dimensions, channels last, "same" padding unless `options` say otherwise."""
    kind = {2: keras.layers.Conv2D, 3: keras.layers.Conv3D}[rank]
    return kind(filters, size, **{"padding": "same", "data_format": "channels_last", **options})


def segmentation_head(rank, x):
    """The 1 x 1 (x 1) convolution to one logit, in float32; it starts by calling nearly everything background."""
    rare = keras.initializers.Constant(RARE)
    return convolution(rank, 1, 1, bias_initializer=rare, dtype="float32", name="logits")(x)


def up_convolution(rank, filters, **options):
    """The up-convolution of U-Net (Ronneberger et al. 2015): kernel = stride = 2, each spatial size doubles."""
    kind = {2: keras.layers.Conv2DTranspose, 3: keras.layers.Conv3DTranspose}[rank]
    return kind(filters, 2, strides=2, data_format="channels_last", **options)


def max_pooling(rank, **options):
    """Pooling by maximum over 2 x 2 (x 2): each spatial size halves."""
    kind = {2: keras.layers.MaxPooling2D, 3: keras.layers.MaxPooling3D}[rank]
    return kind(2, data_format="channels_last", **options)


def normalization_layer(kind, channels, momentum, **options):
    """Batch or group normalisation over the last axis.

    Groups hold 8 channels or, where 8 does not divide them, the next number that does; fewer than 8 form one group.

    Args:
        kind: "batch" or "group".
        channels: of the features to be normalised.
        momentum: of the moving averages of batch normalisation.
        **options: of the layer, such as its name.
    """
    if kind == "batch":
        return keras.layers.BatchNormalization(axis=-1, momentum=momentum, epsilon=1e-5, **options)
    groups = max(n for n in range(1, max(1, channels // 8) + 1) if channels % n == 0)
    return keras.layers.GroupNormalization(groups, axis=-1, epsilon=1e-5, **options)


def convolution_block(x, filters, normalization, momentum, name):
    """Two times: 3 x 3 (x 3) convolution without bias, normalisation, ReLU.

    Args:
        x: [batch, *spatial, channels], a Keras tensor.
        filters: output channels of the first and of the second convolution.
        normalization: "batch" or "group".
        momentum: of batch normalisation.
        name: prefix of the layers' names.

    Returns:
        [batch, *spatial, filters[1]].
    """
    rank = len(x.shape) - 2
    for index, channels in enumerate(filters):
        x = convolution(
            rank, channels, 3, use_bias=False, kernel_initializer="he_normal", name=f"{name}_convolution_{index}"
        )(x)
        x = normalization_layer(normalization, channels, momentum, name=f"{name}_normalization_{index}")(x)
        x = keras.layers.ReLU(name=f"{name}_relu_{index}")(x)
    return x
