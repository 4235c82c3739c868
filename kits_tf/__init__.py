"""Segment kidneys and kidney tumors in CT with two-stage convolutional networks in TensorFlow and Keras.

    import kits_tf

    segmenter = kits_tf.load_segmenter("default")                  # released weights, or a checkpoint folder
    volume = kits_tf.read_volume("imaging.nii.gz")                 # a NIfTI file or a DICOM series
    labels = segmenter.segment(volume.hu, volume.spacing_mm)       # 0 background, 1 kidney, 2 tumor
    kits_tf.write_labels(labels, volume, "segmentation.nii.gz")
    network = kits_tf.load_network("default", "kidney_axial")      # a Keras model

Importing this package imports neither TensorFlow nor Keras; functions that need them do so when they are called.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kits_tf.checkpoint import load_network
    from kits_tf.inference.segmenter import load_segmenter
    from kits_tf.io.volume import read_labels, read_volume, write_labels
    from kits_tf.report.notebook import show

__version__ = "0.1.0"
__all__ = ["__version__", "load_network", "load_segmenter", "read_labels", "read_volume", "show", "write_labels"]

_MODULES = {
    "load_network": "kits_tf.checkpoint",
    "load_segmenter": "kits_tf.inference.segmenter",
    "read_labels": "kits_tf.io.volume",
    "read_volume": "kits_tf.io.volume",
    "show": "kits_tf.report.notebook",
    "write_labels": "kits_tf.io.volume",
}


def __getattr__(name: str) -> Any:
    """Import the module of a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'kits_tf' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """Return the public names, for completion."""
    return sorted({*globals(), *__all__})
