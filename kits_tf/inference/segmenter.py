"""The two-stage system on arrays: a CT in, labels out."""

import dataclasses
import time

import numpy as np

from kits_tf import checkpoint, geometry
from kits_tf.config import PLANES
from kits_tf.errors import UsageError
from kits_tf.inference import kidney
from kits_tf.inference.fusion import THRESHOLD, Fusion
from kits_tf.sides import kidney_sides, kidneys

KIDNEY, TUMOR = 1, 2
ENGINES = ("auto", "tensorflow", "openvino")


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """What a segmenter found.

    Attributes:
        labels: uint8 [slices, rows, columns]: 0 background, 1 kidney, 2 tumor.
        sides: uint8 of the same shape: 0 nothing, 1 the patient's right kidney with its tumor, 2 the left.
        seconds: time of each stage, {"kidney", "tumor"}; a stage that did not run took none.
    """

    labels: np.ndarray
    sides: np.ndarray
    seconds: dict


def load_segmenter(name_or_folder, engine="auto", planes=PLANES, fusion="union", stage="both"):
    """Loads the networks of a checkpoint folder, or released weights by name.

    Args:
        name_or_folder: a checkpoint folder, or a name such as "phantom".
        engine: "auto", "tensorflow" or "openvino".
        planes: the planes whose networks find the kidney.
        fusion: "union", "majority" or "mean" of the planes.
        stage: "both", "kidney" or "tumor": which networks to load.

    Raises:
        InputError: the folder or one of its files is missing or unreadable.
        UsageError: an engine that is not installed.
    """
    folder = checkpoint.find(name_or_folder)
    names = [f"kidney_{plane}" for plane in planes] if stage != "tumor" else []
    names += ["tumor"] if stage != "kidney" else []
    configs = checkpoint.load_configs(folder, names)
    return Segmenter(load_engine(engine, folder, configs), configs, fusion)


def load_engine(name, folder, configs):
    """The engine of that name, holding the networks of `configs`; "auto" is TensorFlow."""
    if name not in ENGINES:
        raise UsageError("engine", f"{name!r} is not one of {', '.join(ENGINES)}")
    if name == "openvino":
        from kits_tf.inference.openvino_engine import OpenVINOEngine

        return OpenVINOEngine(folder, configs)
    from kits_tf.inference.tensorflow_engine import TensorFlowEngine

    return TensorFlowEngine(folder, configs)


class Segmenter:
    """The two-stage system.

    Args:
        engine: runs the networks.
        configs: {network name: config}; without kidney networks a mask must be given to each call, without the tumor
            network labels stop at kidney.
        fusion: "union", "majority" or "mean".
    """

    def __init__(self, engine, configs, fusion="union"):
        self.engine = engine
        self.configs = configs
        self.fusion = fusion
        self._kidney_configs = {name: c for name, c in configs.items() if c.stage == "kidney"}

    def segment(self, hu, spacing_mm, progress=None):
        """Labels of a CT.

        Args:
            hu: [slices, rows, columns], HU, axes I, P, L.
            spacing_mm: (slice, row, column).
            progress: called with the share done, 0 to 1, now and then.

        Returns:
            uint8 [slices, rows, columns]: 0 background, 1 kidney, 2 tumor.

        Raises:
            ValueError: an array that is not 3D, is empty or holds values that are not finite, or a spacing that is
                not three positive numbers.
        """
        return self.run(hu, spacing_mm, progress=progress).labels

    def run(self, hu, spacing_mm, mask=None, progress=None):
        """As `segment`, but returns a Segmentation; `mask` (bool, the CT's shape) replaces stage 1."""
        hu, spacing_mm = checked(hu, spacing_mm)
        progress = progress or (lambda share: None)
        boxes = Boxes(hu)
        start = time.perf_counter()
        if mask is None:
            mask = self.kidney_mask(hu, spacing_mm, boxes, progress)
        middle = geometry.middle_column(boxes.box(next(iter(self.configs.values()))).columns)
        sides = kidney_sides(mask, spacing_mm, middle)
        labels = np.minimum(sides, KIDNEY)
        seconds = {"kidney": time.perf_counter() - start, "tumor": 0.0}
        if "tumor" in self.configs:
            start = time.perf_counter()
            self.add_tumors(labels, sides, hu, spacing_mm)
            seconds["tumor"] = time.perf_counter() - start
        progress(1.0)
        return Segmentation(labels, sides, seconds)

    def kidney_mask(self, hu, spacing_mm, boxes, progress):
        """Stage 1: the fused mask of all planes, bool [slices, rows, columns], before component filtering."""
        fusion = Fusion(hu.shape, self.fusion, len(self._kidney_configs))
        done = Counter(progress, 0.8 / len(self._kidney_configs))
        for name, config in self._kidney_configs.items():
            box = boxes.box(config)
            index = (slice(None), slice(*box.rows), slice(*box.columns))
            done.start(slab_count(config.plane, hu[index].shape))
            kidney.stage_one(self.engine, name, config, hu[index], spacing_mm, fusion.region(index), done)
        return fusion.mask()

    def add_tumors(self, labels, sides, hu, spacing_mm):
        """Stage 2: writes label 2 where a kidney's tumor probability is above one half."""
        for found in kidneys(sides):
            mask = sides[found.box] == found.side
            probability = self.engine.stage_two(self.configs["tumor"], hu[found.box], mask, spacing_mm)
            labels[found.box][mask & (probability > THRESHOLD)] = TUMOR


class Boxes:
    """The part of a CT that a network works on; the body is looked for once, when first asked for."""

    def __init__(self, hu):
        self._hu = hu
        self._body = None

    def box(self, config):
        """The BodyBox of a config: the body's, or the whole image."""
        if not config.body_box:
            return geometry.whole_box(self._hu.shape)
        if self._body is None:
            self._body = geometry.body_box(self._hu)
        return self._body


class Counter:
    """Turns the slabs done in one network after another into a share of the whole."""

    def __init__(self, progress, share):
        self._progress = progress
        self._share = share
        self._before = -share
        self._total = 1
        self._done = 0

    def start(self, total):
        self._before += self._share
        self._total, self._done = total, 0

    def __call__(self, count):
        self._done += count
        self._progress(self._before + self._share * self._done / self._total)


def slab_count(plane, shape):
    """Slabs that a plane's two halves take over a volume of that shape."""
    return shape[geometry.AXIS[plane]] * (1 if plane == "sagittal" else 2)


def checked(hu, spacing_mm):
    """The arguments as arrays; raises ValueError for what no CT can be."""
    hu = np.asarray(hu)
    if hu.ndim != 3 or 0 in hu.shape or hu.dtype.kind not in "iuf":
        raise ValueError(f"hu is {hu.dtype} of shape {hu.shape}: takes numbers [slices, rows, columns]")
    if hu.dtype.kind == "f" and not all(np.isfinite(image).all() for image in hu):
        raise ValueError("hu holds values that are not finite")
    spacing_mm = tuple(float(s) for s in np.asarray(spacing_mm, np.float32))  # what the exported system takes
    if len(spacing_mm) != 3 or not all(0 < s < np.inf for s in spacing_mm):
        raise ValueError(f"spacing_mm is {spacing_mm}: takes three positive numbers (slice, row, column)")
    return hu, spacing_mm
