"""Proves that packed weights are the same weights, in fewer bytes, to Keras; and that those released stay small."""

import keras
import numpy as np

from experiments.packed_weights import pack
from kits_tf import checkpoint


def model():
    return keras.Sequential([keras.Input((40,)), keras.layers.Dense(40), keras.layers.BatchNormalization()])


def test_packed_weights_load_bit_for_bit(tmp_path):
    keras.utils.set_random_seed(3)
    saved, loaded = model(), model()
    saved.layers[1].moving_mean.assign(np.arange(40, dtype=np.float32))
    saved.save_weights(tmp_path / "whole.weights.h5")
    pack(tmp_path / "whole.weights.h5", tmp_path / "packed.weights.h5")
    assert (tmp_path / "packed.weights.h5").stat().st_size < (tmp_path / "whole.weights.h5").stat().st_size
    loaded.load_weights(tmp_path / "packed.weights.h5")
    for found, expected in zip(loaded.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_released_weights_stay_small():
    """At most 12 MB a set and 20 MB in all, as everybody who clones the repository carries them."""
    sizes = {
        name: sum(path.stat().st_size for path in (checkpoint.released_root() / name).glob("*/*.h5"))
        for name in checkpoint.released_names()
    }
    assert sizes and max(sizes.values()) <= 12e6 and sum(sizes.values()) <= 20e6
