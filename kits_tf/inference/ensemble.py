"""Means of several predictions: ensembles of checkpoints, and test-time augmentation.

Both are engines made of engines. Sums are in float64, so that the mean of equal predictions is exactly the same.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from kits_tf.config import Config
from kits_tf.errors import UsageError
from kits_tf.inference.engines.base import Engine

# Options that networks must share to be averaged.
MUST_MATCH = {
    "stage", "plane", "clip_low_hu", "clip_high_hu", "body_box", "min_component_ml", "min_agreement", "fusion",
    "depth", "inplane_mm", "slice_mm", "mirror", "overlap", "search_step", "context_mm", "margin_mm", "grid",
    "blocks", "average_mirrored",
}  # fmt: skip

Predict = Callable[[str, Iterable[np.ndarray]], Iterator[np.ndarray]]
Change = Callable[[np.ndarray], np.ndarray]


class Mean(Engine):
    """Predicts the mean of several `Engine.probabilities`; its other properties are those of the engine `like`."""

    def __init__(self, members: Sequence[Predict], like: Engine) -> None:
        self._members = members
        self.name, self.precision, self.batch_pixels = like.name, like.precision, like.batch_pixels

    def probabilities(self, network: str, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """See `Engine`."""
        copies = itertools.tee(batches, len(self._members))
        predictions = [member(network, copy) for member, copy in zip(self._members, copies, strict=True)]
        for found in zip(*predictions, strict=True):
            total = sum((one.astype(np.float64) for one in found), np.float64(0))
            yield (total / len(found)).astype(np.float32)


def mean_of(engines: Sequence[Engine]) -> Engine:
    """Return one engine of several that hold the same networks with different weights."""
    return engines[0] if len(engines) == 1 else Mean([engine.probabilities for engine in engines], engines[0])


def check_compatible(all_configs: Sequence[Mapping[str, Config]], folders: Sequence[str | os.PathLike]) -> None:
    """Raise UsageError if networks to be averaged see a CT in different ways."""
    for configs, folder in zip(all_configs[1:], folders[1:], strict=True):
        for name, config in configs.items():
            ours, first = dataclasses.asdict(config), dataclasses.asdict(all_configs[0][name])
            for option in sorted(MUST_MATCH & ours.keys()):
                if ours[option] != first[option]:
                    values = f"{option}={first[option]} in {folders[0]} and {ours[option]} in {folder}"
                    reason = f"{name} has {values}; only networks that see a CT alike can be averaged"
                    raise UsageError("checkpoint_dir", reason)


def augmented(engine: Engine, tta: str, configs: Mapping[str, Config]) -> Engine:
    """Return an engine that averages predictions of transformed inputs, after undoing the transforms.

    "shift" adds the input shifted by a quarter and by half of the block that pooling reduces to one pixel. "flip" adds
    the input with its first axis reversed: rows of an axial slab, slices of all others, never right and left.
    """
    if tta == "none":
        return engine
    changes: list[tuple[Change, Change]] = [(flipped, flipped)]
    if tta == "shift":
        unit = 2 ** max(config.depth for config in configs.values())  # type: ignore[attr-defined]
        widths = [(unit // part, unit - unit // part) for part in (4, 2)]
        changes = [(functools.partial(padded, width=w), functools.partial(unpadded, width=w)) for w in widths]

    def changed(forward: Change, backward: Change) -> Predict:
        return lambda network, batches: map(backward, engine.probabilities(network, map(forward, batches)))

    return Mean([engine.probabilities, *(changed(*change) for change in changes)], engine)


def flipped(batch: np.ndarray) -> np.ndarray:
    """Return a batch, or its probability, with its first spatial axis reversed."""
    return batch[:, ::-1]


def padded(batch: np.ndarray, width: tuple[int, int]) -> np.ndarray:
    """Return a batch with `width` zeros (before, after) along each spatial axis."""
    return np.pad(batch, [(0, 0), *[width] * (batch.ndim - 2), (0, 0)])


def unpadded(probability: np.ndarray, width: tuple[int, int]) -> np.ndarray:
    """Return the probability of a batch from that of the `padded` batch."""
    inside = [slice(width[0], size - width[1]) for size in probability.shape[1:]]
    return probability[tuple([slice(None), *inside])]
