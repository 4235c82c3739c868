"""Package the released weights as `kits_tf.checkpoints`; everything else is in pyproject.toml."""

import pathlib

from setuptools import find_packages, setup

CHECKPOINTS = "kits_tf.checkpoints"
RELEASED = [card.parent.name for card in pathlib.Path("checkpoints").glob("*/MODEL_CARD.md")]
FILES = ("MODEL_CARD.md", "*/config.json", "*/model.weights.h5")

setup(
    packages=[*find_packages(include=["kits_tf", "kits_tf.*"]), CHECKPOINTS],
    package_dir={CHECKPOINTS: "checkpoints"},
    package_data={CHECKPOINTS: [f"{name}/{file}" for name in sorted(RELEASED) for file in FILES]},
)
