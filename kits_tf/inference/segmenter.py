"""The two-stage system on arrays: a CT in, labels out."""

from __future__ import annotations

import dataclasses
import functools
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kits_tf import checkpoint, geometry, kidney_crops
from kits_tf.arrays import NumPy
from kits_tf.config import FUSIONS, PLANES, STAGES, TEST_TIME_AUGMENTATIONS, Config, KidneyConfig, TumorConfig
from kits_tf.errors import CancelledError, UsageError
from kits_tf.inference import engines, ensemble, kidney
from kits_tf.inference.fusion import THRESHOLD, fixed_point, fusion_of_planes, mask_of
from kits_tf.inference.tumor import block_shape
from kits_tf.laterality import config_of_sides, kidney_sides, kidneys, with_context

if TYPE_CHECKING:
    from kits_tf.inference.engines.base import Engine

KIDNEY, TUMOR = 1, 2
MAX_CUBE_VOXELS = 2**28  # of a kidney's cube at the CT's own voxels: a gigabyte as float32


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """What a segmenter found in a CT; arrays are [slices, rows, columns].

    `probabilities` are empty unless requested: "kidney" and "tumor", uint16 in units of 1 / `fusion.UNIT`. Those of
    tumor are 0 outside what stage 2 sees.
    """

    labels: np.ndarray  # uint8: 0 background, 1 kidney, 2 tumor
    sides: np.ndarray  # uint8: 0 nothing, 1 the patient's right kidney with its tumor, 2 the left
    seconds: dict[str, float]  # of the stages "kidney" and "tumor"; 0 for one that did not run
    probabilities: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


def load_segmenter(
    name_or_folder: str | os.PathLike | Sequence[str | os.PathLike],
    engine: str = "auto",
    planes: str | Iterable[str] = PLANES,
    fusion: str | None = None,
    stage: str = "both",
    precision: str = "auto",
    tta: str = "none",
) -> Segmenter:
    """Load the networks of a checkpoint, or of an ensemble of checkpoints.

    Args:
        name_or_folder: A checkpoint folder or the name of released weights, or a list of these for an ensemble.
        engine: "auto" (the fastest that is installed), "tensorflow" or "openvino".
        planes: Planes whose networks segment the kidneys, as a sequence or comma-separated text.
        fusion: How to fuse the planes: "union", "majority" or "mean"; None for the checkpoint's own way.
        stage: "both", "kidney" or "tumor": the networks to load.
        precision: "auto", "float32" or "bfloat16".
        tta: Test-time augmentation: "none", "shift" or "flip"; see `ensemble.augmented`.

    Returns:
        A `Segmenter`, for use in this process only.

    Raises:
        InputError: A checkpoint is missing or unreadable, or its networks do not go together.
        UsageError: An argument has no such value, the engine is not installed, or the networks cannot be averaged.

    Example:
        >>> import kits_tf
        >>> segmenter = kits_tf.load_segmenter("default", planes="axial", stage="kidney")
        >>> sorted(segmenter.configs)
        ['kidney_axial']
    """
    choices: list[tuple[str, str, Sequence[str]]] = [("stage", stage, STAGES), ("tta", tta, TEST_TIME_AUGMENTATIONS)]
    choices += [("fusion", fusion, FUSIONS)] if fusion is not None else []
    for flag, value, known in choices:
        if value not in known:
            raise UsageError(flag, f"must be one of {', '.join(known)}, got {value!r}")
    names = checkpoint.network_names(stage, checked_planes(planes) if stage != "tumor" else ())
    folders = checked_checkpoints(name_or_folder)
    configs = [checkpoint.load_configs(folder, names) for folder in folders]
    ensemble.check_compatible(configs, folders)
    members = [engines.load(engine, folder, own, precision) for folder, own in zip(folders, configs, strict=True)]
    notice = " ".join(filter(None, dict.fromkeys(map(checkpoint.load_notice, folders))))
    return Segmenter(ensemble.augmented(ensemble.mean_of(members), tta, configs[0]), configs[0], fusion, notice)


