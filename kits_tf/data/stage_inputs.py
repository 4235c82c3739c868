"""The tumor network's samples: the cube around each kidney, cut and resized once and kept as TFRecord files.

Each file is one `tf.train.Example`: image (int16 HU, air outside the kidney), label (uint8, tumor inside the kidney)
and, for the config's "signed_distance", distance (int16, hundredths of a mm, negative inside the tumor, clipped at
`stored_limit_mm`), all little-endian in C order with `shape`; tumor_ml, the volume of the whole case's tumor;
spacing_mm, of the cube: slice, row, column.
"""

import dataclasses
import hashlib
import json
import math
import pathlib

import numpy as np
from scipy import ndimage

from kits_tf import files, geometry, kidney_crops, laterality
from kits_tf.arrays import NumPy as xp
from kits_tf.data import kits19
from kits_tf.data.places import place
from kits_tf.data.records import AIR_HU, RECORD_SUFFIX, raw, read_record, restore, write_examples, write_record
from kits_tf.errors import InputError, UsageError
from kits_tf.io.volume import read_labels

FORMAT = 2
SETTINGS = ("body_box", "min_component_share", "clip_low_hu", "clip_high_hu", "depth", "grid", "margin_mm",
            "regression", "max_distance_mm", "max_scaling")  # fmt: skip
INDEX_NAME = "samples.json"
HUNDREDTHS = 100  # of a mm


def kidney_samples(records, config, kidney_masks, folder, report=print):
    """The samples of the kidneys of prepared cases; made anew if the settings or the data have changed.

    Args:
        records: paths of prepared cases.
        config: a TumorConfig.
        kidney_masks: "labels", or a folder of predicted labels (`prediction_NNNNN.nii.gz`).
        folder: where the samples are kept.
        report: called with a line when there is something to do.

    Returns:
        list of dicts {"path", "tumor"}: the file, and whether the kidney holds tumor voxels; in the order of
        `records`, of a case the right kidney before the left.

    Raises:
        UsageError: `kidney_masks` is no such folder, or there is no kidney in any case.
        InputError: a predicted mask is missing or of another shape.
    """
    folder = pathlib.Path(folder)
    key = settings_key(records, config, kidney_masks)
    samples = read_index(folder, key)
    if samples is None:
        report(f"cutting the kidneys of {len(records)} cases, once")
        (folder / INDEX_NAME).unlink(missing_ok=True)  # it says nothing of samples that are replaced
        samples = [s for path in records for s in cut_case(path, config, kidney_masks, folder)]
        if not samples:
            raise UsageError("kidney_masks", "there is no kidney in any training case")
        content = {"key": key, "samples": samples}
        files.write_text(folder / INDEX_NAME, json.dumps(content, indent=2) + "\n")
    return [{**sample, "path": folder / sample["path"]} for sample in samples]


def settings_key(records, config, kidney_masks):
    """A digest of everything that samples depend on."""
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in records]
    masks = []
    if kidney_masks != "labels":
        masks = [str(mask_path(kidney_masks, case_of(path))) for path in records]
        masks = [(path, pathlib.Path(path).stat().st_mtime_ns) for path in masks if pathlib.Path(path).is_file()]
    settings = {name: getattr(config, name) for name in SETTINGS}
    content = json.dumps([FORMAT, settings, stamps, kidney_masks, masks])
    return hashlib.sha256(content.encode()).hexdigest()


def read_index(folder, key):
    """The samples of an earlier run with the same key, or None."""
    try:
        content = json.loads((folder / INDEX_NAME).read_text(encoding="utf-8"))
        complete = content["key"] == key and all((folder / s["path"]).is_file() for s in content["samples"])
        return content["samples"] if complete else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def case_of(path):
    """The case id of a record's path."""
    return place(path).name.split(".")[0]


def mask_path(kidney_masks, case):
    """Where kits-predict wrote a case's labels."""
    return pathlib.Path(kidney_masks) / kits19.prediction_name(case)


