"""Read and check organ label maps, a user's own or the bundled ones."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib

import numpy as np

from kits_tf.errors import InputError
from kits_tf.io import volume
from kits_tf.simulation.refinement import UNLABELLED, OrganMap, refine
from kits_tf.simulation.structures import INDEX, KIDNEYS, indices, structure_of

PathLike = str | os.PathLike

BUNDLED = pathlib.Path(__file__).parent / "maps"
"""Folder of the bundled maps, their legend and licences."""


@dataclasses.dataclass(frozen=True)
class Anatomy:
    """The files that describe one body.

    Attributes:
        labels: NIfTI file of organ labels.
        legend: JSON file that names the labels.
        ct: The CT on the same grid, which separates fat, muscle, bone and gas where there is no label; None to guess
            them from the labels' shape.
    """

    labels: PathLike
    legend: PathLike
    ct: PathLike | None = None


def bundled_anatomies() -> tuple[Anatomy, ...]:
    """Return the bundled organ maps."""
    legend = BUNDLED / "legend.json"
    return tuple(Anatomy(path, legend) for path in sorted(BUNDLED.glob("*.nii.gz")))


def read_legend(path: PathLike) -> dict[int, str]:
    """Read a legend: JSON such as {"2": "kidney_right"} or {"2": {"name": "kidney_right"}}.

    Returns:
        The name of each label.

    Raises:
        InputError: The file is missing or no legend, or none of its names is a kidney's.
    """
    try:
        entries = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        names = {int(label): entry if isinstance(entry, str) else entry["name"] for label, entry in entries.items()}
        if not all(isinstance(name, str) for name in names.values()):
            raise TypeError
    except OSError as error:
        raise InputError(path, error.strerror or error) from None
    except (ValueError, AttributeError, KeyError, TypeError):
        raise InputError(path, 'is not a legend; must be JSON such as {"2": "kidney_right"}') from None
    if not any(structure_of(name).startswith("kidney") for name in names.values()):
        raise InputError(path, "names no kidney")
    return names


def read_structures(path: PathLike, legend: dict[int, str]) -> tuple[np.ndarray, tuple[float, ...]]:
    """Read an organ label map as structures.

    Args:
        path: A NIfTI file in any orientation.
        legend: The name of each label.

    Returns:
        (structures, spacing_mm): uint8 [slices, rows, columns], axes (I, P, L), numbers of `structures.STRUCTURES` and
        `refinement.UNLABELLED`; (slice, row, column).

    Raises:
        InputError: The file is unreadable, or holds no labels, labels beyond the legend, or no kidney.
    """
    read = volume.read_volume(path)
    labels = read.hu
    values = np.unique(labels)
    if (values != np.rint(values)).any():
        raise InputError(path, f"labels must be whole numbers, got {values[values != np.rint(values)][0]:g}")
    found = [int(value) for value in values if value]
    if not found:
        raise InputError(path, "holds no labels")
    unknown = sorted(set(found) - set(legend))
    if unknown:
        raise InputError(path, f"holds the label {unknown[0]}, which the legend does not name")
    structures = np.full(labels.shape, UNLABELLED, np.uint8)
    for label in found:
        structure = structure_of(legend[label])
        where = labels == label
        if structure == "kidney":
            right = np.arange(labels.shape[2]) < labels.shape[2] / 2
            structures[where & right] = INDEX["kidney_right"]
            structures[where & ~right] = INDEX["kidney_left"]
        else:
            structures[where] = INDEX[structure]
    if not np.isin(structures, indices(KIDNEYS)).any():
        raise InputError(path, "holds no kidney")
    return structures, tuple(read.spacing_mm)


def check_ct(ct: PathLike, shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> None:
    """Check that a CT lies on its organ map's grid, by shape and spacing, since origins are often lost.

    Raises:
        InputError: It does not.
    """
    grid = volume.read_grid(ct)
    if tuple(grid.shape) != tuple(shape) or not np.allclose(grid.spacing_mm, spacing_mm, rtol=0.01):
        raise InputError(ct, f"is on another grid than its organ map, of {shape}")


@functools.lru_cache(maxsize=3)
def load(anatomy: Anatomy) -> OrganMap:
    """Return the refined organ map of an anatomy; the last ones are kept, as refining takes seconds.

    Raises:
        InputError: An unusable map, legend or CT.
    """
    structures, spacing_mm = read_structures(anatomy.labels, read_legend(anatomy.legend))
    if anatomy.ct is None:
        return refine(structures, spacing_mm)
    check_ct(anatomy.ct, structures.shape, spacing_mm)
    return refine(structures, spacing_mm, volume.read_volume(anatomy.ct).hu)
