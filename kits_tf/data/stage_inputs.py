"""What each stage trains on, made once from the prepared cases and kept as TFRecord files.

Stage 1 reads cases resized to the network's working grid, in the prepared format with labels 0/1, from `working/` in
the prepared folder. Stage 2 reads the cube around each kidney, one `tf.train.Example` a file: image (int16 HU, air
outside the kidney), label (uint8, tumor inside the kidney) and, for "signed_distance", distance (int16, hundredths of
a mm, negative inside the tumor, clipped at `stored_limit_mm`), little-endian in C order with `shape`; tumor_ml, the
tumor volume of the whole case; spacing_mm of the cube (slice, row, column).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from kits_tf import files, geometry, kidney_crops, laterality
from kits_tf.arrays import NumPy as xp
from kits_tf.data import kits19, records
from kits_tf.data.records import Record
from kits_tf.data.validate import AFFINE_TOLERANCE_MM
from kits_tf.errors import InputError, UsageError
from kits_tf.io.volume import read_labels
from kits_tf.progress import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import tensorflow as tf

    from kits_tf.config import KidneyConfig, TumorConfig

    PathLike = str | os.PathLike[str]

FORMAT = 2
SETTINGS = ("body_box", "min_component_ml", "min_agreement", "clip_low_hu", "clip_high_hu", "depth", "grid",
            "context_mm", "margin_mm", "regression", "max_distance_mm", "max_scaling")  # fmt: skip
INDEX_NAME = "samples.json"
HUNDREDTHS = 100  # of a mm


def working_records(
    paths: Sequence[PathLike], config: KidneyConfig, report: Callable[[str], None] = print
) -> list[str]:
    """Return records on a kidney network's working grid; write those that are missing or outdated.

    If the training of several networks starts at once, one resizes a case and the others wait for it.

    Args:
        paths: Prepared cases.
        config: Its `inplane_mm`, `slice_mm` and `body_box` define the grid.
        report: Called with a line if there is work to do.

    Returns:
        Paths in the same order; the prepared cases themselves if the grid is native.
    """
    sources = [str(path) for path in paths]
    if geometry.is_native(config):
        return sources
    grid = f"{config.slice_mm:g}x{config.inplane_mm:g}mm_{'body' if config.body_box else 'whole'}"
    folders = {path: os.path.join(path.rpartition("/cases/")[0], "working", grid) for path in sources}
    targets = {path: os.path.join(folder, os.path.basename(path)) for path, folder in folders.items()}
    outdated = [pair for pair in targets.items() if _is_outdated(*pair)]
    if outdated:
        report(f"resizing {counted(len(outdated), 'case')} to the working grid {grid}, once")
    for source, target in outdated:
        with files.locked(os.path.join(os.path.dirname(target), "resizing")):
            if _is_outdated(source, target):
                records.write_record(resized(records.read_record(source), config), target)
    return list(targets.values())


def _is_outdated(source: str, target: str) -> bool:
    import tensorflow as tf

    return not records.is_file(target) or tf.io.gfile.stat(target).mtime_nsec < tf.io.gfile.stat(source).mtime_nsec


def resized(record: Record, config: KidneyConfig) -> Record:
    """Resize a case to the working grid, as prediction does; the result is an uncropped volume."""
    image, label = record.image, record.label > 0
    if not config.body_box:
        image, label = records.restore(image, record, records.AIR_HU), records.restore(label, record, False)
    shape = geometry.working_shape(image.shape, record.spacing_mm, config)
    new_image, new_label = np.empty(shape, np.int16), np.empty(shape, np.uint8)
    for chunk, values in geometry.resized_chunks(image, shape, geometry.clipped):
        new_image[chunk] = np.rint(values)
    for chunk, values in geometry.resized_chunks(label, shape):
        new_label[chunk] = values >= 0.5
    spacing_mm = tuple(mm * old / new for mm, old, new in zip(record.spacing_mm, image.shape, shape, strict=True))
    whole = geometry.whole_box(shape)
    return Record(new_image, new_label, shape, whole, spacing_mm, record.affine, record.orientation)


def kidney_samples(
    paths: Sequence[PathLike],
    config: TumorConfig,
    kidney_masks: str,
    folder: PathLike,
    report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Return the tumor network's samples, cut again if the settings or the data have changed.

    Args:
        paths: Prepared cases.
        config: The network's config.
        kidney_masks: "labels", or a folder of predicted labels (`prediction_NNNNN.nii.gz`).
        folder: Where the samples are kept.
        report: Called with a line if there is work to do.

    Returns:
        "path", and "tumor", whether the kidney contains any, of each kidney: the right before the left of each case.

    Raises:
        UsageError: No case has a kidney.
        InputError: A predicted mask is missing, or on another grid than its case.
    """
    folder = pathlib.Path(folder)
    index, key = folder / INDEX_NAME, _settings_key(paths, config, kidney_masks)
    with files.locked(index):  # workers may start together
        samples = _read_samples(index, key)
        if samples is None:
            report(f"cutting the kidneys of {counted(len(paths), 'case')}, once")
            index.unlink(missing_ok=True)  # it does not describe the samples about to be replaced
            samples = [sample for path in paths for sample in _cut_case(path, config, kidney_masks, folder)]
            if not samples:
                raise UsageError("kidney_masks", "no training case has a kidney")
            files.write_text(index, json.dumps({"key": key, "samples": samples}, indent=2) + "\n")
    return [{**sample, "path": folder / sample["path"]} for sample in samples]


