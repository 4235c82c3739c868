"""The two-stage system on arrays: a CT in, labels out."""

from __future__ import annotations

import dataclasses
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kits_tf import checkpoint, geometry, kidney_crops
from kits_tf.arrays import NumPy
from kits_tf.config import FUSIONS, PLANES, STAGES, TEST_TIME_AUGMENTATIONS, Config, KidneyConfig, TumorConfig
from kits_tf.errors import CancelledError, UsageError
from kits_tf.inference import engines, ensemble, kidney
from kits_tf.inference.fusion import THRESHOLD, Fusion, fixed_point
from kits_tf.laterality import config_of_sides, kidney_sides, kidneys

if TYPE_CHECKING:
    from kits_tf.inference.engines.base import Engine

KIDNEY, TUMOR = 1, 2
MAX_CUBE_VOXELS = 2**28
"""Most voxels of a kidney's cube that is not resized: a gigabyte as float32."""
MAX_GRID_VOXELS = 2**30
"""Most voxels of the grid that a CT is resized to for a network: four gigabytes as float32."""


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """What a segmenter found in a CT.

    Attributes:
        labels: uint8 [slices, rows, columns]: 0 background, 1 kidney, 2 tumor.
        sides: uint8 of the same shape: 0 nothing, 1 the patient's right kidney with its tumor, 2 the left.
        seconds: Time of the stages "kidney" and "tumor"; 0 for one that did not run.
        probabilities: uint16 of the same shape for each stage that ran, in units of 1 / `fusion.UNIT`; the tumor's is
            0 outside the kidneys. Empty unless requested.
    """

    labels: np.ndarray
    sides: np.ndarray
    seconds: dict[str, float]
    probabilities: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


def load_segmenter(
    name_or_folder: str | os.PathLike | Sequence[str | os.PathLike],
    engine: str = "auto",
    planes: str | Iterable[str] = PLANES,
    fusion: str = "union",
    stage: str = "both",
    precision: str = "auto",
    tta: str = "none",
) -> Segmenter:
    """Load the networks of a checkpoint.

    Args:
        name_or_folder: A checkpoint folder or the name of released weights, or several whose probabilities are
            averaged.
        engine: "auto" (the fastest that is installed), "tensorflow" or "openvino".
        planes: Planes whose networks find the kidney, as a sequence or text with commas.
        fusion: "union", "majority" or "mean" of the planes.
        stage: "both", "kidney" or "tumor": the networks to load.
        precision: "auto", "float32" or "bfloat16".
        tta: Test-time augmentation: "none", "shift" or "flip"; see `ensemble.augmented`.

    Returns:
        A `Segmenter` for use in this process.

    Raises:
        InputError: A checkpoint is missing or unreadable, or its networks do not go together.
        UsageError: An argument has no such value, the engine is not installed, or the networks cannot be averaged.

    Example:
        >>> import kits_tf
        >>> segmenter = kits_tf.load_segmenter("simulated", planes="axial", stage="kidney")
        >>> sorted(segmenter.configs)
        ['kidney_axial']
    """
    choices = (("fusion", fusion, FUSIONS), ("stage", stage, STAGES), ("tta", tta, TEST_TIME_AUGMENTATIONS))
    for flag, value, known in choices:
        if value not in known:
            raise UsageError(flag, f"must be one of {', '.join(known)}, got {value!r}")
    names = checkpoint.network_names(stage, checked_planes(planes) if stage != "tumor" else ())
    folders = checked_checkpoints(name_or_folder)
    configs = [checkpoint.load_configs(folder, names) for folder in folders]
    ensemble.check_alike(configs, folders)
    members = [engines.load(engine, folder, own, precision) for folder, own in zip(folders, configs, strict=True)]
    return Segmenter(ensemble.augmented(ensemble.mean_of(members), tta, configs[0]), configs[0], fusion)


