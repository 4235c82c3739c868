"""Kidney and kidney-tumor segmentation in CT: two-stage convolutional networks in TensorFlow and Keras.

    import kits_tf

    segmenter = kits_tf.load_segmenter("simulated")
    volume = kits_tf.read_volume("imaging.nii.gz")
    labels = segmenter.segment(volume.hu, volume.spacing_mm)
    kits_tf.write_labels(labels, volume, "segmentation.nii.gz")

Importing this package imports neither TensorFlow nor Keras; each name below loads what it needs when first used.
"""

import importlib

__version__ = "0.1.0"
__all__ = ["__version__", "load_segmenter", "read_labels", "read_volume", "write_labels"]

HOMES = {
    "load_segmenter": "kits_tf.inference.segmenter",
    "read_labels": "kits_tf.io.volume",
    "read_volume": "kits_tf.io.volume",
    "write_labels": "kits_tf.io.volume",
}


def __getattr__(name):
    """Imports the module of a public name on its first use."""
    if name not in HOMES:
        raise AttributeError(f"module 'kits_tf' has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)


def __dir__():
    """The public names, for completion."""
    return sorted({*globals(), *__all__})
