"""The four networks of the default weights: their order, their options and the recorded result."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from kits_tf import config, files
from kits_tf.config import KidneyConfig, TumorConfig

KIDNEY = ("kidney_axial", "kidney_coronal", "kidney_sagittal")
NETWORKS = (*KIDNEY, "tumor")
TUMOR_LOGIT_SHIFT = 0.7
"""Added to the bias of the tumor's logits after training, so that a probability of a third becomes 0.5: planted tumors
of held-out people then have a higher Dice, at little more false tumor in their other kidneys."""

RESULT = pathlib.Path(__file__).with_name("result.json")

# What differs from the preset `default`. `augment` is off since `slabs` and `cubes` augment.
SHARED: dict[str, Any] = {"learning_rate": 1e-3, "warmup_steps": 50, "augment": False}
OPTIONS: dict[str, dict[str, Any]] = {
    "kidney": {
        **SHARED,
        "batch_size": 48,
        "foreground_fraction": 0.4,
        "clip_norm": 2.0,
        "batch_norm_momentum": 0.98,
    },
    "tumor": {
        **SHARED,
        "learning_rate": 6e-4,
        "batch_size": 6,
        "foreground_fraction": 0.5,
        "batch_norm_momentum": 0.97,
        "dice_over": "batch",
        # Cross-entropy weighs three times as much as soft Dice; here in units of the cross-entropy.
        "dice_weight": 1 / 3,
        "regression_weight": 0.1 / 3,
        "clip_norm": 2 / 3,
        "small_tumor_ml": 12.0,
        "max_small_tumor_weight": 5.0,
    },
}


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of the training of a network."""

    share: float  # of its time
    batch_size: int
    rates: tuple[float, float]  # learning rate after the warm-up and at the end, a half cosine between
    real_share: float  # of what is drawn from real CTs
    grid: int = 0  # voxels along each side of a cube
    arterial_share: float = 0.0  # of real kidneys that are surely of an arterial phase, whose medulla is dark


# The tumor network learns on coarse cubes first, at an eighth of the cost of a sample.
PHASES: dict[str, tuple[Phase, ...]] = {
    "kidney": (Phase(1.0, 48, (1e-3, 0.0), 0.65),),
    "tumor": (
        Phase(0.11, 12, (1e-3, 5e-4), 0.7, grid=32),
        Phase(0.30, 6, (6e-4, 6e-4), 0.8, grid=48, arterial_share=0.3),
        Phase(0.59, 6, (6e-4, 0.0), 0.85, grid=48, arterial_share=0.3),
    ),
}


def config_of(name: str, **changes: Any) -> KidneyConfig | TumorConfig:
    """Return the config of a network, with changes such as `num_steps`."""
    stage, _, plane = name.partition("_")
    return dataclasses.replace(config.preset("default", stage, plane or None), **OPTIONS[stage], **changes)


def recorded(result: pathlib.Path = RESULT) -> dict[str, Any]:
    """Return the recorded result."""
    return json.loads(result.read_text(encoding="utf-8"))


def record(result: pathlib.Path = RESULT, **entries: Any) -> None:
    """Replace entries of the recorded result."""
    files.write_text(result, json.dumps(recorded(result) | entries, indent=1) + "\n")
