"""The interface of an engine, and the arithmetic around the tumor network that engines share."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import numpy as np

from kits_tf.config import TumorConfig
from kits_tf.inference.kidney import BATCH_PIXELS
from kits_tf.inference.tumor import stage_two_in_parts


class Engine:
    """Runs networks, from several threads at once; a subclass defines `probability` or `probabilities`."""

    name = ""  # as `--engine` spells it
    precision = "float32"
    batch_pixels = BATCH_PIXELS  # of a batch of slabs that suits the engine

    def prepare(self, network: str, shape: tuple[int, ...]) -> None:
        """Announce that batches of this shape will follow, so that an engine can compile in the meantime."""

    def probability(self, network: str, batch: np.ndarray) -> np.ndarray:
        """Return the foreground probability of a batch, float32 of the batch's shape without its last axis.

        A batch is float32 [batch, height, width, 3], or [batch, depth, height, width, 1] for the network "tumor"; its
        sizes are multiples of two to the power of the network's depth.
        """
        return next(self.probabilities(network, [batch]))

    def probabilities(self, network: str, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the `probability` of each batch, in order."""
        for batch in batches:
            yield self.probability(network, batch)

    def stage_two(
        self, config: TumorConfig, hu: np.ndarray, mask: np.ndarray, spacing_mm: tuple[float, float, float]
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the tumor probability of one kidney, a few slices at a time; see `tumor.stage_two_in_parts`."""
        return stage_two_in_parts(functools.partial(self.probabilities, "tumor"), config, hu, mask, spacing_mm)
