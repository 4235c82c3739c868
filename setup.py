"""The package kits-tf: its requirements, its commands, and the released weights that travel with it."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "kits_tf" / "__init__.py").read_text(encoding="utf-8"))[1]
COMMANDS = ("phantom", "download", "prepare", "train", "recipe", "predict", "evaluate", "report", "export", "request")

# Weights lie at the top of the repository; in an installed package they are kits_tf/checkpoints. A set without a model
# card is somebody's own and does not travel.
WEIGHTS = "kits_tf.checkpoints"
RELEASED = sorted(card.parent.name for card in HERE.glob("checkpoints/*/MODEL_CARD.md"))
RELEASED_FILES = ("MODEL_CARD.md", "scores.json", "*/config.json", "*/model.weights.h5")

REPORT = ["matplotlib>=3.7"]
SERVING = ["tensorflow-serving-api>=2.18"]
TENSORBOARD = ["tensorboard>=2.18"]

# GDCM decodes the compressed transfer syntaxes, lossless JPEG included.
DICOM = ["highdicom>=0.24", "pydicom>=3.0", "python-gdcm>=3.0.24"]

setup(
    name="kits-tf",
    version=VERSION,
    description="Kidney and kidney-tumor segmentation in CT with two-stage convolutional networks",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=[*find_packages(include=["kits_tf", "kits_tf.*"]), WEIGHTS],
    package_dir={WEIGHTS: "checkpoints"},
    package_data={
        "kits_tf.serving": ["*.config"],
        WEIGHTS: [f"{name}/{file}" for name in RELEASED for file in RELEASED_FILES],
    },
    entry_points={"console_scripts": [f"kits-{name}=kits_tf.cli.{name}:run" for name in COMMANDS]},
    install_requires=[
        "absl-py>=2.1",
        "keras>=3.8",
        "nibabel>=5.2",
        "numpy>=1.26",
        "scikit-image>=0.22",
        "scipy>=1.11",
        "tensorflow>=2.18",
        "tqdm>=4.65",
    ],
    extras_require={
        "dicom": DICOM,
        "gpu": ["tensorflow[and-cuda]>=2.18"],
        "openvino": ["openvino>=2025.0"],
        "onnx": ["onnx>=1.16", "onnxruntime>=1.18", "tf2onnx>=1.16"],
        "report": REPORT,
        "serving": SERVING,
        "tensorboard": TENSORBOARD,
        "test": [
            *DICOM,
            *REPORT,
            *SERVING,
            *TENSORBOARD,
            "hypothesis>=6.100",
            "jax>=0.4.30",
            "pytest>=8",
            "pytest-xdist>=3.5",
            "ruff>=0.17,<0.18",
            "surface-distance>=0.1",
        ],
    },
)