def cut_case(path, config, kidney_masks, folder):
    """Writes the samples of one case; returns what the index says of them."""
    record, case = read_record(path), case_of(path)
    mask = kidney_mask(record, case, kidney_masks)
    columns = record.box.columns if config.body_box else (0, record.full_shape[2])
    middle = geometry.middle_column(columns) - record.box.columns[0]
    side_map = laterality.kidney_sides(mask, record.spacing_mm, middle, config.min_component_share)
    tumor_ml = float(np.count_nonzero(record.label == 2) * np.prod(record.spacing_mm) / 1000)
    samples = []
    for kidney in laterality.kidneys(side_map):
        name = f"{case}_{laterality.SIDE_NAMES[kidney.side]}{RECORD_SUFFIX}"
        arrays = kidney_cube(record, kidney, side_map[kidney.box] == kidney.side, config)
        write_sample(arrays, tumor_ml, cube_spacing_mm(record, kidney, config), folder / name)
        samples.append({"path": name, "tumor": bool(arrays["label"].any())})
    return samples


def check_mask(case, kidney_masks):
    """Raises InputError if a folder of predictions does not hold a case's; "labels" holds all."""
    path = mask_path(kidney_masks, case)
    if kidney_masks != "labels" and not path.is_file():
        raise InputError(path, f"no such file; --kidney_masks should hold the prediction of {case}")


def kidney_mask(record, case, kidney_masks):
    """The kidney with its tumor, bool on the record's grid: from its label or from a folder of predictions."""
    if kidney_masks == "labels":
        return record.label > 0
    check_mask(case, kidney_masks)
    path = mask_path(kidney_masks, case)
    labels, _ = read_labels(path)
    if labels.shape != tuple(record.full_shape):
        raise InputError(path, f"shape {labels.shape} differs from that of {case}, {tuple(record.full_shape)}")
    return labels[:, slice(*record.box.rows), slice(*record.box.columns)] > 0


def kidney_cube(record, kidney, mask, config):
    """The cube of one kidney as prediction sees it.

    Args:
        record: a Record.
        kidney: a `laterality.Kidney` of it.
        mask: bool, the kidney inside its box.
        config: a TumorConfig.

    Returns:
        dict of arrays [slices, rows, columns]: image int16, label uint8 and, if asked for, distance int16.
    """
    image = geometry.scale(xp, record.image[kidney.box], config.clip_hu) * mask
    label = (record.label[kidney.box] == 2) & mask
    arrays = {"image": image, "label": label.astype(np.float32)}
    arrays = {name: to_cube(array, record.spacing_mm, config) for name, array in arrays.items()}
    hu = arrays["image"] * (config.clip_high_hu - config.clip_low_hu) + config.clip_low_hu
    cube = {"image": np.rint(hu).astype(np.int16), "label": (arrays["label"] >= 0.5).astype(np.uint8)}
    if config.regression == "signed_distance":
        spacing_mm = cube_spacing_mm(record, kidney, config)
        cube["distance"] = signed_distance(cube["label"], spacing_mm, stored_limit_mm(config))
    return cube


def to_cube(crop, spacing_mm, config):
    """A kidney's crop as its cube: resized to the config's grid, or padded where that is native."""
    if config.grid:
        return kidney_crops.to_cube(xp, crop, spacing_mm, config.margin_mm, config.grid)
    return np.pad(crop, kidney_crops.native_padding(xp, crop.shape, spacing_mm, config.margin_mm, 2**config.depth))


def cube_spacing_mm(record, kidney, config):
    """Spacing of a kidney's cube: (slice, row, column)."""
    if not config.grid:
        return record.spacing_mm
    shape = [part.stop - part.start for part in kidney.box]
    return (float(kidney_crops.cube_side_mm(xp, shape, record.spacing_mm, config.margin_mm)) / config.grid,) * 3


def stored_limit_mm(config):
    """Where stored distances are clipped: far enough that the config's limit is reached in a shrunk sample as well.

    It is rounded up to hundredths of a mm.
    """
    return math.ceil(HUNDREDTHS * config.max_distance_mm / (1 - config.max_scaling)) / HUNDREDTHS


def signed_distance(label, spacing_mm, limit_mm):
    """Distance to the tumor in hundredths of a mm, negative inside, clipped; the limit where there is no tumor."""
    if not label.any():
        return np.full(label.shape, round(limit_mm * HUNDREDTHS), np.int16)
    outside = ndimage.distance_transform_edt(label == 0, sampling=spacing_mm)
    inside = ndimage.distance_transform_edt(label, sampling=spacing_mm)
    return np.rint(np.clip(outside - inside, -limit_mm, limit_mm) * HUNDREDTHS).astype(np.int16)


