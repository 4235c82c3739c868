"""The four networks. Keras only, so that they run on every Keras backend."""

from kits_tf.models.attention import AttentionGate
from kits_tf.models.cbam import CBAM
from kits_tf.models.kidney import KidneyNetwork
from kits_tf.models.polyphase import HaarPooling, HaarUnpooling, PolyphasePooling, PolyphaseUnpooling
from kits_tf.models.tumor import TumorNetwork

__all__ = [
    "AttentionGate",
    "CBAM",
    "HaarPooling",
    "HaarUnpooling",
    "KidneyNetwork",
    "PolyphasePooling",
    "PolyphaseUnpooling",
    "TumorNetwork",
    "architecture",
    "build",
]

SHARED_OPTIONS = ("base_filters", "depth", "attention", "normalization", "batch_norm_momentum")
OWN_OPTIONS = {"kidney": ("pooling", "reconstruction"), "tumor": ("regression",)}


def build(config):
    """The network of a `kits_tf.config.KidneyConfig` or `TumorConfig`, freshly initialised."""
    network = {"kidney": KidneyNetwork, "tumor": TumorNetwork}[config.stage]
    return network(**architecture(config))


def architecture(config):
    """The options of a config that make its network, {name: value}."""
    return {name: getattr(config, name) for name in SHARED_OPTIONS + OWN_OPTIONS[config.stage]}
