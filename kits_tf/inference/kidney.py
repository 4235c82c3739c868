"""Stage 1 of prediction: the slabs of each plane through its network, then fusion, back on the CT's grid.

Functions with the argument `xp` run on NumPy arrays and on TensorFlow tensors (see `arrays`).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from kits_tf import geometry
from kits_tf.arrays import NumPy
from kits_tf.boxes import bounding_box
from kits_tf.config import KidneyConfig
from kits_tf.inference.fusion import THRESHOLD, Fusion

if TYPE_CHECKING:
    from kits_tf.inference.engines.base import Engine

BATCH_PIXELS = 2**18  # of a batch: enough to fill a device, little enough for memory
MAX_GRID_VOXELS = 2**27  # of the grid that a CT is resized to for a network: half a gigabyte as float32

Part: TypeAlias = tuple[tuple[slice, ...], np.ndarray]
"""A part of a volume: its index, and the probability there."""


def stage_one(
    engine: Engine, configs: Mapping[str, KidneyConfig], hu: np.ndarray, body: geometry.BodyBox,
    spacing_mm: tuple[float, float, float], methods: Mapping[str, type], progress: Callable[[float], None],
) -> list[np.ndarray]:  # fmt: skip
    """Return the kidney probability of all planes, fused by one or more methods.

    Args:
        engine: Runs the networks.
        configs: The config of each network, by network name.
        hu: [slices, rows, columns] in HU.
        body: Box of the patient's body.
        spacing_mm: (slice, row, column).
        methods: How to fuse the planes, see `Fusion`, and as what type to keep each result, see `fusion.stored`.
        progress: Called with the fraction done.

    Returns:
        Arrays of the CT's shape and of these types, but uint16 instead of bool for a mean on the CT's grid. The first
        is zero outside what the networks see. If it is bool, the others are meaningless where it is False.

    Raises:
        ValueError: A working grid is too large.
    """
    groups = groups_of_planes(configs)
    boxes = [body if configs[group[0]].body_box else geometry.whole_box(hu.shape) for group in groups]
    shapes = [
        _working_shape(group[0], configs[group[0]], hu[box.slices].shape, spacing_mm)
        for group, box in zip(groups, boxes, strict=True)
    ]
    wholes = [Fusion(hu.shape, method, len(groups), dtype) for method, dtype in methods.items()]
    is_mask = wholes[0].dtype == bool
    working: dict[tuple, np.ndarray] = {}
    with_air = functools.cache(lambda: geometry.only_body(hu, body))
    planes_done = itertools.count()

    def clipped_with_air(slices: np.ndarray) -> np.ndarray:
        return geometry.clipped(geometry.only_body(slices, body))

    def prepare(group: Sequence[str], shape: tuple[int, ...]) -> None:
        for name in group:
            for batch_shape in batch_shapes(configs[name], shape, engine.batch_pixels):
                engine.prepare(name, batch_shape)

    def run(name: str, volume: np.ndarray) -> Iterator[Part]:
        number = next(planes_done)

        def report(share: float) -> None:
            progress((number + share) / len(configs))

        return run_plane(engine, name, configs[name], volume, report)

    for group, box, shape in zip(groups, boxes, shapes, strict=True):
        sees_body = configs[group[0]].body_box
        for whole in wholes:
            whole.clear_around(box.slices)
        if shape is None:
            volume = hu[box.slices] if sees_body else with_air()
            prepare(group, volume.shape)
            fuse(wholes, run(group[0], volume), box.slices)
            continue
        prepare(group, shape)
        part = hu[box.slices]
        if (box, shape) not in working:
            convert = geometry.clipped if sees_body else clipped_with_air
            working[box, shape] = geometry.resized(part, shape, convert)
        fused = [Fusion(shape, method, len(group)) for method in methods]
        for name in group:
            fuse(fused, run(name, working[box, shape]))
        probabilities = [one.probability() for one in fused]
        del fused
        inside: Sequence[slice] | None = (slice(None),) * 3
        if is_mask and len(groups) == 1:  # outside, no voxel exceeds the threshold, nor does one interpolated between
            inside = bounding_box(probabilities[0] > THRESHOLD)
        if inside is not None:
            for whole, probability in zip(wholes, probabilities, strict=True):
                fuse([whole], geometry.resized_chunks(probability, part.shape, inside=inside), box.slices)
    return [whole.probability() for whole in wholes]


def fuse(fusions: Sequence[Fusion], parts: Iterable[Part], box: tuple[slice, ...] = ()) -> None:
    """Add the parts of a plane, each relative to a box, to each of several fusions."""
    for index, probability in parts:
        for fusion in fusions:
            fusion.add(probability, box, index)


def _working_shape(
    name: str, config: KidneyConfig, shape: tuple[int, ...], spacing_mm: tuple[float, float, float]
) -> tuple[int, ...] | None:
    """Return the shape of a network's working grid, or None for the CT's own; ValueError if it is too large."""
    if geometry.is_native(config):
        return None
    working = geometry.working_shape(shape, spacing_mm, config)
    check_size(f"the working grid of {name}", working, MAX_GRID_VOXELS)
    return working


def groups_of_planes(configs: Mapping[str, KidneyConfig]) -> list[list[str]]:
    """Return the names of networks in groups that are fused on one working grid: one group if all share it.

    Results of several groups are fused on the CT's grid.
    """
    grids = {(config.body_box, config.slice_mm, config.inplane_mm) for config in configs.values()}
    is_shared = len(grids) == 1 and not any(geometry.is_native(config) for config in configs.values())
    return [list(configs)] if is_shared else [[name] for name in configs]


def run_plane(
    engine: Engine, network: str, config: KidneyConfig, volume: np.ndarray, progress: Callable[[float], None]
) -> Iterator[Part]:
    """Run both halves of a plane over a volume on the network's working grid.

    Yields parts that cover the volume once, and calls `progress` with the fraction done.
    """
    right, left = geometry.halves(NumPy, config.plane, volume.shape, config.overlap)
    done, total = 0, sum(half.indices[1] - half.indices[0] for half in (right, left))
    for half, mirrored in ((right, False), (left, config.mirror)):
        if half.kept[0] == half.kept[1]:
            continue  # a volume one column wide has no right half
        for indices, found in run_half(engine, network, config, volume, half, mirrored):
            for index, slab in zip(indices, found, strict=True):
                yield part_of_plane(config.plane, half, index, slab)
            done += len(indices)
            progress(done / total)


def run_half(
    engine: Engine, network: str, config: KidneyConfig, volume: np.ndarray, half: geometry.Half, mirrored: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield indices of slabs, int32 [batch], and the probability in the columns kept, [batch, height, columns].

    Each slab of the half comes once: first those of `is_searched`, then those of `beside_kidney`. The others are not
    run and come last, as zeros.
    """
    slabs = np.arange(*half.indices, dtype=np.int32)
    searched = is_searched(NumPy, config.search_step, len(slabs))
    size = first_batch_size(config, half, volume.shape, engine.batch_pixels)

    def run(indices: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        groups = batches(indices, size)
        inputs = (slab_batch(NumPy, config, volume, half, group, mirrored) for group in groups)
        for group, found in zip(groups, engine.probabilities(network, inputs), strict=True):
            yield group, kept_part(NumPy, config, volume, half, found, mirrored)

    has_kidney: list[np.bool_] = []
    for indices, probability in run(slabs[searched]):
        has_kidney.extend(np.max(probability, axis=(1, 2)) > THRESHOLD)
        yield indices, probability
    beside = beside_kidney(NumPy, np.array(has_kidney, bool), searched, config.search_step)
    yield from run(slabs[beside])
    skipped = slabs[~(searched | beside)]
    yield skipped, np.zeros((len(skipped), *kept_size(half, volume.shape, config.plane)), np.float32)


def is_searched(xp: Any, step: int, count: Any) -> Any:
    """Return which of `count` slabs are run whatever they show, bool: every `step`-th and the last."""
    index = xp.arange(count)
    return (index % step == 0) | (index == count - 1)


def beside_kidney(xp: Any, has_kidney: Any, searched: Any, step: int) -> Any:
    """Return which slabs are run after those of `is_searched`: the ones between two of which one has kidney.

    Args:
        xp: the array module.
        has_kidney: bool of every slab that has been run.
        searched: bool of every slab, `is_searched`.
        step: the option `search_step`.

    Returns:
        bool of the shape of `searched`.
    """
    before = xp.cast(has_kidney, xp.int32)
    either = xp.maximum(before, xp.pad(before, [(0, 1)])[1:])
    return (xp.take(either, xp.arange(xp.shape(searched)[0]) // step, axis=0) > 0) & ~searched


def check_size(what: str, shape: Sequence[int], most: int) -> None:
    """Raise ValueError if an array of that shape would have more than `most` voxels."""
    if math.prod(shape) > most:
        raise ValueError(f"{what} would have {'x'.join(map(str, shape))} voxels, more than {most}")


def batches(indices: np.ndarray, size: int) -> list[np.ndarray]:
    """Return slab indices in batches of a size; the last one may be smaller."""
    return [indices[first : first + size] for first in range(0, len(indices), size)]


def batch_shapes(config: KidneyConfig, shape: tuple[int, ...], pixels: int) -> set[tuple[int, ...]]:
    """Return the shapes of a plane's batches; the last ones may hold fewer slabs."""
    found = set()
    for half in geometry.halves(NumPy, config.plane, shape, config.overlap):
        if half.indices[0] < half.indices[1] and half.kept[0] < half.kept[1]:
            sides = map(int, padded_size(half, shape, config))
            found.add((first_batch_size(config, half, shape, pixels), *sides, 3))
    return found


def first_batch_size(config: KidneyConfig, half: geometry.Half, shape: tuple[int, ...], pixels: int) -> int:
    """Return how many slabs form the first batch of a half; no other batch has more."""
    searched = is_searched(NumPy, config.search_step, half.indices[1] - half.indices[0])
    return min(int(batch_size(NumPy, half, shape, config, pixels)), max(1, int(np.count_nonzero(searched))))


def batch_size(xp: Any, half: geometry.Half, shape: Any, config: KidneyConfig, pixels: int = BATCH_PIXELS) -> Any:
    """Return how many slabs of a half form a batch: the same number for slabs that are padded to the same size."""
    height, width = padded_size(half, shape, config)
    return xp.maximum(1, pixels // xp.maximum(1, height * width))


def padded_size(half: geometry.Half, shape: Any, config: KidneyConfig) -> tuple[Any, Any]:
    """Return the height and width of a half's slabs as the network gets them, multiples of 2**depth."""
    height, width = slab_size(half, shape, config.plane)
    multiple = 2**config.depth
    return height + geometry.padding_to_multiple(height, multiple), width + geometry.padding_to_multiple(
        width, multiple
    )


def slab_size(half: geometry.Half, shape: Any, plane: str) -> tuple[Any, Any]:
    """Return the height and width of a half's slabs."""
    return shape[1] if plane == "axial" else shape[0], half.columns[1] - half.columns[0]


def kept_size(half: geometry.Half, shape: Any, plane: str) -> tuple[Any, Any]:
    """Return the height and width of what a half keeps of its slabs."""
    return slab_size(half, shape, plane)[0], half.kept[1] - half.kept[0]


def slab_batch(xp: Any, config: KidneyConfig, volume: Any, half: geometry.Half, indices: Any, mirrored: bool) -> Any:
    """Return the network's input of a batch of slabs, float32 [batch, height, width, 3]."""
    slab = geometry.slabs(xp, volume, config.plane, indices)[:, :, half.columns[0] : half.columns[1]]
    slab = geometry.scale(xp, slab, config.clip_hu)
    if mirrored:
        slab = xp.flip(slab, 3 if config.plane == "sagittal" else 2)
    return geometry.pad_to_multiple(xp, slab, 2**config.depth, (1, 2))


def kept_part(
    xp: Any, config: KidneyConfig, volume: Any, half: geometry.Half, probability: Any, mirrored: bool
) -> Any:
    """Return the network's output for a `slab_batch` in the columns that the half keeps, [batch, height, columns]."""
    height, width = slab_size(half, xp.shape(volume), config.plane)
    probability = probability[:, :height, :width]
    if mirrored and config.plane != "sagittal":
        probability = xp.flip(probability, 2)
    return probability[:, :, half.kept[0] - half.columns[0] : half.kept[1] - half.columns[0]]


def part_of_plane(plane: str, half: geometry.Half, index: int, probability: np.ndarray) -> Part:
    """Return the part of a volume that the result of a slab, [height, columns], belongs to."""
    where = [slice(None), slice(*half.kept)]
    where.insert(geometry.AXIS[plane], slice(index, index + 1))
    return tuple(where), np.expand_dims(probability, geometry.AXIS[plane])