class Segmenter:
    """The two-stage system; may be called from several threads of the process that made it.

    Args:
        engine: Runs the networks.
        configs: The config of each network, by network name. Without kidney networks every call needs a mask; without
            the tumor network labels stop at kidney.
        fusion: "union", "majority" or "mean".
    """

    def __init__(
        self, engine: Engine, configs: Mapping[str, KidneyConfig | TumorConfig], fusion: str = "union"
    ) -> None:
        self.engine = engine
        self.configs = configs
        self.fusion = fusion
        self._process = os.getpid()

    def segment(
        self,
        hu: np.ndarray,
        spacing_mm: Sequence[float],
        progress: Callable[[float], object] | None = None,
        cancel: threading.Event | None = None,
    ) -> np.ndarray:
        """Return the labels of a CT.

        Args:
            hu: [slices, rows, columns] in HU, axes I, P, L.
            spacing_mm: (slice, row, column).
            progress: Called with the share done, from 0 to 1.
            cancel: Once it is set, the work ends within a batch of slabs.

        Returns:
            uint8 [slices, rows, columns]: 0 background, 1 kidney, 2 tumor.

        Raises:
            ValueError: `hu` is not 3D, is empty or not finite as float32; a spacing is not 0.01 to 100 mm; the CT or a
                kidney is too large for the grid of its network; there is no kidney network.
            CancelledError: `cancel` was set.
            RuntimeError: The segmenter was made in another process, before a fork.
        """
        return self.run(hu, spacing_mm, progress=progress, cancel=cancel).labels

    def run(
        self,
        hu: np.ndarray,
        spacing_mm: Sequence[float],
        *,
        mask: np.ndarray | None = None,
        roi: Sequence[slice] | None = None,
        box: geometry.BodyBox | None = None,
        probabilities: bool = False,
        progress: Callable[[float], object] | None = None,
        cancel: threading.Event | None = None,
    ) -> Segmentation:
        """Segment a CT as `segment` does, with options, and return all that was found.

        Args:
            hu: [slices, rows, columns] in HU, axes I, P, L.
            spacing_mm: (slice, row, column).
            mask: bool of the CT's shape that replaces the result of stage 1. As there, pieces under 2 ml and those
                under `min_component_share` of the largest on their side are dropped.
            roi: Region of interest as slices of (slices, rows, columns). The CT is cut to its slices; outside its rows
                and columns nothing is kidney.
            box: The body box where it is known, such as of a prepared case.
            probabilities: Whether to return probabilities; 4 bytes more a voxel.
            progress: As in `segment`.
            cancel: As in `segment`.

        Raises:
            ValueError: Also for a mask of another shape, or a region without a voxel of the CT.
        """
        if os.getpid() != self._process:
            raise RuntimeError("a segmenter must be loaded in the process that uses it, after the fork")
        hu, spacing = checked_ct(hu, spacing_mm)
        slices, *inplane = checked_roi(roi, hu.shape)
        if mask is not None and np.shape(mask) != hu.shape:
            raise ValueError(f"mask must have the CT's shape {hu.shape}, got {np.shape(mask)}")
        given = None if mask is None else np.asarray(mask, bool)[slices]

        def report(share: float) -> None:
            if cancel is not None and cancel.is_set():
                raise CancelledError
            if progress is not None:
                progress(share)

        case = _Case(self, hu[slices], spacing, box, probabilities, report)
        arrays = case.run(given, (slice(None), *inplane))
        for name in arrays:
            arrays[name] = placed(arrays[name], slices, hu.shape)  # one by one: each exists twice meanwhile
        return Segmentation(arrays.pop("labels"), arrays.pop("sides"), case.seconds, arrays)


