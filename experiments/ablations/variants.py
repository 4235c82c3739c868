"""The questions: claims of the paper, and variants that test them, each with one change to a base."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from kits_tf import config
from kits_tf.config import NetworkConfig

KIDNEY: dict[str, Any] = {
    "augment": False,
    "inplane_mm": 4.0,
    "patch_rows": 80,
    "patch_columns": 48,
    "patch_slices": 80,
    "num_steps": 800,
    "foreground_fraction": 0.3,
    "min_agreement": 0.0,
}
"""Changes to the preset `small` in the base of the kidney networks."""

TUMOR: dict[str, Any] = {"augment": False, "grid": 32, "context_mm": 0.0, "num_steps": 160}
"""Likewise for the tumor network."""


@dataclasses.dataclass(frozen=True)
class Network:
    """A network to train."""

    plane: str = "axial"  # "" for the tumor network
    changes: tuple[tuple[str, Any], ...] = ()  # options and their values, where they differ from the base

    @property
    def name(self) -> str:
        """The name of its folder."""
        return ",".join([self.plane or "tumor", *(f"{option}={value}" for option, value in self.changes)])

    @property
    def stage(self) -> config.Stage:
        """The network's stage."""
        return "kidney" if self.plane else "tumor"

    def config(self, num_steps: int | None = None) -> NetworkConfig:
        """Return its config, with another number of steps if one is given."""
        base = config.preset("small", self.stage, self.plane or None)
        steps = {} if num_steps is None else {"num_steps": num_steps}
        return dataclasses.replace(base, **{**(KIDNEY if self.plane else TUMOR), **dict(self.changes), **steps})


@dataclasses.dataclass(frozen=True)
class Variant:
    """A system to score: networks of one stage, and options of their joint prediction."""

    name: str
    networks: tuple[Network, ...]
    together: tuple[tuple[str, Any], ...] = ()

    @property
    def stage(self) -> config.Stage:
        """The stage of the networks."""
        return self.networks[0].stage

    @property
    def key(self) -> str:
        """The name of the file of its scores; variants of two questions that are the same system share it."""
        return "+".join(network.name for network in self.networks) + "".join(f";{n}={v}" for n, v in self.together)


@dataclasses.dataclass(frozen=True)
class Question:
    """A claim and its variants. The first variant of a stage is the reference of the others."""

    claim: str
    variants: tuple[Variant, ...]
    worse: tuple[str, ...] = ()  # variants that must be worse than their reference if the claim holds

    def reference(self, variant: Variant) -> Variant:
        """Return the variant that another is compared with."""
        return next(one for one in self.variants if one.stage == variant.stage)


def planes(name: str, *used: str, **together: Any) -> Variant:
    """Return a variant of the base networks of planes."""
    return Variant(name, tuple(map(Network, used)), tuple(together.items()))


def axial(name: str, **changes: Any) -> Variant:
    """Return a variant of the axial network alone."""
    return Variant(name, (Network("axial", tuple(changes.items())),))


def tumor(name: str, **changes: Any) -> Variant:
    """Return a variant of the tumor network."""
    return Variant(name, (Network("", tuple(changes.items())),))


QUESTIONS: dict[str, Question] = {
    "planes": Question(
        "The union of three planes finds the kidneys better than one plane.",
        (
            planes("union", *config.PLANES, fusion="union"),
            planes("axial", "axial"),
            planes("coronal", "coronal"),
            planes("sagittal", "sagittal"),
            planes("majority", *config.PLANES, fusion="majority"),
            planes("mean", *config.PLANES, fusion="mean"),
            planes("union of pieces that planes agree on", *config.PLANES, fusion="union", min_agreement=0.5),
        ),
        worse=config.PLANES,
    ),
    "pooling": Question(
        "Lossless pooling keeps detail that maximum pooling loses.",
        (
            axial("polyphase"),
            axial("Haar", pooling="haar"),
            axial("max, equal width", pooling="max"),
            axial("max, equal parameters", pooling="max", base_filters=11),
        ),
        worse=("max, equal width", "max, equal parameters"),
    ),
    "autoencoder": Question(
        "The autoencoding head makes the segmentation better.",
        (
            axial("centre slice, weight 0.1"),
            axial("none", reconstruction="none", reconstruction_weight=0.0),
            axial("centre slice, weight 0.03", reconstruction_weight=0.03),
            axial("centre slice, weight 0.3", reconstruction_weight=0.3),
            axial("slab, weight 0.1", reconstruction="slab"),
        ),
        worse=("none",),
    ),
    "gates": Question(
        "Attention makes both networks better: gates in stage 1, CBAM in stage 2.",
        (
            axial("stage 1: gates"),
            axial("stage 1: none", attention=False),
            tumor("stage 2: CBAM"),
            tumor("stage 2: gates", attention="gate"),
            tumor("stage 2: both", attention="both"),
            tumor("stage 2: none", attention="none"),
        ),
        worse=("stage 1: none", "stage 2: none"),
    ),
    "regression": Question(
        "The regression head makes the tumor segmentation better.",
        (
            tumor("intensity"),
            tumor("none", regression_weight=0.0),
            tumor("intensity of the tumor", regression="tumor_intensity"),
            tumor("signed distance", regression="signed_distance"),
        ),
        worse=("none",),
    ),
    "blocks": Question(
        "Sub-blocks save memory; the paper does not say that they cost nothing.",
        (
            tumor("none"),
            tumor("split", blocks="split", batch_size=16),
            tumor("overlap", blocks="overlap", batch_size=16),
            tumor("polyphase", blocks="polyphase", batch_size=16),
        ),
    ),
    "small_tumors": Question(
        "More weight on small tumors finds them better.",
        (
            tumor("up to 2"),
            tumor("off", max_small_tumor_weight=1.0),
            tumor("up to 4, tumors twice", tumor_weight=2.0, max_small_tumor_weight=4.0),
        ),
        worse=("off",),
    ),
    "halves": Question(
        "Left and right are learned apart, in halves of a slice.",
        (
            axial("mirrored halves"),
            axial("separate halves", mirror=False),
            axial("whole slices", overlap=48, patch_columns=96),
        ),
        worse=("whole slices",),
    ),
}


def chosen(names: str) -> dict[str, Question]:
    """Return the questions of a comma list of names, or of "all"."""
    wanted: Sequence[str] = list(QUESTIONS) if names == "all" else names.split(",")
    if unknown := sorted(set(wanted) - set(QUESTIONS)):
        raise SystemExit(f"--question must be of {', '.join(QUESTIONS)} or all, got {', '.join(unknown)}")
    return {name: QUESTIONS[name] for name in wanted}
