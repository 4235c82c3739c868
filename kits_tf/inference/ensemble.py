"""Means over several answers to one question: the folds of an ensemble, and test-time augmentation.

Both are engines made of engines, so that everything around the networks stays as it is. Sums are in float64: the mean
of equal answers is that answer, bit for bit.
"""

import collections
import dataclasses
import functools
import itertools
import pathlib

import numpy as np

from kits_tf.errors import UsageError
from kits_tf.inference.engines.base import Engine

SEEN_ALIKE = (
    "stage", "plane", "clip_low_hu", "clip_high_hu", "body_box", "min_component_share", "depth", "inplane_mm",
    "slice_mm", "mirror", "overlap", "margin_mm", "grid", "blocks",
)  # fmt: skip


class Mean(Engine):
    """Gives the mean of what its members give.

    Args:
        members: functions of (network, batches) as `Engine.probabilities`, one an answer.
        like: the `Engine` whose name, precision and batches it takes over.
    """

    def __init__(self, members, like):
        self._members = members
        self.name, self.precision, self.batch_pixels = like.name, like.precision, like.batch_pixels
        self.resize = like.resize

    def probability(self, network, batch):
        return next(self.probabilities(network, [batch]))

    def probabilities(self, network, batches):
        copies = itertools.tee(batches, len(self._members))
        answers = [member(network, copy) for member, copy in zip(self._members, copies, strict=True)]
        for found in zip(*answers, strict=True):
            yield (sum(one.astype(np.float64) for one in found) / len(found)).astype(np.float32)


def mean_of(engines):
    """One Engine of several that hold the same networks, each trained on another part of the data."""
    return engines[0] if len(engines) == 1 else Mean([engine.probabilities for engine in engines], engines[0])


def check_different(folders):
    """Raises a UsageError where a checkpoint folder is named twice."""
    found = [pathlib.Path(folder).resolve() for folder in folders]
    for number, folder in enumerate(folders):
        if found[number] in found[:number]:
            raise UsageError("checkpoint_dir", f"{folder} is named twice; only different checkpoints are averaged")


def check_alike(all_configs, folders):
    """Raises a UsageError where networks to be averaged see a CT in different ways.

    Args:
        all_configs: list of {network name: config}, one a checkpoint.
        folders: what messages call them.
    """
    for configs, folder in zip(all_configs[1:], folders[1:], strict=True):
        for name, config in configs.items():
            ours, first = dataclasses.asdict(config), dataclasses.asdict(all_configs[0][name])
            for option in SEEN_ALIKE:
                if ours.get(option) != first.get(option):
                    raise UsageError(
                        "checkpoint_dir",
                        f"{name} has {option}={first[option]} in {folders[0]} and {ours[option]} in {folder}; "
                        "only networks that see a CT alike are averaged",
                    )


def augmented(engine, tta, configs):
    """An engine that averages over what a network says of changed views of its input, changed back.

    Args:
        engine: the `Engine`.
        tta: "none"; "shift": the input as it is, and moved by a quarter and by half of what pooling joins to one
            pixel; "flip": as it is, and with its first axis reversed (rows of an axial slab, slices of all others),
            never right for left.
        configs: {network name: config}.
    """
    unit = 2 ** max(config.depth for config in configs.values())
    views = {
        "none": [same],
        "shift": [same, *(functools.partial(shifted, unit=unit, offset=unit // part) for part in (4, 2))],
        "flip": [same, flipped],
    }[tta]
    if len(views) == 1:
        return engine
    return Mean([functools.partial(view_of, engine, change) for change in views], engine)


def view_of(engine, change, network, batches):
    """The answers of an engine to changed batches, changed back; see `Engine.probabilities`."""
    backs = collections.deque()

    def changed():
        for batch in batches:
            there, back = change(batch)
            backs.append(back)
            yield there

    for probability in engine.probabilities(network, changed()):
        yield backs.popleft()(probability)


def same(batch):
    """A view that changes nothing: the batch, and the way back of its probability."""
    return batch, lambda probability: probability


def flipped(batch):
    """The first spatial axis reversed, and the way back."""
    return batch[:, ::-1], lambda probability: probability[:, ::-1]


def shifted(batch, unit, offset):
    """Air of `offset` pixels before each spatial axis and what is lacking to `unit` after it, and the way back."""
    spatial = range(1, batch.ndim - 1)
    widths = [(offset, unit - offset) if axis in spatial else (0, 0) for axis in range(batch.ndim)]
    inside = (slice(None), *(slice(offset, offset + batch.shape[axis]) for axis in spatial))
    return np.pad(batch, widths), lambda probability: probability[inside]
