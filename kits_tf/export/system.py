"""The whole two-stage system in a graph: a CT in, labels out.

The arithmetic is that of `kits_tf.inference`; here are the loops and branches around it. Whatever takes memory is made
to run one after the other. The planes' masks are united.
"""

import tensorflow as tf

from kits_tf import geometry
from kits_tf.export import deflate, regions
from kits_tf.export.sides import kidney_sides
from kits_tf.export.stage_one import stage_one
from kits_tf.inference.engines.tensorflow import tumor_function
from kits_tf.inference.fusion import THRESHOLD
from kits_tf.inference.segmenter import KIDNEY, TUMOR
from kits_tf.laterality import LEFT, RIGHT, config_of_sides

VOLUME = tf.TensorSpec([None, None, None], tf.float32, name="volume")
SPACING_MM = tf.TensorSpec([3], tf.float32, name="spacing_mm")
CT = (VOLUME, SPACING_MM)
COMPACT = (
    tf.TensorSpec([], tf.string, name="volume_bytes"),
    tf.TensorSpec([3], tf.int32, name="shape"),
    SPACING_MM,
)
SIGNATURES = {
    "serving_default": ("labels", CT),
    "compact": ("compact", COMPACT),
    "probabilities": ("probabilities", CT),
    "measurements": ("measurements", CT),
}  # {name: (method of System, inputs)}


class System:
    """The system's signatures, each a `tf.function`.

    Args:
        networks: {network name: module}, of `load_network`.
        configs: {network name: config}.
    """

    def __init__(self, networks, configs):
        self._run = {name: called(network.probability) for name, network in networks.items()}
        self._kidney_configs = {name: c for name, c in configs.items() if c.stage == "kidney"}
        self._sides_config = config_of_sides(configs)
        self._run_tumor = called(tumor_function(self._run["tumor"], configs["tumor"]))
        self._segment = called(tf.function(self._segmentation, input_signature=CT, autograph=False))

    def signatures(self):
        """{signature name: concrete function}."""
        return {name: self.signature(name) for name in SIGNATURES}

    def signature(self, name):
        """The concrete function of a signature."""
        method, inputs = SIGNATURES[name]
        return tf.function(getattr(self, method), input_signature=inputs, autograph=False).get_concrete_function()

    def labels(self, volume, spacing_mm):
        """Labels uint8 of the volume's shape: 0 background, 1 kidney, 2 tumor."""
        return {"labels": self._segment(volume, spacing_mm)[0]}

    def compact(self, volume_bytes, shape, spacing_mm):
        """As `labels`, with zlib on either side: int16 little-endian HU in, uint8 labels out, both in C order."""
        raw = tf.io.decode_compressed(volume_bytes, "ZLIB")
        values = tf.io.decode_raw(raw, tf.int16)
        fits = tf.debugging.Assert(
            tf.equal(tf.size(values, tf.int64), tf.reduce_prod(tf.cast(shape, tf.int64))),
            ["volume_bytes does not hold as many int16 values as shape says:", tf.size(values), shape],
        )
        with tf.control_dependencies([fits]):
            volume = tf.cast(tf.reshape(values, shape), tf.float32)
        labels = self._segment(volume, spacing_mm)[0]
        return {"labels_bytes": deflate.compress(tf.reshape(labels, [-1])), "shape": tf.shape(labels)}

    def probabilities(self, volume, spacing_mm):
        """The kidney's probability, the largest of the planes, and the tumor's inside the kidneys found."""
        checked, spacing_mm = check(volume, spacing_mm)
        boxes = self._boxes(checked)
        kidney = self._stage_one(checked, spacing_mm, boxes, tf.identity, tf.float32, tf.maximum)
        sides = self._sides(kidney > THRESHOLD, spacing_mm, boxes)
        tumor = self._stage_two(checked, spacing_mm, sides, tf.identity, tf.float32)
        return {"kidney_probability": kidney, "tumor_probability": tumor}

    def measurements(self, volume, spacing_mm):
        """Volumes in ml of kidneys (with their tumors, label > 0) and tumors, in all and by the patient's side."""
        labels, sides = self._segment(volume, spacing_mm)
        box = regions.bounding_box(sides > 0)
        labels, sides = regions.crop(labels, box), regions.crop(sides, box)
        voxel_ml = tf.reduce_prod(tf.cast(spacing_mm, tf.float64)) / 1000

        def ml(mask):
            return tf.cast(tf.cast(tf.reduce_sum(tf.cast(mask, tf.int32)), tf.float64) * voxel_ml, tf.float32)

        found = {"kidney_ml": ml(labels > 0), "tumor_ml": ml(tf.equal(labels, TUMOR))}
        for side, name in ((RIGHT, "right"), (LEFT, "left")):
            here = tf.equal(sides, side)
            found[f"{name}_kidney_ml"] = ml(here)
            found[f"{name}_tumor_ml"] = ml(here & tf.equal(labels, TUMOR))
        return found

    def _segmentation(self, volume, spacing_mm):
        volume, spacing_mm = check(volume, spacing_mm)
        boxes = self._boxes(volume)
        mask = self._stage_one(volume, spacing_mm, boxes, is_foreground, tf.bool, tf.logical_or)
        sides = self._sides(mask, spacing_mm, boxes)
        tumor = self._stage_two(volume, spacing_mm, sides, is_foreground, tf.bool)
        kidney = tf.cast(sides > 0, tf.uint8) * KIDNEY
        return kidney + tf.cast(tumor, tf.uint8) * (TUMOR - KIDNEY), sides

    def _boxes(self, volume):
        """{whether cut to the body: box}."""
        cut = {config.body_box for config in (*self._kidney_configs.values(), self._sides_config)}
        return {
            body: regions.body_box(volume) if body else regions.whole_box(tf.shape(volume)) for body in sorted(cut)
        }

    def _sides(self, mask, spacing_mm, boxes):
        """Which foreground is which kidney, as in prediction."""
        config = self._sides_config
        middle = geometry.middle_column(boxes[config.body_box][2])
        return kidney_sides(mask, spacing_mm, middle, config.min_component_share)

    def _stage_one(self, volume, spacing_mm, boxes, convert, dtype, unite):
        """What the planes say of each voxel, united."""
        united, working = None, {body: {} for body in boxes}
        for name, config in self._kidney_configs.items():
            box = boxes[config.body_box]
            with tf.control_dependencies([] if united is None else [united]):
                part = regions.crop(tf.identity(volume), box)
            kept = working[config.body_box]
            found = stage_one(self._run[name], config, part, spacing_mm, convert, dtype, kept)
            placed = regions.uncrop(found, box, tf.shape(volume))
            united = placed if united is None else unite(united, placed)
        return united

    def _stage_two(self, volume, spacing_mm, sides, convert, dtype):
        """What the tumor network says of each kidney's voxels, one kidney after the other; zero outside."""
        shape = tf.shape(volume)
        nothing = tf.zeros([0, 0, 0], dtype)
        parts, last = [], sides
        for side in (RIGHT, LEFT):
            with tf.control_dependencies([last]):
                mask = tf.equal(sides, side)
            box = regions.bounding_box(mask)

            def of_kidney(mask=mask, box=box):
                inside = regions.crop(mask, box)
                found = convert(self._run_tumor(regions.crop(volume, box), inside, spacing_mm))
                return found & inside if dtype == tf.bool else found * tf.cast(inside, dtype)

            found = tf.cond(tf.reduce_any(mask), of_kidney, lambda: nothing)
            last = tf.ensure_shape(found, [None, None, None])
            parts.append((last, box, tf.shape(last)))
        return placed_together(parts, shape, dtype)