class Segmenter:
    """The two-stage system. Several threads of the process that loaded it may share it.

    Args:
        engine: Runs the networks.
        configs: The config of each network, by network name. Without kidney networks, each call needs a mask; without
            the tumor network, no tumor is labelled.
        fusion: "union", "majority" or "mean"; None for the configs' own.
        notice: Notice for users of the weights; see `checkpoint.load_notice`.
    """

    def __init__(
        self,
        engine: Engine,
        configs: Mapping[str, KidneyConfig | TumorConfig],
        fusion: str | None = None,
        notice: str = "",
    ) -> None:
        self.engine = engine
        self.configs = configs
        self.fusion = fusion_of_planes(configs) if fusion is None else fusion
        self.notice = notice
        self._process = os.getpid()
        self.prepare_tumor()

    def prepare_tumor(self) -> None:
        """Let the engine prepare the tumor network, if the shape of its input does not depend on the CT."""
        tumor = self.configs.get("tumor")
        if isinstance(tumor, TumorConfig) and tumor.grid:
            self.engine.prepare("tumor", block_shape(tumor))

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
            progress: Called with the fraction done, from 0 to 1.
            cancel: Set it to stop the call, which then ends within one batch.

        Returns:
            uint8 [slices, rows, columns]: 0 background, 1 kidney, 2 tumor.

        Raises:
            ValueError: `hu` is not 3D, is empty or not finite as float32; a spacing is not 0.01 to 100 mm; the CT or a
                kidney is too large for the grid of its network; there is no kidney network.
            CancelledError: `cancel` was set.
            RuntimeError: The segmenter was loaded in another process, before a fork.
        """
        return self.run(hu, spacing_mm, progress=progress, cancel=cancel).labels

    def run(
        self,
        hu: np.ndarray,
        spacing_mm: Sequence[float],
        *,
        mask: np.ndarray | None = None,
        roi: Sequence[slice] | None = None,
        probabilities: bool = False,
        progress: Callable[[float], object] | None = None,
        cancel: threading.Event | None = None,
    ) -> Segmentation:
        """Segment a CT with options and return all results; see `segment` for errors and other arguments.

        Args:
            hu: [slices, rows, columns] in HU, axes I, P, L.
            spacing_mm: (slice, row, column).
            mask: bool, in the shape of the CT, that replaces the result of stage 1. Components smaller than
                `min_component_ml` are dropped.
            roi: Region of interest as three `slice` objects (slices, rows, columns). The networks do not see slices
                outside it; everything outside it is background.
            probabilities: Whether to return probabilities, which take 4 bytes more per voxel.
            progress: As in `segment`.
            cancel: As in `segment`.
        """
        if os.getpid() != self._process:
            raise RuntimeError("a segmenter must be loaded in the process that uses it, after the fork")
        hu, spacing = checked_ct(hu, spacing_mm)
        slices, *inplane = checked_roi(roi, hu.shape)
        if mask is not None and np.shape(mask) != hu.shape:
            raise ValueError(f"mask must have the CT's shape {hu.shape}, got {np.shape(mask)}")

        def report(share: float) -> None:
            if cancel is not None and cancel.is_set():
                raise CancelledError
            if progress is not None:
                progress(share)

        case = _Case(self, hu[slices], spacing, probabilities, report)
        arrays = case.run(None if mask is None else np.asarray(mask, bool)[slices], (slice(None), *inplane))
        for name in arrays:
            arrays[name] = placed(arrays[name], (slices,), hu.shape)  # one by one, since each needs memory twice
        return Segmentation(arrays.pop("labels"), arrays.pop("sides"), case.seconds, arrays)


@dataclasses.dataclass
class _Case:
    """One CT in both stages; attributes as the arguments of `Segmenter.run`."""

    segmenter: Segmenter
    hu: np.ndarray
    spacing_mm: tuple[float, float, float]
    keeps_probabilities: bool
    progress: Callable[[float], None]
    seconds: dict[str, float] = dataclasses.field(default_factory=lambda: {"kidney": 0.0, "tumor": 0.0})

    def run(self, mask: np.ndarray | None, inside: tuple[slice, ...]) -> dict[str, np.ndarray]:
        """Return "labels", "sides" and the probabilities; everything outside `inside` is background."""
        start = time.perf_counter()
        kept: dict[str, np.ndarray] = {}
        self.segmenter.prepare_tumor()  # again, since other networks may have taken its place in a cache
        agreed = None
        sides_config = config_of_sides(self.segmenter.configs)
        if mask is None:
            mask, agreed = self._kidney_mask(kept, sides_config)
        middle = geometry.middle_column(self._box(sides_config).columns)
        kept = {name: placed(array[inside], inside, array.shape) for name, array in kept.items()}
        mask = placed(mask[inside], inside, mask.shape)
        least = sides_config.min_component_ml, sides_config.min_agreement
        sides = kidney_sides(mask, self.spacing_mm, middle, *least, agreed)
        del mask, agreed
        labels = np.minimum(sides, KIDNEY)
        self.seconds["kidney"] = time.perf_counter() - start
        tumor = self.segmenter.configs.get("tumor")
        if isinstance(tumor, TumorConfig):
            start = time.perf_counter()
            if self.keeps_probabilities:
                kept["tumor"] = np.zeros(self.hu.shape, np.uint16)
            probability = kept["tumor"][inside] if self.keeps_probabilities else None
            self._add_tumors(tumor, self.hu[inside], labels[inside], sides[inside], probability)
            self.seconds["tumor"] = time.perf_counter() - start
        self.progress(1.0)
        return {"labels": labels, "sides": sides, **kept}

    @functools.cached_property
    def _body(self) -> geometry.BodyBox:
        """The box of the patient's body."""
        return geometry.body_box(self.hu, self.spacing_mm)

    def _box(self, config: Config) -> geometry.BodyBox:
        """Return the part of the CT that a network sees: the body or the whole image."""
        return self._body if config.body_box else geometry.whole_box(self.hu.shape)

    def _kidney_mask(self, kept: dict[str, np.ndarray], sides_config: Config) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the fused mask of stage 1 and, if components are selected by agreement, where all planes agree.

        The probability is added to `kept` if requested.
        """
        configs = {name: c for name, c in self.segmenter.configs.items() if isinstance(c, KidneyConfig)}
        if not configs:
            raise ValueError("no kidney network is loaded: a kidney mask is required")
        methods: dict[str, type] = {self.segmenter.fusion: np.uint16 if self.keeps_probabilities else bool}
        if sides_config.min_agreement:
            methods["all"] = bool
        probability, *agreed = kidney.stage_one(
            self.segmenter.engine, configs, self.hu, self._body, self.spacing_mm, methods,
            lambda share: self.progress(0.8 * share),
        )  # fmt: skip
        if self.keeps_probabilities:
            kept["kidney"] = probability
        return mask_of(probability), agreed[0] if agreed else None

    def _add_tumors(
        self, config: TumorConfig, hu: np.ndarray, labels: np.ndarray, sides: np.ndarray, kept: np.ndarray | None
    ) -> None:
        """Run stage 2: write label 2 where a kidney's tumor is more likely than not, and probabilities to `kept`.

        All arrays cover the part of the CT that is segmented. Tumor outside the mask of stage 1 is added to `sides`.
        """
        for found, mask in [with_context(sides, one, self.spacing_mm, config.context_mm) for one in kidneys(sides)]:
            self.progress(0.8 if found.side == 1 else 0.9)
            if not config.grid:
                multiple = 2**config.depth
                padding = kidney_crops.native_padding(NumPy, mask.shape, self.spacing_mm, config.margin_mm, multiple)
                sizes = (np.asarray(mask.shape) + np.sum(padding, axis=1)).tolist()
                kidney.check_size("a kidney's cube", sizes, MAX_CUBE_VOXELS)
            for part, probability in self.segmenter.engine.stage_two(config, hu[found.box], mask, self.spacing_mm):
                seen, side = mask[part], sides[found.box][part]
                is_tumor = seen & (probability > THRESHOLD)
                labels[found.box][part][is_tumor] = TUMOR
                side[is_tumor & (side == 0)] = found.side
                if kept is not None:
                    before = kept[found.box][part]
                    before[seen] = np.maximum(before[seen], fixed_point(NumPy, probability[seen]))


def placed(part: np.ndarray, index: tuple[slice, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of zeros with a part filled in; a part of the full shape is returned unchanged."""
    if part.shape == shape:
        return part
    whole = np.zeros(shape, part.dtype)
    whole[index] = part
    return whole


