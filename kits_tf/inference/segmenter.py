"""The two-stage system on arrays: a CT in, labels out."""

import dataclasses
import math
import time

import numpy as np

from kits_tf import checkpoint, geometry, kidney_crops
from kits_tf.arrays import NumPy
from kits_tf.config import PLANES
from kits_tf.errors import CancelledError
from kits_tf.inference import arguments, engines, ensemble, kidney
from kits_tf.inference.fusion import THRESHOLD, Fusion, fixed_point
from kits_tf.laterality import config_of_sides, kidney_sides, kidneys

KIDNEY, TUMOR = 1, 2
MAX_CUBE_VOXELS = 2**28
"""Of a kidney's cube where it is not resized: what takes a gigabyte as float32."""
MAX_GRID_VOXELS = 2**30
"""Of the grid that a CT is resized to for a network: what takes four gigabytes as float32."""


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """What a segmenter found.

    Attributes:
        labels: uint8 [slices, rows, columns]: 0 background, 1 kidney, 2 tumor.
        sides: uint8 of the same shape: 0 nothing, 1 the patient's right kidney with its tumor, 2 the left.
        seconds: time of each stage, {"kidney", "tumor"}; a stage that did not run took none.
        probabilities: {"kidney", "tumor"}: uint16 of the same shape, in units of 1 / `fusion.UNIT`, the tumor's zero
            outside the kidneys; empty unless asked for, and without a stage that did not run.
    """

    labels: np.ndarray
    sides: np.ndarray
    seconds: dict
    probabilities: dict = dataclasses.field(default_factory=dict)


def load_segmenter(
    name_or_folder, engine="auto", planes=PLANES, fusion="union", stage="both", precision="auto", tta="none"
):
    """Loads the networks of a checkpoint folder, or released weights by name.

    Args:
        name_or_folder: a checkpoint folder, or a name such as "simulated"; or a list of them, whose networks'
            probabilities are averaged; none twice.
        engine: "auto" (the fastest that is installed), "tensorflow" or "openvino".
        planes: the planes whose networks find the kidney, also as text with commas.
        fusion: "union", "majority" or "mean" of the planes.
        stage: "both", "kidney" or "tumor": which networks to load.
        precision: "auto", "float32" or "bfloat16".
        tta: test-time augmentation: "none", "shift" or "flip"; see `ensemble.augmented`.

    Raises:
        InputError: a folder or one of its files is missing or unreadable, or its networks do not go together.
        UsageError: no such planes, fusion, stage or augmentation, neither a folder nor a name, an engine that is not
            installed, or networks that cannot be averaged.
    """
    arguments.check_choices(fusion=fusion, stage=stage, tta=tta)
    planes = arguments.checked_planes(planes) if stage != "tumor" else ()
    folders = [checkpoint.find(one) for one in arguments.checked_checkpoints(name_or_folder)]
    ensemble.check_different(folders)
    names = checkpoint.network_names(stage, planes)
    configs = [checkpoint.load_configs(folder, names) for folder in folders]
    ensemble.check_alike(configs, folders)
    members = [engines.load(engine, folder, own, precision) for folder, own in zip(folders, configs, strict=True)]
    return Segmenter(ensemble.augmented(ensemble.mean_of(members), tta, configs[0]), configs[0], fusion)


