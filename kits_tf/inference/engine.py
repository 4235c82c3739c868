"""What every engine does: run networks, and the arithmetic between them."""

import functools

import numpy as np

from kits_tf import working_grid
from kits_tf.arrays import NumPy
from kits_tf.inference.tumor import stage_two


class Engine:
    """Runs networks; a subclass gives `name` and `probability`, and resizes by other means if it has them."""

    name = None

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

    def resize(self, part, slices, rows, columns):
        """`geometry.resize` of a float32 array."""
        return working_grid.resize(part, slices, rows, columns)

    def stage_two(self, config, hu, mask, spacing_mm):
        """The tumor's probability in one kidney; see `tumor.stage_two`."""
        return stage_two(NumPy, functools.partial(self.probability, "tumor"), config, hu, np.asarray(mask), spacing_mm)