def _settings_key(paths: Sequence[PathLike], config: TumorConfig, kidney_masks: str) -> str:
    """Return a digest of everything that samples depend on."""
    import tensorflow as tf

    sources = [str(path) for path in paths]
    if kidney_masks != "labels":
        sources += [str(check_mask(records.case_of(path), kidney_masks)) for path in paths]
    statuses = [(os.path.basename(path), tf.io.gfile.stat(path)) for path in sources]
    stamps = [(name, status.length, status.mtime_nsec) for name, status in statuses]
    settings = {name: getattr(config, name) for name in SETTINGS}
    return hashlib.sha256(json.dumps([FORMAT, settings, stamps, kidney_masks]).encode()).hexdigest()


def _read_samples(index: pathlib.Path, key: str) -> list[dict[str, Any]] | None:
    """Return the samples of an earlier run with the same key."""
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        is_complete = content["key"] == key and all((index.parent / s["path"]).is_file() for s in content["samples"])
        return content["samples"] if is_complete else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _cut_case(path: PathLike, config: TumorConfig, kidney_masks: str, folder: pathlib.Path) -> list[dict[str, Any]]:
    """Write the samples of one case and return their part of the index."""
    record, case = records.read_record(path), records.case_of(path)
    mask = kidney_mask(record, case, kidney_masks)
    columns = record.box.columns if config.body_box else (0, record.full_shape[2])
    middle = geometry.middle_column(columns) - record.box.columns[0]
    least = config.min_component_ml, config.min_agreement
    side_map = laterality.kidney_sides(mask, record.spacing_mm, middle, *least)
    tumor_ml = float(np.count_nonzero(record.label == 2) * record.voxel_ml)
    samples = []
    for found in laterality.kidneys(side_map):
        kidney, seen = laterality.with_context(side_map, found, record.spacing_mm, config.context_mm)
        name = f"{case}_{laterality.SIDE_NAMES[kidney.side]}{records.RECORD_SUFFIX}"
        arrays = kidney_cube(record, kidney, seen, config)
        write_sample(arrays, tumor_ml, cube_spacing_mm(record, kidney, config), folder / name)
        samples.append({"path": name, "tumor": bool(arrays["label"].any())})
    return samples


def mask_path(kidney_masks: PathLike, case: str) -> pathlib.Path:
    """Return the path of a case's labels in a folder written by kits-predict."""
    return pathlib.Path(kidney_masks) / kits19.prediction_name(case)


def check_mask(case: str, kidney_masks: str) -> pathlib.Path:
    """Return a case's `mask_path`; raise InputError if it is missing and `kidney_masks` is not "labels"."""
    path = mask_path(kidney_masks, case)
    if kidney_masks != "labels" and not path.is_file():
        raise InputError(path, f"no such file; --kidney_masks must hold the prediction of {case}")
    return path


def kidney_mask(record: Record, case: str, kidney_masks: str) -> np.ndarray:
    """Return kidney and tumor as one bool mask on a record's grid; `kidney_masks` is as for `kidney_samples`.

    Raises:
        InputError: The prediction is missing, unreadable, or on another grid than the case.
    """
    if kidney_masks == "labels":
        return record.label > 0
    path = check_mask(case, kidney_masks)
    labels, grid = read_labels(path)
    if labels.shape != tuple(record.full_shape):
        raise InputError(path, f"shape {labels.shape} differs from that of {case}, {tuple(record.full_shape)}")
    distance_mm = geometry.corner_distance_mm(record.full_shape, record.affine, grid.affine)
    if distance_mm > AFFINE_TOLERANCE_MM:
        raise InputError(path, f"affine differs from that of {case} by {distance_mm:.3g} mm; predict this very CT")
    return labels[record.box.slices] > 0


