"""Faster PyTorch forms of a few Keras layers, for training: the same weights and results, but for rounding.

Import before networks are built, with `KERAS_BACKEND=torch`.
"""

from __future__ import annotations

from typing import Any

import keras
import torch
import torch.nn.functional as F
from keras.src.backend.torch import nn as keras_nn

from kits_tf.models import layers


def channels_first(x: torch.Tensor) -> torch.Tensor:
    """Return a view of [batch, *spatial, channels] as [batch, channels, *spatial]."""
    return x.permute(0, x.dim() - 1, *range(1, x.dim() - 1))


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """Return a view of [batch, channels, *spatial] as [batch, *spatial, channels]."""
    return x.permute(0, *range(2, x.dim()), 1)


def upsample_linear(x: torch.Tensor) -> torch.Tensor:
    """Return `layers.upsample_linear` in one operation."""
    mode = "bilinear" if x.dim() == 4 else "trilinear"
    return channels_last(F.interpolate(channels_first(x), scale_factor=2, mode=mode, align_corners=False))


def slicewise_convolution(self: Any, x: torch.Tensor) -> torch.Tensor:
    """Return a `SlicewiseConvolution3D` as the one 3D convolution that it is, which PyTorch does faster."""
    kernel = self.kernel.value.to(x.dtype).permute(4, 3, 0, 1, 2)
    return channels_last(F.conv3d(channels_first(x), kernel, padding=self.kernel_size[0] // 2))


def batch_normalization(self: Any, x: torch.Tensor, training: bool | None = None, mask: Any = None) -> torch.Tensor:
    """Return a `BatchNormalization` in one operation, for which Keras takes a dozen."""
    flat = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)  # spatial axes as one: one kernel for 2D and 3D
    statistics = self.moving_mean.value.data, self.moving_variance.value.data
    scale, shift = self.gamma.value.float(), self.beta.value.float()
    y = F.batch_norm(flat, *statistics, scale, shift, bool(training), 1 - self.momentum, self.epsilon)
    return y.permute(0, 2, 3, 1).reshape(x.shape).to(x.dtype)


class Scaled(torch.autograd.Function):
    """x * s, with s of one channel or of one voxel, whose gradient sums by matrix products: CPUs sum slowly."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, s)
        return x * s

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, s = ctx.saved_tensors
        gradient = gradient.contiguous()
        flat = (gradient * x).reshape(x.shape[0], -1, x.shape[-1])
        if s.shape[-1] == 1:
            of_s = flat @ flat.new_ones(x.shape[-1], 1)
        else:
            of_s = flat.new_ones(x.shape[0], 1, flat.shape[1]) @ flat
        return gradient * s, of_s.reshape(s.shape)


def channel_attention(self: Any, x: torch.Tensor) -> torch.Tensor:
    """Return a `ChannelAttention` of [batch, *spatial, channels], its mean as a matrix product."""
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    mean = flat.new_ones(x.shape[0], 1, flat.shape[1]) @ flat / flat.shape[1]
    maximum = flat.amax(1, keepdim=True)
    scores = self.scores(self.hidden(mean)) + self.scores(self.hidden(maximum))
    return Scaled.apply(x, torch.sigmoid(scores).reshape(x.shape[0], *[1] * (x.dim() - 2), x.shape[-1]))


def spatial_attention(self: Any, x: torch.Tensor, training: bool | None = None) -> torch.Tensor:
    """Return a `SpatialAttention` whose product is a `Scaled`."""
    summary = torch.cat([x.amax(-1, keepdim=True), x.mean(-1, keepdim=True)], -1)
    return Scaled.apply(x, torch.sigmoid(self.norm(self.scores(summary), training=training)))


# Keras copies the input of each convolution to channels first and back; a view of it will do.
keras_nn._transpose_spatial_inputs = channels_first
layers.upsample_linear = upsample_linear
layers.SlicewiseConvolution3D.call = slicewise_convolution  # type: ignore[method-assign]
keras.layers.BatchNormalization.call = batch_normalization
layers.ChannelAttention.call = channel_attention  # type: ignore[method-assign]
layers.SpatialAttention.call = spatial_attention  # type: ignore[method-assign]
