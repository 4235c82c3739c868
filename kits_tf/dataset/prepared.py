"""The prepared format: one TFRecord file a case, readable by TensorFlow ops alone from a disk or a bucket.

A prepared folder holds `dataset.json` and `cases/case_NNNNN.tfrecord`. Each file is one `tf.train.Example`:

| feature | content |
| --- | --- |
| image | int16 little-endian HU, [slices, rows, columns] of the body box, C order |
| label | uint8 0/1/2, the same shape |
| shape | int64 [3], of both |
| full_shape | int64 [3], of the whole volume |
| box | int64 [4]: first row, stop row, first column, stop column of the body box in the whole volume |
| middle_column | int64: the body box's middle, in columns of the whole volume |
| spacing_mm | float64 little-endian [3]: slice, row, column |
| affine | float64 little-endian [4, 4]: (slice, row, column, 1) of the whole volume to RAS mm |
| orientation | the axes of the file it was read from, such as IPL |
| foreground | int32 little-endian [n, 3]: up to 4096 voxels with a label above 0, spread evenly over them |

Outside the box there is air. The arrays are bytes since an Int64List would be four times larger.
"""

import dataclasses
import json
import pathlib

import numpy as np

from kits_tf import files, geometry
from kits_tf.errors import InputError
from kits_tf.volume import Volume

AIR_HU = -1024
MAX_FOREGROUND = 4096
INDEX_NAME = "dataset.json"
RECORD_SUFFIX = ".tfrecord"


@dataclasses.dataclass
class Record:
    """A case as prepared; fields as in the module's table, arrays instead of bytes."""

    image: np.ndarray
    label: np.ndarray
    full_shape: tuple
    box: geometry.BodyBox
    spacing_mm: tuple
    affine: np.ndarray
    orientation: str

    @property
    def middle_column(self):
        """The body box's middle, in columns of the whole volume."""
        return geometry.middle_column(self.box.columns)


def from_volume(volume, labels, orientation):
    """Cuts a case to its body box.

    Args:
        volume: a Volume.
        labels: uint8 of its shape.
        orientation: the axes of its file, such as "IPL".
    """
    box = geometry.body_box(volume.hu)
    body = (slice(None), slice(*box.rows), slice(*box.columns))
    return Record(
        image=to_int16(volume.hu[body]),
        label=np.ascontiguousarray(labels[body]),
        full_shape=tuple(volume.hu.shape),
        box=box,
        spacing_mm=tuple(volume.spacing_mm),
        affine=np.asarray(volume.affine, np.float64),
        orientation=orientation,
    )


def to_int16(hu):
    """HU as contiguous int16, rounded and kept within what int16 holds."""
    if hu.dtype == np.int16:
        return np.ascontiguousarray(hu)
    bounds = np.iinfo(np.int16)
    return np.clip(np.rint(hu), bounds.min, bounds.max).astype(np.int16)


def foreground_voxels(label):
    """Up to MAX_FOREGROUND voxels with a label above 0, evenly spaced among all of them: int32 [n, 3]."""
    indices = np.flatnonzero(label)
    if len(indices) > MAX_FOREGROUND:
        indices = indices[np.linspace(0, len(indices) - 1, MAX_FOREGROUND).astype(np.int64)]
    return np.stack(np.unravel_index(indices, label.shape), axis=-1).astype(np.int32)


