"""Means over several predictions of the same thing: ensembles of checkpoints, and test-time augmentation.

Both are engines made of engines. Sums are in float64, so that the mean of equal predictions is the same to the bit.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from kits_tf.config import Config
from kits_tf.errors import UsageError
from kits_tf.inference.engines.base import Engine

SEEN_ALIKE = (
    "stage", "plane", "clip_low_hu", "clip_high_hu", "body_box", "min_component_share", "depth", "inplane_mm",
    "slice_mm", "mirror", "overlap", "margin_mm", "grid", "blocks",
)  # fmt: skip
"""Options that networks must share to be averaged."""

Predict = Callable[[str, Iterable[np.ndarray]], Iterator[np.ndarray]]
Back = Callable[[np.ndarray], np.ndarray]


class Mean(Engine):
    """Predicts the mean of its members.

    Args:
        members: Functions of (network, batches) such as `Engine.probabilities`.
        like: The engine whose name, precision and batch size this one adopts.
    """

    def __init__(self, members: Sequence[Predict], like: Engine) -> None:
        self._members = members
        self.name, self.precision, self.batch_pixels = like.name, like.precision, like.batch_pixels
        self.resize = like.resize  # type: ignore[method-assign]

    def probability(self, network: str, batch: np.ndarray) -> np.ndarray:
        """See `Engine`."""
        return next(self.probabilities(network, [batch]))

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


def check_alike(all_configs: Sequence[Mapping[str, Config]], folders: Sequence[str | os.PathLike]) -> None:
    """Raise UsageError where networks to be averaged see a CT in different ways."""
    for configs, folder in zip(all_configs[1:], folders[1:], strict=True):
        for name, config in configs.items():
            ours, first = dataclasses.asdict(config), dataclasses.asdict(all_configs[0][name])
            for option in SEEN_ALIKE:
                if ours.get(option) != first.get(option):
                    values = f"{option}={first[option]} in {folders[0]} and {ours[option]} in {folder}"
                    reason = f"{name} has {values}; only networks that see a CT alike can be averaged"
                    raise UsageError("checkpoint_dir", reason)


def augmented(engine: Engine, tta: str, configs: Mapping[str, Config]) -> Engine:
    """Return an engine that averages over predictions of changed inputs, changed back.

    "shift": the input as it is, and moved by a quarter and by half of what pooling joins to one pixel; "flip": as it
    is, and with its first axis reversed (rows of an axial slab, slices of all others), never right for left.
    """
    unit = 2 ** max(config.depth for config in configs.values())  # type: ignore[attr-defined]
    changes: list[Callable[[np.ndarray], tuple[np.ndarray, Back]]] = [flipped]
    if tta == "none":
        return engine
    if tta == "shift":
        changes = [functools.partial(shifted, unit=unit, offset=unit // part) for part in (4, 2)]
    views = [functools.partial(_changed_there_and_back, engine, change) for change in changes]
    return Mean([engine.probabilities, *views], engine)


def _changed_there_and_back(
    engine: Engine,
    change: Callable[[np.ndarray], tuple[np.ndarray, Back]],
    network: str,
    batches: Iterable[np.ndarray],
) -> Iterator[np.ndarray]:
    """Yield the predictions of an engine for changed batches, changed back."""
    backs: collections.deque[Back] = collections.deque()

    def changed() -> Iterator[np.ndarray]:
        for batch in batches:
            there, back = change(batch)
            backs.append(back)
            yield there

    for probability in engine.probabilities(network, changed()):
        yield backs.popleft()(probability)


def flipped(batch: np.ndarray) -> tuple[np.ndarray, Back]:
    """Return a batch with its first spatial axis reversed, and the way back for its probability."""
    return batch[:, ::-1], lambda probability: probability[:, ::-1]


def shifted(batch: np.ndarray, unit: int, offset: int) -> tuple[np.ndarray, Back]:
    """Return a batch with `offset` zeros before and `unit - offset` after each spatial axis, and the way back."""
    spatial = range(1, batch.ndim - 1)
    widths = [(offset, unit - offset) if axis in spatial else (0, 0) for axis in range(batch.ndim)]
    inside = (slice(None), *(slice(offset, offset + batch.shape[axis]) for axis in spatial))
    return np.pad(batch, widths), lambda probability: probability[inside]