class _Case:
    """One CT on its way through both stages; arguments as of `Segmenter.run`."""

    def __init__(
        self,
        segmenter: Segmenter,
        hu: np.ndarray,
        spacing_mm: tuple[float, float, float],
        body: geometry.BodyBox | None,
        keeps_probabilities: bool,
        progress: Callable[[float], None],
    ) -> None:
        self._segmenter, self._hu, self._spacing_mm, self._body = segmenter, hu, spacing_mm, body
        self._keeps, self._progress = keeps_probabilities, progress
        self._kidney_configs = {n: c for n, c in segmenter.configs.items() if isinstance(c, KidneyConfig)}
        self.seconds = {"kidney": 0.0, "tumor": 0.0}

    def run(self, mask: np.ndarray | None, inside: tuple[slice, ...]) -> dict[str, np.ndarray]:
        """Return "labels", "sides" and the probabilities; nothing outside `inside` is kidney."""
        start = time.perf_counter()
        kept: dict[str, np.ndarray] = {}
        if mask is None:
            mask = self._kidney_mask(kept)
        sides_config = config_of_sides(self._segmenter.configs)
        middle = geometry.middle_column(self._box(sides_config).columns)
        kept = {name: only_inside(array, inside) for name, array in kept.items()}
        sides = kidney_sides(only_inside(mask, inside), self._spacing_mm, middle, sides_config.min_component_share)
        del mask
        labels = np.minimum(sides, KIDNEY)
        self.seconds["kidney"] = time.perf_counter() - start
        tumor = self._segmenter.configs.get("tumor")
        if isinstance(tumor, TumorConfig):
            start = time.perf_counter()
            if self._keeps:
                kept["tumor"] = np.zeros(self._hu.shape, np.uint16)
            self._add_tumors(tumor, labels, sides, kept.get("tumor"))
            self.seconds["tumor"] = time.perf_counter() - start
        self._progress(1.0)
        return {"labels": labels, "sides": sides, **kept}

    def _box(self, config: Config) -> geometry.BodyBox:
        """Return the part of the CT that a network sees: the body, found once, or the whole image."""
        if not config.body_box:
            return geometry.whole_box(self._hu.shape)
        self._body = self._body or geometry.body_box(self._hu)
        return self._body

    def _kidney_mask(self, kept: dict[str, np.ndarray]) -> np.ndarray:
        """Return stage 1: the fused mask of all planes, before component filtering; adds to `kept` what is kept."""
        if not self._kidney_configs:
            raise ValueError("no kidney network is loaded: a kidney mask is required")
        count = len(self._kidney_configs)
        fusion = Fusion(self._hu.shape, self._segmenter.fusion, count, self._keeps)
        working: dict[bool, dict] = {}
        for number, (name, config) in enumerate(self._kidney_configs.items()):
            box = self._box(config)
            index = (slice(None), slice(*box.rows), slice(*box.columns))
            grid = geometry.working_shape(self._hu[index].shape, self._spacing_mm, config)
            if not geometry.is_native(config):
                check_size(f"the working grid of {name}", grid, MAX_GRID_VOXELS)
            done, total = 0, grid[geometry.AXIS[config.plane]] * (1 if config.plane == "sagittal" else 2)

            def count_slabs(slabs: int, number: int = number, total: int = total) -> None:
                nonlocal done
                done += slabs
                self._progress(0.8 * ((number * total + done) / (count * total)))

            kidney.stage_one(
                self._segmenter.engine, name, config, self._hu[index], self._spacing_mm, fusion.region(index),
                count_slabs, working.setdefault(config.body_box, {}),
            )  # fmt: skip
        mask = fusion.mask()
        if self._keeps:
            kept["kidney"] = fusion.probability()
        return mask

    def _add_tumors(self, config: TumorConfig, labels: np.ndarray, sides: np.ndarray, kept: np.ndarray | None) -> None:
        """Run stage 2: write label 2 where a kidney's tumor is more likely than not, and probabilities to `kept`."""
        for found in kidneys(sides):
            self._progress(0.8 if found.side == 1 else 0.9)
            mask = sides[found.box] == found.side
            if not config.grid:
                padding = kidney_crops.native_padding(
                    NumPy, mask.shape, self._spacing_mm, config.margin_mm, 2**config.depth
                )
                sizes = [size + sum(map(int, widths)) for size, widths in zip(mask.shape, padding, strict=True)]
                check_size("a kidney's cube", sizes, MAX_CUBE_VOXELS)
            parts = self._segmenter.engine.stage_two(config, self._hu[found.box], mask, self._spacing_mm)
            for part, probability in parts:
                inside = mask[part]
                labels[found.box][part][inside & (probability > THRESHOLD)] = TUMOR
                if kept is not None:
                    kept[found.box][part][inside] = fixed_point(probability[inside])


