"""Stage 1 in a graph: loops over batches and chunks around the functions of `inference.kidney`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import tensorflow as tf

from kits_tf import geometry
from kits_tf.arrays import tensorflow
from kits_tf.config import KidneyConfig
from kits_tf.export.masks import Box, crop, extent, uncrop
from kits_tf.inference import kidney
from kits_tf.inference.fusion import fixed_point, kept_planes, mask_of, mean_of_sum

# Axes of a volume among those of a plane's result, [index, height, width].
_VOLUME_AXES = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (1, 2, 0)}

Function: TypeAlias = Callable[[tf.Tensor], tf.Tensor]
Pair: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Output(NamedTuple):
    """How a probability is stored, to use no more memory than the output needs.

    Attributes:
        dtype: Type of the stored values.
        convert: Turns a probability into stored values.
        larger: The larger of two stored values.
        smaller: The smaller of two stored values.
    """

    dtype: tf.DType
    convert: Function
    larger: Pair
    smaller: Pair


FLOATS = Output(tf.float32, tf.identity, tf.maximum, tf.minimum)
FIXED = Output(tf.uint16, lambda probability: fixed_point(tensorflow(), probability), tf.maximum, tf.minimum)
MASK = Output(tf.bool, mask_of, tf.logical_or, tf.logical_and)


def body_box(hu: tf.Tensor, spacing_mm: tf.Tensor) -> Box:
    """Return the box of the patient in a volume, float32 [slices, rows, columns]; see `geometry.body_box`."""
    shape = tf.shape(hu)

    def add(counts: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        return counts + tf.cast(hu[index] > geometry.BODY_HU, tf.int32)

    counts = tf.foldl(add, tf.range(shape[0]), tf.zeros(shape[1:], tf.int32), parallel_iterations=1)
    bounds = geometry.body_box_of(tensorflow(), counts, shape[0], tf.unstack(spacing_mm), extent)
    return ((tf.constant(0), shape[0]), *bounds)


def stage_one(
    runs: Mapping[str, Function], configs: Mapping[str, KidneyConfig], hu: tf.Tensor, spacing_mm: tf.Tensor,
    boxes: Mapping[bool, Box], methods: Sequence[str], output: Output,
) -> list[tf.Tensor]:  # fmt: skip
    """Return the kidney probability of all planes, fused by each method; see `inference.kidney.stage_one`.

    Args:
        runs: Return the probability of a batch, by network name.
        configs: The networks' configs by name.
        hu: float32 [slices, rows, columns].
        spacing_mm: float64 [3].
        boxes: What a network sees, by its option `body_box`.
        methods: How to fuse the planes.
        output: How to store the probability.

    Returns:
        Each `output.dtype` of the volume's shape.
    """
    groups = kidney.groups_of_planes(configs)
    form = FIXED if "mean" in methods and len(groups) > 1 and output is MASK else output
    wholes = [_Fusion(method, len(groups), form) for method in methods]
    working: dict[tuple, tf.Tensor] = {}
    for group in groups:
        config = configs[group[0]]
        box = boxes[config.body_box]
        part = crop(wholes[0].afterwards(hu), boxes[True])
        if not config.body_box:  # air around the body, as in prepared cases
            part = uncrop(part, boxes[True], tf.shape(hu), geometry.HU_MIN)
        if geometry.is_native(config):
            found = _run_plane(runs[group[0]], config, part, form)
            probabilities = [found] * len(methods)
        else:
            grid = (config.body_box, config.slice_mm, config.inplane_mm)
            if grid not in working:
                working[grid] = _to_working_grid(part, spacing_mm, config)
            fused = [_Fusion(method, len(group), FLOATS) for method in methods]
            for name in group:
                found = _run_plane(runs[name], configs[name], fused[0].afterwards(working[grid]), FLOATS)
                for one in fused:
                    one.add(found)
            probabilities = [_resize(one.probability(), tf.unstack(tf.shape(part)), form) for one in fused]
        for whole, probability in zip(wholes, probabilities, strict=True):
            whole.add(uncrop(probability, box, tf.shape(hu)))
    results = [whole.probability() for whole in wholes]
    return results if form is output else [mask_of(found) for found in results]


class _Fusion:
    """Fuses planes as an `Output` stores them; see `inference.fusion.Fusion`."""

    def __init__(self, method: str, planes: int, form: Output) -> None:
        self._is_mean = method == "mean" and planes > 1
        self._is_all = method == "all"
        self._planes, self._form = planes, form
        self._kept: list[tf.Tensor | None] = [None] * kept_planes(method, planes)

    def afterwards(self, tensor: tf.Tensor) -> tf.Tensor:
        """Return a tensor once the planes so far are fused, so that only one of them is in memory at a time."""
        with tf.control_dependencies([kept for kept in self._kept if kept is not None]):
            return tf.identity(tensor)

    def add(self, values: tf.Tensor) -> None:
        """Add a plane's stored probabilities."""
        if self._is_mean:
            self._kept[0] = values if self._kept[0] is None else self._kept[0] + values
            return
        if self._is_all and self._kept[0] is not None:
            self._kept[0] = self._form.smaller(self._kept[0], values)
            return
        for number, largest in enumerate(self._kept):
            if largest is None:
                self._kept[number] = values
                return
            self._kept[number], values = self._form.larger(largest, values), self._form.smaller(largest, values)

    def probability(self) -> tf.Tensor:
        """Return the fused probability in its stored form."""
        fused = self._kept[-1]
        return mean_of_sum(tensorflow(), fused, self._planes) if self._is_mean else fused