def kidney_cube(
    record: Record, kidney: laterality.Kidney, mask: np.ndarray, config: TumorConfig
) -> dict[str, np.ndarray]:
    """Return the cube of one kidney, as prediction sees it: image, label and, for "signed_distance", distance.

    Types and units are as in the module's docstring; `mask` is what is seen in its box, bool.
    """
    image = geometry.scale(xp, record.image[kidney.box], config.clip_hu) * mask
    label = ((record.label[kidney.box] == 2) & mask).astype(np.float32)
    image, label = (_to_cube(array, record.spacing_mm, config) for array in (image, label))
    hu = image * (config.clip_high_hu - config.clip_low_hu) + config.clip_low_hu
    cube: dict[str, np.ndarray] = {"image": np.rint(hu).astype(np.int16), "label": (label >= 0.5).astype(np.uint8)}
    if config.regression == "signed_distance":
        spacing_mm = cube_spacing_mm(record, kidney, config)
        cube["distance"] = signed_distance(cube["label"], spacing_mm, stored_limit_mm(config))
    return cube


def _to_cube(crop: np.ndarray, spacing_mm: Sequence[float], config: TumorConfig) -> np.ndarray:
    """Resize a crop to the config's grid, or pad it if the grid is native."""
    if config.grid:
        return kidney_crops.to_cube(xp, crop, spacing_mm, config.margin_mm, config.grid)
    return np.pad(crop, kidney_crops.native_padding(xp, crop.shape, spacing_mm, config.margin_mm, 2**config.depth))


def cube_spacing_mm(record: Record, kidney: laterality.Kidney, config: TumorConfig) -> tuple[float, ...]:
    """Return the (slice, row, column) spacing of a kidney's cube."""
    if not config.grid:
        return record.spacing_mm
    shape = [part.stop - part.start for part in kidney.box]
    return (float(kidney_crops.cube_side_mm(xp, shape, record.spacing_mm, config.margin_mm)) / config.grid,) * 3


def stored_limit_mm(config: TumorConfig) -> float:
    """Return where stored distances are clipped: in a shrunk sample they must still reach the config's limit."""
    return math.ceil(HUNDREDTHS * config.max_distance_mm / (1 - config.max_scaling)) / HUNDREDTHS


def signed_distance(label: np.ndarray, spacing_mm: Sequence[float], limit_mm: float) -> np.ndarray:
    """Return the distance to the tumor in hundredths of a mm, int16, negative inside and clipped at the limit."""
    if not label.any():
        return np.full(label.shape, round(limit_mm * HUNDREDTHS), np.int16)
    outside = ndimage.distance_transform_edt(label == 0, sampling=spacing_mm)
    inside = ndimage.distance_transform_edt(label, sampling=spacing_mm)
    return np.rint(np.clip(outside - inside, -limit_mm, limit_mm) * HUNDREDTHS).astype(np.int16)


def write_sample(arrays: dict[str, np.ndarray], tumor_ml: float, spacing_mm: Sequence[float], path: PathLike) -> None:
    """Write the sample of one kidney."""
    features = {name: records.raw(array, array.dtype) for name, array in arrays.items()}
    numbers = {"shape": arrays["image"].shape, "tumor_ml": [float(tumor_ml)], "spacing_mm": [*map(float, spacing_mm)]}
    records.write_examples([features | numbers], path)


def read_sample(path: str | tf.Tensor, with_distance: bool) -> dict[str, tf.Tensor]:
    """Read a sample in TensorFlow ops, eagerly or in a graph.

    Returns:
        image int16, label uint8 and, if asked for, distance int16, [slices, rows, columns]; tumor_ml float32 scalar;
        spacing_mm float32 [3].
    """
    import tensorflow as tf

    types = {"image": tf.int16, "label": tf.uint8} | ({"distance": tf.int16} if with_distance else {})
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in types}
    features["shape"] = tf.io.FixedLenFeature([3], tf.int64)
    features["tumor_ml"] = tf.io.FixedLenFeature([], tf.float32)
    features["spacing_mm"] = tf.io.FixedLenFeature([3], tf.float32)
    example = tf.io.parse_single_example(tf.data.TFRecordDataset(path).get_single_element(), features)
    arrays = {n: tf.reshape(tf.io.decode_raw(example[n], kind), example["shape"]) for n, kind in types.items()}
    return arrays | {name: example[name] for name in ("tumor_ml", "spacing_mm")}
