"""The whole two-stage system in a graph: a CT in, labels out.

The arithmetic is that of `kits_tf.inference`; here are the loops and branches around it. Steps that need much memory
run one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

import tensorflow as tf

from kits_tf import geometry
from kits_tf.arrays import tensorflow
from kits_tf.config import KidneyConfig, TumorConfig
from kits_tf.export.masks import Box, bounding_box, crop, dilated, enlarged, kidney_sides, uncrop
from kits_tf.export.stage_one import FLOATS, MASK, Output, body_box, stage_one
from kits_tf.inference.engines.tensorflow import tumor_function
from kits_tf.inference.fusion import THRESHOLD, fusion_of_planes
from kits_tf.inference.segmenter import KIDNEY, TUMOR
from kits_tf.laterality import LEFT, RIGHT, SIDE_NAMES, config_of_sides, context_voxels

VOLUME = tf.TensorSpec([None, None, None], tf.float32, name="volume")
SPACING_MM = tf.TensorSpec([3], tf.float32, name="spacing_mm")
CT = (VOLUME, SPACING_MM)
COMPACT_CT = (
    tf.TensorSpec([], tf.string, name="volume_bytes"),
    tf.TensorSpec([3], tf.int32, name="shape"),
    SPACING_MM,
)
# TensorFlow Serving accepts no signature without inputs.
CLIENT = (tf.TensorSpec([], tf.string, name="client"),)
SIGNATURES = {
    "serving_default": CT,
    "compact": COMPACT_CT,
    "probabilities": CT,
    "measurements": CT,
    "about": CLIENT,
}

Function: TypeAlias = tf.types.experimental.PolymorphicFunction


class System:
    """The signatures of the exported system; planes are fused as the networks' configs say.

    Args:
        networks: Loaded networks by name, as `load_network` returns them.
        configs: Their configs by name.
        about: What the signature `about` returns.
    """

    def __init__(
        self, networks: Mapping[str, tf.Module], configs: Mapping[str, KidneyConfig | TumorConfig], about: str = "{}"
    ) -> None:
        self._about = about
        self._run = {name: _called(network.probability) for name, network in networks.items()}
        self._kidney_configs = {name: c for name, c in configs.items() if isinstance(c, KidneyConfig)}
        self._fusion = fusion_of_planes(configs)
        self._sides_config = config_of_sides(configs)
        tumor = cast(TumorConfig, configs["tumor"])
        self._context_mm = tumor.context_mm
        self._run_tumor = _called(tumor_function(self._run["tumor"], tumor))
        self._segment = _called(tf.function(self._segmentation, input_signature=CT, autograph=False))

    def signature(self, name: str) -> Function:
        """Return the concrete function of one of `SIGNATURES`."""
        function = tf.function(getattr(self, name), input_signature=SIGNATURES[name], autograph=False)
        return function.get_concrete_function()

    def serving_default(self, volume: tf.Tensor, spacing_mm: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return labels, uint8 of the volume's shape (0 background, 1 kidney, 2 tumor), and `measurements` of them.

        Args:
            volume: float32 [slices, rows, columns], HU, axes I, P, L.
            spacing_mm: float32 [3], (slice, row, column).
        """
        labels, sides = self._segment(volume, spacing_mm)
        return {"labels": labels, **_volumes_ml(labels, sides, spacing_mm)}

    def compact(self, volume_bytes: tf.Tensor, shape: tf.Tensor, spacing_mm: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return `serving_default` of a zlib stream of int16 little-endian HU in C order, and the sides of kidneys.

        Labels and sides (0 background, 1 right, 2 left) are one PNG per slice.
        """
        values = tf.io.decode_raw(tf.io.decode_compressed(volume_bytes, "ZLIB"), tf.int16)
        fits = tf.debugging.Assert(
            tf.equal(tf.size(values, tf.int64), tf.reduce_prod(tf.cast(shape, tf.int64))),
            ["volume_bytes must hold as many int16 values as shape says:", tf.size(values), shape],
        )
        with tf.control_dependencies([fits]):
            volume = tf.cast(tf.reshape(values, shape), tf.float32)
        labels, sides = self._segment(volume, spacing_mm)
        return {
            "labels_bytes": tf.io.encode_png(labels[..., None]),
            "sides_bytes": tf.io.encode_png(sides[..., None]),
            "shape": tf.shape(labels),
            **_volumes_ml(labels, sides, spacing_mm),
        }

    def probabilities(self, volume: tf.Tensor, spacing_mm: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the planes' fused kidney probability, and the tumor probability where stage 2 sees the CT."""
        volume, spacing_mm = _checked(volume, spacing_mm)
        boxes = _boxes(volume, spacing_mm)
        kidney, *agreed = self._stage_one(volume, spacing_mm, boxes, FLOATS)
        sides = self._sides([found > THRESHOLD for found in (kidney, *agreed)], spacing_mm, boxes)
        tumors = self._stage_two(volume, spacing_mm, sides, FLOATS)
        return {"kidney_probability": kidney, "tumor_probability": tf.maximum(*tumors)}

    def measurements(self, volume: tf.Tensor, spacing_mm: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the ml of kidneys (with their tumors, label > 0) and of tumors, in total and by side."""
        labels, sides = self._segment(volume, spacing_mm)
        return _volumes_ml(labels, sides, spacing_mm)

    def about(self, client: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the JSON text that was given to the system; `client` is any text."""
        return {"about": tf.constant(self._about)}

    def _segmentation(self, volume: tf.Tensor, spacing_mm: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return labels and sides, uint8 of the volume's shape."""
        volume, spacing_mm = _checked(volume, spacing_mm)
        boxes = _boxes(volume, spacing_mm)
        sides = self._sides(self._stage_one(volume, spacing_mm, boxes, MASK), spacing_mm, boxes)
        right, left = self._stage_two(volume, spacing_mm, sides, MASK)
        of_tumor = tf.where(right, tf.constant(RIGHT, tf.uint8), tf.cast(left, tf.uint8) * LEFT)
        sides = tf.where(sides > 0, sides, of_tumor)
        return tf.cast(sides > 0, tf.uint8) * KIDNEY + tf.cast(of_tumor > 0, tf.uint8) * (TUMOR - KIDNEY), sides

    def _sides(self, masks: Sequence[tf.Tensor], spacing_mm: tf.Tensor, boxes: dict[bool, Box]) -> tf.Tensor:
        """Return the side map of the fused mask; a second mask is where all planes agree."""
        config, (mask, *agreed) = self._sides_config, masks
        middle = geometry.middle_column(boxes[config.body_box][2])
        return kidney_sides(mask, spacing_mm, middle, config.min_component_ml, config.min_agreement, *agreed)

    def _stage_one(
        self, volume: tf.Tensor, spacing_mm: tf.Tensor, boxes: dict[bool, Box], output: Output
    ) -> list[tf.Tensor]:
        """Return the fused output of all planes and, if components are selected by agreement, where they agree."""
        methods = [self._fusion, "all"] if self._sides_config.min_agreement else [self._fusion]
        return stage_one(self._run, self._kidney_configs, volume, spacing_mm, boxes, methods, output)

    def _stage_two(
        self, volume: tf.Tensor, spacing_mm: tf.Tensor, sides: tf.Tensor, output: Output
    ) -> list[tf.Tensor]:
        """Return the tumor network's output for the right and the left kidney, which run one after the other.

        It is zero outside what the network sees.
        """
        placed, last = [], sides
        reach = context_voxels(tensorflow(), spacing_mm, self._context_mm)
        for side in (RIGHT, LEFT):
            with tf.control_dependencies([last]):
                mask = tf.equal(sides, side)
            box = enlarged(bounding_box(mask), reach, tf.shape(volume))

            def of_kidney(box: Box = box, side: int = side) -> tf.Tensor:
                part = crop(sides, box)
                seen = tf.equal(part, side)
                if self._context_mm:
                    seen = dilated(seen, reach) & (tf.equal(part, 0) | seen)
                found = output.convert(self._run_tumor(crop(volume, box), seen, spacing_mm))
                return tf.where(seen, found, tf.zeros([], output.dtype))

            found = tf.cond(tf.reduce_any(mask), of_kidney, lambda: tf.zeros([0, 0, 0], output.dtype))
            last = tf.ensure_shape(found, [None, None, None])
            placed.append(uncrop(last, box, tf.shape(volume)))
        return placed


def _volumes_ml(labels: tf.Tensor, sides: tf.Tensor, spacing_mm: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return the ml of kidneys (label > 0) and of tumors, in total and by side, float32."""
    inside = crop(3 * sides + labels, bounding_box(sides > 0))
    counts = tf.cast(tf.math.bincount(tf.cast(inside, tf.int32), minlength=9), tf.float64)
    ml = tf.reshape(counts, [3, 3]) * (tf.reduce_prod(tf.cast(spacing_mm, tf.float64)) / 1000)  # [side, label]
    found = {"kidney_ml": ml[1:, 1:], "tumor_ml": ml[:, TUMOR]}
    for side, name in SIDE_NAMES.items():
        found |= {f"{name}_kidney_ml": ml[side, 1:], f"{name}_tumor_ml": ml[side, TUMOR]}
    return {name: tf.cast(tf.reduce_sum(volumes), tf.float32) for name, volumes in found.items()}


def _boxes(volume: tf.Tensor, spacing_mm: tf.Tensor) -> dict[bool, Box]:
    """Return the boxes that networks see, by their `body_box`: the whole volume and the body."""
    whole = tuple((tf.constant(0), size) for size in tf.unstack(tf.shape(volume), 3))
    return {False: whole, True: body_box(volume, spacing_mm)}


def _called(function: Function) -> Function:
    """Return a `tf.function` that stays a call in the graphs it is called from.

    TensorFlow would otherwise inline it at each call, and take longer to optimise a signature at its first request.
    """
    options = {"autograph": False, "experimental_attributes": {"_noinline": True}}
    return tf.function(function, input_signature=function.input_signature, **options)


def _checked(volume: tf.Tensor, spacing_mm: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the arguments, the spacing as float64, after checks that they can be those of a CT."""
    checks = [
        tf.debugging.Assert(
            tf.reduce_all(tf.math.is_finite(spacing_mm) & (spacing_mm > 0)),
            ["spacing_mm must be three positive numbers (slice, row, column), got", spacing_mm],
        ),
        tf.debugging.Assert(tf.size(volume, tf.int64) > 0, ["volume must not be empty, got shape", tf.shape(volume)]),
        tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(volume)), ["volume must be finite"]),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(volume), tf.cast(spacing_mm, tf.float64)
