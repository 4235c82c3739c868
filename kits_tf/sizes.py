"""Sizes that a network can be trained at; others are refused before anything is done."""

from kits_tf.errors import UsageError

PATCH_SIDES = {
    "axial": ("patch_rows", "patch_columns"),
    "coronal": ("patch_slices", "patch_columns"),
    "sagittal": ("patch_slices", "patch_rows"),
}
"""The options that are the height and width of a plane's training patch."""


def patch_size(config):
    """Height and width of a training patch, in pixels of the working grid."""
    height, width = PATCH_SIDES[config.plane]
    return getattr(config, height), getattr(config, width)


def check_sizes(config):
    """Refuses patches that the network cannot pool.

    Args:
        config: a KidneyConfig, or a TumorConfig, which has none: it checks its grid itself.

    Raises:
        UsageError: names the option, its value and what it takes.
    """
    if config.stage == "tumor":
        return
    for name, side in zip(PATCH_SIDES[config.plane], patch_size(config), strict=True):
        if side % 2**config.depth:
            raise UsageError("set", f"{name}={side}: takes a multiple of 2**depth, here 2**{config.depth}")
