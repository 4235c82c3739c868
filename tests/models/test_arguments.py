"""A bad construction argument is refused by name, value and what it takes."""

import pytest

from kits_tf.models import CBAM, AttentionGate, KidneyNetwork, TumorNetwork
from kits_tf.models.cbam import ChannelAttention, SpatialAttention
from kits_tf.models.slicewise import SlicewiseConvolution3D

COMMON = [
    ({"base_filters": 0}, "base_filters=0: takes a positive integer"),
    ({"base_filters": -8}, "base_filters=-8: takes a positive integer"),
    ({"base_filters": 1.5}, "base_filters=1.5: takes a positive integer"),
    ({"base_filters": True}, "base_filters=True: takes a positive integer"),
    ({"depth": 0}, "depth=0: takes a positive integer"),
    ({"normalization": "layer"}, "normalization='layer': takes 'batch' or 'group'"),
    ({"batch_norm_momentum": 1.0}, r"batch_norm_momentum=1.0: takes a number in \[0, 1\)"),
    ({"batch_norm_momentum": "0.9"}, r"batch_norm_momentum='0.9': takes a number in \[0, 1\)"),
]
KIDNEY = [
    ({"pooling": "mean"}, "pooling='mean': takes 'polyphase' or 'haar' or 'max'"),
    ({"attention": "cbam"}, "attention='cbam': takes True or False"),
    ({"reconstruction": "all"}, "reconstruction='all': takes 'centre' or 'slab' or 'none'"),
    ({"size": (24, 256)}, r"size=\(24, 256\): takes 2 entries, each None or a positive multiple of 16"),
    ({"size": (512, 0)}, r"size=\(512, 0\): takes 2 entries"),
    ({"size": (512,)}, r"size=\(512,\): takes 2 entries"),
    ({"size": 512}, "size=512: takes 2 entries"),
    ({"depth": 2, "size": (None, 18)}, r"size=\(None, 18\): takes 2 entries, each None or a positive multiple of 4"),
]
TUMOR = [
    ({"attention": True}, "attention=True: takes 'cbam' or 'gate' or 'both' or 'none'"),
    ({"regression": "distance"}, "regression='distance': takes 'intensity' or 'tumor_intensity' or 'signed_distance'"),
    ({"size": (96, 48, 44)}, r"size=\(96, 48, 44\): takes 3 entries, each None or a positive multiple of 8"),
]


@pytest.mark.parametrize(("options", "message"), COMMON + KIDNEY)
def test_kidney_network(options, message):
    with pytest.raises(ValueError, match=message):
        KidneyNetwork(**options)


@pytest.mark.parametrize(("options", "message"), COMMON + TUMOR)
def test_tumor_network(options, message):
    with pytest.raises(ValueError, match=message):
        TumorNetwork(**options)


NORMALIZATION = ({"normalization": "layer"}, "normalization='layer': takes 'batch' or 'group'")
MOMENTUM = ({"momentum": 1}, r"momentum=1: takes a number in \[0, 1\)")
REDUCTION = ({"reduction": 0}, "reduction=0: takes a positive integer")
LAYERS = {
    AttentionGate: [NORMALIZATION, MOMENTUM],
    ChannelAttention: [REDUCTION],
    SpatialAttention: [NORMALIZATION, MOMENTUM],
    CBAM: [REDUCTION, NORMALIZATION, MOMENTUM],
    SlicewiseConvolution3D: [({"kernel_size": 4}, "kernel_size=4: takes odd numbers")],
}


@pytest.mark.parametrize(
    ("layer", "options", "message"), [(layer, *case) for layer, cases in LAYERS.items() for case in cases]
)
def test_layers(layer, options, message):
    with pytest.raises(ValueError, match=message):
        layer(**options)
