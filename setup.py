"""Package the data files, and the released weights as `kits_tf.checkpoints`; everything else is in pyproject.toml.

A `package-data` table in pyproject.toml would replace the one here.
"""

import pathlib

from setuptools import find_packages, setup

CHECKPOINTS = "kits_tf.checkpoints"
RELEASED = [card.parent.name for card in pathlib.Path("checkpoints").glob("*/README.md")]
FILES = ("README.md", "failures.png", "notice.txt", "*/config.json", "*/model.weights.h5")

setup(
    packages=[*find_packages(include=["kits_tf", "kits_tf.*"]), CHECKPOINTS],
    package_dir={CHECKPOINTS: "checkpoints"},
    package_data={
        "kits_tf": ["py.typed", "*/*.config", "*/*.md", "simulation/maps/*", "samples/*/*", "report/templates/*"],
        CHECKPOINTS: [f"{name}/{file}" for name in sorted(RELEASED) for file in FILES],
    },
)