def write_record(record, path):
    """Writes a Record, whole or not at all."""
    import tensorflow as tf

    def raw(array, dtype):
        data = np.ascontiguousarray(array, dtype).tobytes()
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))

    def integers(*values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    features = {
        "image": raw(record.image, "<i2"),
        "label": raw(record.label, "u1"),
        "shape": integers(*record.image.shape),
        "full_shape": integers(*record.full_shape),
        "box": integers(*record.box.rows, *record.box.columns),
        "middle_column": integers(record.middle_column),
        "spacing_mm": raw(record.spacing_mm, "<f8"),
        "affine": raw(record.affine, "<f8"),
        "orientation": tf.train.Feature(bytes_list=tf.train.BytesList(value=[record.orientation.encode()])),
        "foreground": raw(foreground_voxels(record.label), "<i4"),
    }
    write_example(tf.train.Example(features=tf.train.Features(feature=features)), path)


def write_example(example, path):
    """Writes one `tf.train.Example` as a TFRecord file, whole or not at all."""
    import tensorflow as tf

    with files.replacing(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
        writer.write(example.SerializeToString())


def read_tensors(path):
    """Reads a record in TensorFlow ops; may be traced.

    Args:
        path: scalar string tensor, a local path or one that TensorFlow's file systems know.

    Returns:
        dict of tensors: image int16 and label uint8 [slices, rows, columns]; full_shape int32 [3]; box int32 [4];
        middle_column int32; spacing_mm float64 [3]; foreground int32 [n, 3].
    """
    import tensorflow as tf

    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.string),
        "shape": tf.io.FixedLenFeature([3], tf.int64),
        "full_shape": tf.io.FixedLenFeature([3], tf.int64),
        "box": tf.io.FixedLenFeature([4], tf.int64),
        "middle_column": tf.io.FixedLenFeature([], tf.int64),
        "spacing_mm": tf.io.FixedLenFeature([], tf.string),
        "foreground": tf.io.FixedLenFeature([], tf.string),
    }
    example = tf.io.parse_single_example(tf.data.TFRecordDataset(path).get_single_element(), features)
    return {
        "image": tf.reshape(tf.io.decode_raw(example["image"], tf.int16), example["shape"]),
        "label": tf.reshape(tf.io.decode_raw(example["label"], tf.uint8), example["shape"]),
        "full_shape": tf.cast(example["full_shape"], tf.int32),
        "box": tf.cast(example["box"], tf.int32),
        "middle_column": tf.cast(example["middle_column"], tf.int32),
        "spacing_mm": tf.ensure_shape(tf.io.decode_raw(example["spacing_mm"], tf.float64), [3]),
        "foreground": tf.reshape(tf.io.decode_raw(example["foreground"], tf.int32), [-1, 3]),
    }


def read_record(path):
    """Reads a Record into NumPy arrays (read-only).

    Raises:
        InputError: the file is missing, damaged, or no prepared case.
    """
    import tensorflow as tf

    try:
        data = next(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
        features = tf.train.Example.FromString(data).features.feature
        del data
        shape, box = features["shape"].int64_list.value, features["box"].int64_list.value

        def raw(name, dtype, shape):
            return np.frombuffer(features[name].bytes_list.value[0], dtype).reshape(tuple(shape))

        return Record(
            image=raw("image", "<i2", shape),
            label=raw("label", "u1", shape),
            full_shape=tuple(features["full_shape"].int64_list.value),
            box=geometry.BodyBox((box[0], box[1]), (box[2], box[3])),
            spacing_mm=tuple(raw("spacing_mm", "<f8", [3]).tolist()),
            affine=raw("affine", "<f8", [4, 4]),
            orientation=features["orientation"].bytes_list.value[0].decode(),
        )
    except (tf.errors.OpError, StopIteration, IndexError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else "is empty"
        raise InputError(path, f"is not a prepared case ({reason})") from None


def restore(part, record, fill):
    """A part cut to the body box, back in the whole volume; `fill` outside the box."""
    whole = np.full(record.full_shape, fill, part.dtype)
    whole[:, slice(*record.box.rows), slice(*record.box.columns)] = part
    return whole


def read_volume(path):
    """The whole CT of a record as a Volume, air outside the body box."""
    record = read_record(path)
    return Volume(restore(record.image, record, AIR_HU), record.spacing_mm, record.affine)


def is_record(path):
    """Whether a path has a prepared case's name."""
    return pathlib.Path(path).name.endswith(RECORD_SUFFIX)


def is_prepared(folder):
    """Whether a folder holds prepared data."""
    return (pathlib.Path(folder) / INDEX_NAME).is_file()


def record_path(folder, case):
    """Where a prepared folder keeps a case: `cases/case_00007.tfrecord`."""
    return pathlib.Path(folder) / "cases" / f"{case}{RECORD_SUFFIX}"


def read_index(folder):
    """The content of `dataset.json`.

    Raises:
        InputError: it is missing or not what kits-prepare writes.
    """
    path = pathlib.Path(folder) / INDEX_NAME
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        [(case["id"], case["split"]) for case in index["cases"]]
        return index
    except FileNotFoundError:
        raise InputError(path, "no such file; a prepared folder is made by kits-prepare") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(path, "is not what kits-prepare writes") from None


def find_records(folder, split=None):
    """The records of a prepared folder, sorted by case; those of one split if it is named."""
    cases = read_index(folder)["cases"]
    return sorted(record_path(folder, case["id"]) for case in cases if split in (None, case["split"]))
