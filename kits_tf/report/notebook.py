"""A CT and its labels in a notebook, in NiiVue. Needs the extra `viewer`."""

from __future__ import annotations

import pathlib
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from kits_tf import palette
from kits_tf.io.volume import Volume, write_labels, write_volume
from kits_tf.report.figures import WINDOW_HU

if TYPE_CHECKING:
    import ipyniivue

OPACITY = 0.5
_HEIGHT = 500  # pixels


def show(volume: Volume, labels: np.ndarray | None = None) -> ipyniivue.NiiVue:
    """Show a CT and its labels in a notebook, in three planes and in 3D.

    Args:
        volume: the CT, see `read_volume`.
        labels: uint8 [slices, rows, columns], the shape of the CT: 0 background, 1 kidney, 2 tumor; None for the CT
            alone.

    Returns:
        The widget; it is shown if it is the last value of a cell.

    Raises:
        ImportError: ipyniivue is not installed.
        ValueError: labels and CT differ in shape.

    Example:
        >>> kits_tf.show(volume, labels)  # doctest: +SKIP
    """
    try:
        import ipyniivue
    except ImportError:
        raise ImportError("kits_tf.show needs ipyniivue; install this package's extra `viewer`") from None
    shown: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "ct.nii.gz")
        write_volume(volume, path)
        low, high = WINDOW_HU
        shown.append(
            {"data": path.read_bytes(), "name": path.name, "colormap": "gray", "cal_min": low, "cal_max": high}
        )
        if labels is not None:
            path = pathlib.Path(folder, "labels.nii.gz")
            write_labels(labels, volume, path)
            shown.append({"data": path.read_bytes(), "name": path.name, "opacity": OPACITY})
    viewer = ipyniivue.NiiVue(height=_HEIGHT, slice_type=ipyniivue.SliceType.MULTIPLANAR)
    viewer.load_volumes(shown)
    if labels is not None:
        viewer.volumes[1].set_colormap_label(label_colors())
    return viewer


def label_colors() -> dict[str, list]:
    """Return NiiVue's description of the labels: red, green, blue, opacity, value and name of each.

    Example:
        >>> label_colors()["labels"]
        ['', 'kidney', 'tumor']
    """
    colors = [(0, 0, 0, 0), *((*bytes.fromhex(color[1:]), 255) for color in (palette.KIDNEY, palette.TUMOR))]
    red, green, blue, opacity = (list(channel) for channel in zip(*colors, strict=True))
    return {"R": red, "G": green, "B": blue, "A": opacity, "I": [0, 1, 2], "labels": ["", "kidney", "tumor"]}
