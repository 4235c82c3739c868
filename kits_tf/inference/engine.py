"""What every engine does: run networks, and the arithmetic between them."""

import functools

import numpy as np

from kits_tf import geometry
from kits_tf.arrays import NumPy
from kits_tf.inference.kidney import BATCH_PIXELS
from kits_tf.inference.tumor import stage_two_in_parts


class Engine:
    """Runs networks; a subclass gives `name`, `precision` and `probability`, and what it does by better means.

    It may be used from several threads at once.

    Attributes:
        name: as `--engine` takes it.
        precision: "float32" or "bfloat16".
        batch_pixels: pixels of the batches of slabs that suit it.
    """

    name = None
    precision = "float32"
    batch_pixels = BATCH_PIXELS

    def probability(self, network, batch):
        """Foreground probability.

        Args:
            network: "kidney_axial", "kidney_coronal", "kidney_sagittal" or "tumor".
            batch: float32 [batch, height, width, 3], or [batch, depth, height, width, 1] for the tumor; sizes
                divisible by what the network's depth needs.

        Returns:
            float32, the batch's shape without its last axis.
        """
        raise NotImplementedError

    def probabilities(self, network, batches):
        """`probability` of each of an iterable of batches, in order, as they come."""
        for batch in batches:
            yield self.probability(network, batch)

    def resize(self, part, slices, rows, columns):
        """`geometry.resize` of a float32 array."""
        return geometry.resize(NumPy, part, slices, rows, columns)

    def stage_two(self, config, hu, mask, spacing_mm):
        """The tumor's probability in one kidney, some slices at a time; see `tumor.stage_two_in_parts`."""
        run = functools.partial(self.probabilities, "tumor")
        return stage_two_in_parts(run, config, hu, np.asarray(mask), spacing_mm)
