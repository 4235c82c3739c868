"""The networks. They import Keras alone, so they run on each of its backends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kits_tf.models.kidney import KidneyNetwork
from kits_tf.models.layers import (
    CBAM,
    AttentionGate,
    HaarPooling,
    HaarUnpooling,
    PolyphasePooling,
    PolyphaseUnpooling,
)
from kits_tf.models.tumor import TumorNetwork
from kits_tf.models.unet import UNet

if TYPE_CHECKING:
    from kits_tf.config import Config

__all__ = [
    "AttentionGate",
    "CBAM",
    "HaarPooling",
    "HaarUnpooling",
    "KidneyNetwork",
    "PolyphasePooling",
    "PolyphaseUnpooling",
    "TumorNetwork",
    "UNet",
    "architecture",
    "build",
]

SHARED_OPTIONS = ("base_filters", "depth", "attention", "normalization", "batch_norm_momentum")
OWN_OPTIONS = {"kidney": ("pooling", "reconstruction"), "tumor": ("regression",)}


def build(config: Config) -> UNet:
    """Return a new network from a `kits_tf.config.KidneyConfig` or `TumorConfig`.

    Example:
        >>> from kits_tf.config import preset
        >>> build(preset("small", "tumor")).count_params()
        357404
    """
    network = {"kidney": KidneyNetwork, "tumor": TumorNetwork}[config.stage]
    return network(**architecture(config))


def architecture(config: Config) -> dict[str, Any]:
    """Return the options of a config that define its network, {name: value}."""
    return {name: getattr(config, name) for name in SHARED_OPTIONS + OWN_OPTIONS[config.stage]}