def called(function):
    """A `tf.function` that stays a call in the graphs it is called from.

    TensorFlow would else copy it into each place and take the longer to optimise the whole, when a signature is first
    asked.
    """
    return tf.function(
        function,
        input_signature=function.input_signature,
        autograph=False,
        experimental_attributes={"_noinline": True},
    )


def placed_together(parts, shape, dtype):
    """Parts, each zero outside its own kidney, at their places in one volume; empty parts lie nowhere."""
    unite = tf.logical_or if dtype == tf.bool else tf.maximum
    placed = []
    for part, box, size in parts:
        lies = [(box[axis][0], shape[axis] - box[axis][0] - size[axis]) for axis in range(3)]
        placed.append(tf.pad(part, lies))
    return unite(*placed)


def is_foreground(probability):
    """Where a probability is above one half."""
    return probability > THRESHOLD


def check(volume, spacing_mm):
    """The arguments, spacing in float64, once it is sure that they can be a CT's."""
    checks = [
        tf.debugging.Assert(
            tf.reduce_all(tf.math.is_finite(spacing_mm) & (spacing_mm > 0)),
            ["spacing_mm takes three positive numbers (slice, row, column), not", spacing_mm],
        ),
        tf.debugging.Assert(tf.size(volume, tf.int64) > 0, ["volume is empty, its shape", tf.shape(volume)]),
        tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(volume)), ["volume holds values that are not finite"]),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(volume), tf.cast(spacing_mm, tf.float64)