def write_sample(arrays, tumor_ml, spacing_mm, path):
    """Writes one kidney's Example."""
    import tensorflow as tf

    features = {name: raw(array, array.dtype) for name, array in arrays.items()}
    features["shape"] = tf.train.Feature(int64_list=tf.train.Int64List(value=arrays["image"].shape))
    features["tumor_ml"] = tf.train.Feature(float_list=tf.train.FloatList(value=[tumor_ml]))
    features["spacing_mm"] = tf.train.Feature(float_list=tf.train.FloatList(value=spacing_mm))
    write_examples([features], path)


def read_sample(path, with_distance):
    """Reads a sample in TensorFlow ops; may be traced.

    Returns:
        dict: image int16, label uint8 and, if asked for, distance int16, [slices, rows, columns]; tumor_ml float32
        scalar; spacing_mm float32 [3].
    """
    import tensorflow as tf

    types = {"image": tf.int16, "label": tf.uint8} | ({"distance": tf.int16} if with_distance else {})
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in types}
    features["shape"] = tf.io.FixedLenFeature([3], tf.int64)
    features["tumor_ml"] = tf.io.FixedLenFeature([], tf.float32)
    features["spacing_mm"] = tf.io.FixedLenFeature([3], tf.float32)
    example = tf.io.parse_single_example(tf.data.TFRecordDataset(path).get_single_element(), features)
    sample = {
        name: tf.reshape(tf.io.decode_raw(example[name], kind), example["shape"]) for name, kind in types.items()
    }
    return sample | {"tumor_ml": example["tumor_ml"], "spacing_mm": example["spacing_mm"]}


def working_records(records, config, report=print):
    """The records on the working grid of a KidneyConfig; those that are missing or outdated are written.

    Args:
        records: paths of prepared cases.
        config: `inplane_mm`, `slice_mm` and `body_box` matter here.
        report: called with a line when there is something to do.

    Returns:
        list of paths; `records` themselves where the config works on the native grid.
    """
    if geometry.is_native(config):
        return list(records)
    targets = [working_path(path, config) for path in records]
    waiting = [pair for pair in zip(records, targets, strict=True) if is_outdated(*pair)]
    if waiting:
        report(f"resizing {len(waiting)} cases to {describe(config)}, once")
    for source, target in waiting:
        write_record(resized(read_record(source), config), target)
    return targets


def working_path(path, config):
    """Where the working record of a prepared case lies."""
    path = place(path)
    part = "body" if config.body_box else "whole"
    grid = f"{config.slice_mm:g}x{config.inplane_mm:g}mm"
    return path.parent.parent / "working" / f"{grid}_{part}" / path.name


def describe(config):
    """The working grid in words."""
    sizes = [f"{config.inplane_mm:g} mm pixels"] if config.inplane_mm else []
    sizes += [f"{config.slice_mm:g} mm slices"] if config.slice_mm else []
    return " and ".join(sizes)


def is_outdated(source, target):
    """Whether a working record is missing, or older than the record it was made from."""
    return not target.is_file() or target.stat().st_mtime_ns < place(source).stat().st_mtime_ns


def resized(record, config):
    """A Record resized as prediction does; its box and shape are those of its own grid."""
    image, label = record.image, record.label > 0
    if not config.body_box:
        image = restore(image, record, AIR_HU)
        label = restore(label, record, False)
    shape = geometry.working_shape(image.shape, record.spacing_mm, config)
    new_image, new_label = np.empty(shape, np.int16), np.empty(shape, np.uint8)
    for chunk, values in geometry.resized_chunks(image, shape, geometry.clipped):
        new_image[chunk] = np.rint(values)
    for chunk, values in geometry.resized_chunks(label, shape):
        new_label[chunk] = values >= 0.5
    return dataclasses.replace(
        record,
        image=new_image,
        label=new_label,
        full_shape=shape,
        box=geometry.whole_box(shape),
        spacing_mm=tuple(
            mm * before / after for mm, before, after in zip(record.spacing_mm, image.shape, shape, strict=True)
        ),
    )