def checked_checkpoints(names: str | os.PathLike | Sequence[str | os.PathLike]) -> list[Path]:
    """Return the folders of checkpoints; UsageError for none or a repeated one, InputError for a missing one."""
    folders = [checkpoint.find(name) for name in ([names] if isinstance(names, (str, os.PathLike)) else names)]
    if not folders or len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError("checkpoint_dir", f"must be one or more checkpoints, each once, got {names!r}")
    return folders


def checked_planes(planes: str | Iterable[str]) -> list[str]:
    """Return planes as a list; UsageError unless they are one or more of PLANES, each once."""
    found = [plane.strip() for plane in (planes.split(",") if isinstance(planes, str) else planes)]
    if not found or not set(found) <= set(PLANES) or len(set(found)) < len(found):
        raise UsageError("planes", f"must be one or more of {','.join(PLANES)}, each once, got {planes!r}")
    return found


def checked_ct(hu: np.ndarray, spacing_mm: Sequence[float]) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Return a CT as an array and float32 spacing, as the exported system sees it; ValueError if it is not a CT."""
    hu = np.asarray(hu)
    if hu.ndim != 3 or 0 in hu.shape or hu.dtype.kind not in "iuf":
        raise ValueError(f"hu must be numbers [slices, rows, columns], got {hu.dtype} of shape {hu.shape}")
    if not max(-float(hu.min()), float(hu.max())) <= float(np.finfo(np.float32).max):  # nor if it is NaN
        raise ValueError("hu must be finite as float32")
    low, high = geometry.SPACING_MM
    sides = np.asarray(spacing_mm, np.float64)
    if sides.shape != (3,) or not ((sides >= low) & (sides <= high)).all():
        must = f"must be three numbers (slice, row, column) from {low:g} to {high:g}"
        raise ValueError(f"spacing_mm {must}, got {spacing_mm!r}")
    slice_mm, row_mm, column_mm = sides.astype(np.float32).tolist()
    return hu, (slice_mm, row_mm, column_mm)


def checked_roi(roi: Sequence[slice] | None, shape: tuple[int, ...]) -> list[slice]:
    """Return a region of interest, None for all, with bounds inside the shape; ValueError if it is unusable."""
    parts = (slice(None),) * 3 if roi is None else tuple(roi)
    if len(parts) != 3 or not all(isinstance(part, slice) for part in parts):
        raise ValueError(f"roi must be three slices (slices, rows, columns), got {roi!r}")
    bounds = [part.indices(size) for part, size in zip(parts, shape, strict=True)]
    if any(start >= stop or step != 1 for start, stop, step in bounds):
        raise ValueError(f"roi {roi!r} has a step, or holds no voxel of a CT of shape {shape}")
    return [slice(start, stop) for start, stop, _ in bounds]