def _to_working_grid(hu: tf.Tensor, spacing_mm: tf.Tensor, config: KidneyConfig) -> tf.Tensor:
    """Return a CT on a network's working grid."""
    shape = tf.unstack(tf.shape(hu), 3)
    for axis, mm in enumerate((config.slice_mm, config.inplane_mm, config.inplane_mm)):
        if mm:
            shape[axis] = geometry.working_size(tensorflow(), shape[axis], spacing_mm[axis], mm)
    return _resize(hu, shape, FLOATS, lambda hu: tf.clip_by_value(hu, geometry.HU_MIN, geometry.HU_MAX))


def _resize(volume: tf.Tensor, shape: list[tf.Tensor], output: Output, before: Function = tf.identity) -> tf.Tensor:
    """Resize a float32 volume some slices at a time, after `before`; see `geometry.resized_chunks`."""
    sizes = tf.unstack(tf.shape(volume), 3)
    slices, rows, columns = (geometry.resizing(tensorflow(), old, new) for old, new in zip(sizes, shape, strict=True))

    def chunk_of(start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        first, last = extent(tf.reduce_any(slices[start:stop] != 0, axis=0))
        part = before(volume[first:last])
        return output.convert(geometry.resize(tensorflow(), part, slices[start:stop, first:last], rows, columns))

    empty = tf.zeros([0, shape[1], shape[2]], output.dtype)
    return _in_chunks(chunk_of, tf.constant(0), shape[0], tf.constant(geometry.CHUNK_SLICES), empty)


def _run_plane(run: Function, config: KidneyConfig, volume: tf.Tensor, output: Output) -> tf.Tensor:
    """Run both halves of a plane, one after the other; see `inference.kidney.run_plane`."""
    shape = tf.unstack(tf.shape(volume), 3)
    right, left = geometry.halves(tensorflow(), config.plane, shape, config.overlap)
    first = _run_half(run, config, volume, right, False, output)
    with tf.control_dependencies([first]):
        second = _run_half(run, config, tf.identity(volume), left, config.mirror, output)
    return tf.concat([first, second], axis=2)


def _run_half(
    run: Function, config: KidneyConfig, volume: tf.Tensor, half: geometry.Half, mirrored: bool, output: Output
) -> tf.Tensor:
    """Return the result of a half's network in the columns it keeps, [slices, rows, kept columns]."""
    shape, step = tf.unstack(tf.shape(volume), 3), config.search_step
    size = kidney.batch_size(tensorflow(), half, shape, config)
    height, kept = kidney.kept_size(half, shape, config.plane)

    def zeros(count: tf.Tensor) -> tf.Tensor:
        return tf.zeros([count, height, kept], output.dtype)

    def run_slabs(indices: tf.Tensor) -> tf.Tensor:
        def batch_of(first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
            found = run(kidney.slab_batch(tensorflow(), config, volume, half, indices[first:last], mirrored))
            return output.convert(kidney.kept_part(tensorflow(), config, volume, half, found, mirrored))

        # A volume one column wide has no right half: slices without columns, and nothing to run.
        skipped = tf.where(tf.equal(kept, 0), tf.size(indices), 0)
        return _in_chunks(batch_of, skipped, tf.size(indices), size, zeros(skipped))

    slabs = tf.range(*half.indices)
    if step == 1:
        return tf.transpose(run_slabs(slabs), _VOLUME_AXES[config.plane])
    searched = kidney.is_searched(tensorflow(), step, tf.size(slabs))
    found = run_slabs(slabs[searched])
    has_kidney = tf.reduce_any(mask_of(found), axis=[1, 2])
    beside = kidney.beside_kidney(tensorflow(), has_kidney, searched, step)
    skipped = slabs[~(searched | beside)]
    found = tf.concat([found, run_slabs(slabs[beside]), zeros(tf.size(skipped))], axis=0)
    order = tf.concat([slabs[searched], slabs[beside], skipped], axis=0)
    found = tf.gather(found, tf.argsort(order))
    return tf.transpose(found, _VOLUME_AXES[config.plane])


def _in_chunks(
    function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    start: tf.Tensor,
    stop: tf.Tensor,
    size: tf.Tensor,
    empty: tf.Tensor,
) -> tf.Tensor:
    """Join function(first, last), [last - first, height, width], over a range in steps of `size`, one after another.

    An empty range results in `empty`, which has no voxels.
    """
    count = -(-(stop - start) // size)
    parts = tf.TensorArray(empty.dtype, count + 1, infer_shape=False, element_shape=[None, None, None])

    def step(index: tf.Tensor, parts: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        first = start + index * size
        return index + 1, parts.write(index + 1, function(first, tf.minimum(first + size, stop)))

    initial = (tf.constant(0), parts.write(0, empty))
    _, parts = tf.while_loop(lambda index, _: index < count, step, initial, parallel_iterations=1)
    return tf.ensure_shape(parts.concat(), [None, None, None])