class Segmenter:
    """The two-stage system; safe to be called from several threads.

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

    def segment(self, hu, spacing_mm, progress=None, cancel=None):
        """Labels of a CT.

        Args:
            hu: [slices, rows, columns], HU, axes I, P, L.
            spacing_mm: (slice, row, column).
            progress: called with the share done, 0 to 1, now and then.
            cancel: a `threading.Event` or the like; once it is set, the work is given up within a batch of slabs or
                a kidney.

        Returns:
            uint8 [slices, rows, columns]: 0 background, 1 kidney, 2 tumor.

        Raises:
            ValueError: an array that is not 3D, is empty or holds values that are not finite or beyond float32, or a
                spacing that is not three numbers from 0.01 to 100 mm; a CT or kidneys too large for the grids of the
                networks; no kidney network.
            CancelledError: `cancel` was set.
        """
        return self.run(hu, spacing_mm, progress=progress, cancel=cancel).labels

    def run(self, hu, spacing_mm, mask=None, progress=None, cancel=None, roi=None, probabilities=False, box=None):
        """As `segment`, but returns a Segmentation.

        Args:
            mask: bool of the CT's shape, replaces what stage 1 finds and is treated like that, as in training: pieces
                under 2 ml, and those under `min_component_share` of the largest on their side, are left out of labels
                and sides. Of a mask that comes from labels of this program nothing is left out again.
            roi: region of interest, (slices, rows, columns) as `slice` objects without a step. Slices outside are not
                looked at, as if the CT had been cut to those inside; outside the rows and columns nothing is kidney,
                and its probability is zero.
            probabilities: whether to keep probabilities too; 4 bytes a voxel more.
            box: the body's `geometry.BodyBox` where it is known, as of a prepared case; looked for by default.

        Raises:
            ValueError: also for a mask of another shape, or a region that is none or without a voxel of the CT.
        """
        hu, spacing_mm = arguments.checked_ct(hu, spacing_mm)
        mask = arguments.checked_mask(mask, hu.shape)
        slices, *inplane = arguments.checked_roi(roi, hu.shape)
        mask = None if mask is None else mask[slices]
        boxes, progress = Boxes(hu[slices], box), watched(progress, cancel)
        arrays, seconds = self._run(hu[slices], spacing_mm, mask, boxes, progress, inplane, probabilities)
        for name in arrays:
            arrays[name] = placed(arrays[name], slices, hu.shape)  # one by one: each is there twice meanwhile
        return Segmentation(arrays.pop("labels"), arrays.pop("sides"), seconds, arrays)

    def _run(self, hu, spacing_mm, mask, boxes, progress, inplane, probabilities):
        """`run` on the slices inside a region of interest; `inplane` are its rows and columns.

        Returns:
            {"labels", "sides" and the probabilities: array}, and the seconds of each stage.
        """
        if mask is None and not self._kidney_configs:
            raise ValueError("takes a kidney mask, as no kidney network is loaded")
        kept = {}
        start = time.perf_counter()
        if mask is None:
            mask = self.kidney_mask(hu, spacing_mm, boxes, progress, kept if probabilities else None)
        mask = only_inside(mask, inplane)
        if "kidney" in kept:
            kept["kidney"] = only_inside(kept["kidney"], inplane)
        config = config_of_sides(self.configs)
        middle = geometry.middle_column(boxes.box(config).columns)
        sides = kidney_sides(mask, spacing_mm, middle, config.min_component_share)
        del mask
        labels = np.minimum(sides, KIDNEY)
        seconds = {"kidney": time.perf_counter() - start, "tumor": 0.0}
        if "tumor" in self.configs:
            start = time.perf_counter()
            if probabilities:
                kept["tumor"] = np.zeros(hu.shape, np.uint16)
            self.add_tumors(labels, sides, hu, spacing_mm, progress, kept.get("tumor"))
            seconds["tumor"] = time.perf_counter() - start
        progress(1.0)
        return {"labels": labels, "sides": sides, **kept}, seconds

    def kidney_mask(self, hu, spacing_mm, boxes, progress, kept=None):
        """Stage 1: the fused mask of all planes, bool [slices, rows, columns], before component filtering.

        Args:
            kept: a dict that takes the probability under "kidney", or None.
        """
        fusion = Fusion(hu.shape, self.fusion, len(self._kidney_configs), kept is not None)
        done = Counter(progress, 0.8 / len(self._kidney_configs))
        working = {}
        for name, config in self._kidney_configs.items():
            box = boxes.box(config)
            index = (slice(None), slice(*box.rows), slice(*box.columns))
            grid = geometry.working_shape(hu[index].shape, spacing_mm, config)
            if not geometry.is_native(config):
                check_size(f"the working grid of {name}", grid, MAX_GRID_VOXELS)
            done.start(slab_count(config.plane, grid))
            kidney.stage_one(
                self.engine, name, config, hu[index], spacing_mm, fusion.region(index), done,
                working.setdefault(config.body_box, {}),
            )  # fmt: skip
        mask = fusion.mask()
        if kept is not None:
            kept["kidney"] = fusion.probability()
        return mask

    def add_tumors(self, labels, sides, hu, spacing_mm, progress, kept=None):
        """Stage 2: writes label 2 where a kidney's tumor is more likely than not; `kept` takes the probabilities."""
        for found in kidneys(sides):
            progress(0.8 if found.side == 1 else 0.9)
            mask = sides[found.box] == found.side
            check_cube(self.configs["tumor"], mask.shape, spacing_mm)
            parts = self.engine.stage_two(self.configs["tumor"], hu[found.box], mask, spacing_mm)
            for part, probability in parts:
                inside = mask[part]
                labels[found.box][part][inside & (probability > THRESHOLD)] = TUMOR
                if kept is not None:
                    kept[found.box][part][inside] = fixed_point(probability[inside])


def watched(progress, cancel):
    """A function of the share done that calls `progress` and raises CancelledError once `cancel` is set."""

    def call(share):
        if cancel is not None and cancel.is_set():
            raise CancelledError
        if progress is not None:
            progress(share)

    return call


def check_cube(config, shape, spacing_mm):
    """Raises ValueError where a kidney's cube is not resized and would not fit into memory."""
    if config.grid:
        return
    padding = kidney_crops.native_padding(NumPy, shape, spacing_mm, config.margin_mm, 2**config.depth)
    sizes = [size + sum(int(width) for width in widths) for size, widths in zip(shape, padding, strict=True)]
    check_size("a kidney's cube", sizes, MAX_CUBE_VOXELS)


def check_size(what, shape, most):
    """Raises ValueError where an array of that shape would have more than `most` voxels."""
    if math.prod(shape) > most:
        raise ValueError(f"{what} would have {'x'.join(map(str, shape))} voxels, more than {most}")


def only_inside(array, inplane):
    """An array without what lies outside (rows, columns): itself where nothing does."""
    index = (slice(None), *inplane)
    if array[index].shape == array.shape:
        return array
    inside = np.zeros_like(array)
    inside[index] = array[index]
    return inside


def placed(part, slices, shape):
    """An array of some slices as one of all, zero elsewhere: itself where these are all."""
    if part.shape == shape:
        return part
    whole = np.zeros(shape, part.dtype)
    whole[slices] = part
    return whole


class Boxes:
    """The part of a CT that a network works on; the body, if not given, is looked for once, when first asked for."""

    def __init__(self, hu, body=None):
        self._hu = hu
        self._body = body

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