def check_size(what: str, shape: Sequence[int], most: int) -> None:
    """Raise ValueError where an array of that shape would have more than `most` voxels."""
    if math.prod(shape) > most:
        raise ValueError(f"{what} would have {'x'.join(map(str, shape))} voxels, more than {most}")


def only_inside(array: np.ndarray, index: tuple[slice, ...]) -> np.ndarray:
    """Return an array with zeros outside a region; the array itself where the region is all of it."""
    if array[index].shape == array.shape:
        return array
    inside = np.zeros_like(array)
    inside[index] = array[index]
    return inside


def placed(part: np.ndarray, slices: slice, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of some slices as one of all, zero elsewhere; the array itself where these are all."""
    if part.shape == shape:
        return part
    whole = np.zeros(shape, part.dtype)
    whole[slices] = part
    return whole


def checked_checkpoints(name_or_folder: Any) -> list:
    """Return the folders of a name or folder, or of several; UsageError where one is neither or is named twice."""
    names = list(name_or_folder) if isinstance(name_or_folder, (list, tuple)) else [name_or_folder]
    if not names or not all(isinstance(one, (str, os.PathLike)) and one != "" for one in names):
        must = "must be a checkpoint folder, the name of released weights or a list of these"
        raise UsageError("checkpoint_dir", f"{must}, got {name_or_folder!r}")
    folders = [checkpoint.find(name) for name in names]
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise UsageError("checkpoint_dir", f"{folder} is named twice; only different checkpoints are averaged")
    return folders


def checked_planes(planes: Any) -> list[str]:
    """Return planes as a list; UsageError unless they are one or more of PLANES, each once."""
    texts = planes.split(",") if isinstance(planes, str) else planes if isinstance(planes, (list, tuple)) else []
    found = [str(plane).strip() for plane in texts]
    if not found or not set(found) <= set(PLANES) or len(set(found)) < len(found):
        raise UsageError("planes", f"must be one or more of {','.join(PLANES)}, each once, got {planes!r}")
    return found


def checked_ct(hu: Any, spacing_mm: Any) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Return a CT as an array and float32 spacing, as the exported system sees it; ValueError for what is no CT."""
    hu = np.asarray(hu)
    if hu.ndim != 3 or 0 in hu.shape or hu.dtype.kind not in "iuf":
        raise ValueError(f"hu must be numbers [slices, rows, columns], got {hu.dtype} of shape {hu.shape}")
    for image in hu if hu.dtype.kind == "f" else ():
        with np.errstate(over="ignore"):
            if not np.isfinite(image.astype(np.float32, copy=False)).all():
                raise ValueError("hu must be finite as float32")
    low, high = geometry.SPACING_MM
    try:
        sides = np.asarray(spacing_mm, np.float64)
    except (TypeError, ValueError):
        sides = np.zeros(0)
    if sides.shape != (3,) or not ((sides >= low) & (sides <= high)).all():
        must = f"must be three numbers (slice, row, column) from {low:g} to {high:g}"
        raise ValueError(f"spacing_mm {must}, got {spacing_mm!r}")
    slice_mm, row_mm, column_mm = sides.astype(np.float32).tolist()
    return hu, (slice_mm, row_mm, column_mm)


def checked_roi(roi: Any, shape: tuple[int, ...]) -> list[slice]:
    """Return a region of interest, None for all, with bounds inside the shape; ValueError where there is none."""
    roi = (slice(None),) * 3 if roi is None else roi
    try:
        bounds = [slice(*part.indices(size)[:2]) for part, size in zip(roi, shape, strict=True)]
        is_plain = all(part.step in (None, 1) for part in roi)
    except (AttributeError, TypeError, ValueError):
        is_plain = False
    if not is_plain:
        raise ValueError(f"roi must be three slices of whole numbers without a step, got {roi!r}")
    if any(part.start >= part.stop for part in bounds):
        raise ValueError(f"roi {roi!r} holds no voxel of a CT of shape {shape}")
    return bounds
