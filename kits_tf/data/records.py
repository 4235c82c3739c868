"""The prepared format: one TFRecord file a case, readable by TensorFlow ops alone from a disk or a bucket.

A prepared folder holds `dataset.json` and `cases/case_NNNNN.tfrecord`. The first record of a file is its header, one
`tf.train.Example`:

| feature | content |
| --- | --- |
| shape | int64 [3], of image and label: slices, rows and columns of the body box |
| full_shape | int64 [3], of the whole volume |
| box | int64 [4]: first row, stop row, first column, stop column of the body box in the whole volume |
| spacing_mm | float64 little-endian [3]: slice, row, column |
| affine | float64 little-endian [4, 4]: (slice, row, column, 1) of the whole volume to RAS mm |
| orientation | the axes of the file it was read from, such as IPL |
| foreground | int32 little-endian [n, 3]: up to 4096 voxels with a label above 0, spread evenly over them |

Each further record is an Example with the next BLOCK slices:

| feature | content |
| --- | --- |
| image | int16 little-endian HU, [BLOCK, rows, columns], C order |
| label | uint8 0/1/2, the same shape |

The last block is filled up with air, so that all have one length; outside the box there is air as well. A reader
that wants some slices skips to their blocks without reading the others. The arrays are bytes since an Int64List would
be four times larger. `docs/data.md` has the figures behind the choice.
"""

import dataclasses
import errno
import itertools
import json
import os

import numpy as np

from kits_tf import geometry
from kits_tf.data.places import place, replacing
from kits_tf.errors import InputError
from kits_tf.io.volume import Volume

FORMAT = 2
"""Raised when records written by earlier versions must be written anew."""

AIR_HU = -1024
BLOCK = 8  # slices a record
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

    def integers(*values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    header = {
        "shape": integers(*record.image.shape),
        "full_shape": integers(*record.full_shape),
        "box": integers(*record.box.rows, *record.box.columns),
        "spacing_mm": raw(record.spacing_mm, "<f8"),
        "affine": raw(record.affine, "<f8"),
        "orientation": tf.train.Feature(bytes_list=tf.train.BytesList(value=[record.orientation.encode()])),
        "foreground": raw(foreground_voxels(record.label), "<i4"),
    }
    write_examples(itertools.chain([header], blocks(record)), path)


def blocks(record):
    """The features of a record's blocks, one dict after the other."""
    for first in range(0, len(record.image), BLOCK):
        image, label = (array[first : first + BLOCK] for array in (record.image, record.label))
        missing = [(0, BLOCK - len(image)), (0, 0), (0, 0)]
        yield {
            "image": raw(np.pad(image, missing, constant_values=AIR_HU), "<i2"),
            "label": raw(np.pad(label, missing), "u1"),
        }


def raw(array, dtype):
    """A feature with an array's bytes."""
    import tensorflow as tf

    data = np.ascontiguousarray(array, dtype).tobytes()
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))


def write_examples(examples, path):
    """Writes dicts of features as a TFRecord file of Examples, whole or not at all.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    import tensorflow as tf

    with replacing(path) as temporary:
        try:
            with tf.io.TFRecordWriter(str(temporary)) as writer:
                for features in examples:
                    example = tf.train.Example(features=tf.train.Features(feature=features))
                    writer.write(example.SerializeToString(deterministic=True))
        except tf.errors.OpError as error:
            raise os_error(error, path) from None


def os_error(error, path):
    """The OSError that says what TensorFlow met when it wrote a file; `path` is named by it."""
    import tensorflow as tf

    codes = {tf.errors.RESOURCE_EXHAUSTED: errno.ENOSPC, tf.errors.PERMISSION_DENIED: errno.EACCES}
    code = codes.get(error.error_code, errno.EIO)
    return OSError(code, os.strerror(code), str(path))


def read_record(path):
    """Reads a Record into NumPy arrays.

    Raises:
        InputError: the file is missing, damaged, or no prepared case.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        parts = map(tf.train.Example.FromString, tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
        header = next(parts).features.feature
        if "image" in header:
            raise InputError(path, "was written by an earlier version; run kits-prepare again")

        def integers(name):
            return tuple(header[name].int64_list.value)

        shape = integers("shape")
        image, label = np.empty(shape, np.int16), np.empty(shape, np.uint8)
        for first in range(0, shape[0], BLOCK):
            block = next(parts).features.feature
            for name, array in (("image", image), ("label", label)):
                part = array[first : first + BLOCK]
                part[...] = from_raw(block[name], array.dtype, (BLOCK, *shape[1:]))[: len(part)]
        return Record(
            image=image,
            label=label,
            full_shape=integers("full_shape"),
            box=box_of(integers("box")),
            spacing_mm=tuple(from_raw(header["spacing_mm"], "<f8", [3]).tolist()),
            affine=from_raw(header["affine"], "<f8", [4, 4]),
            orientation=header["orientation"].bytes_list.value[0].decode(),
        )
    except (tf.errors.OpError, StopIteration, IndexError, ValueError, DecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else "ends early"
        raise InputError(path, f"is not a prepared case ({reason})") from None


def box_of(numbers):
    """The BodyBox that a header's `box` tells."""
    first_row, stop_row, first_column, stop_column = numbers
    return geometry.BodyBox((first_row, stop_row), (first_column, stop_column))


def from_raw(feature, dtype, shape):
    """The array that `raw` made a feature of; read-only."""
    return np.frombuffer(feature.bytes_list.value[0], dtype).reshape(shape)


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
    return place(path).name.endswith(RECORD_SUFFIX)


def is_prepared(folder):
    """Whether a folder holds prepared data."""
    return (place(folder) / INDEX_NAME).is_file()


def record_path(folder, case):
    """Where a prepared folder keeps a case: `cases/case_00007.tfrecord`."""
    return place(folder) / "cases" / f"{case}{RECORD_SUFFIX}"


def read_index(folder):
    """The content of `dataset.json`.

    Raises:
        InputError: it is missing or not what kits-prepare writes.
    """
    path = place(folder) / INDEX_NAME
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        [(case["id"], case["split"]) for case in index["cases"]]
    except FileNotFoundError:
        raise InputError(path, "no such file; a prepared folder is made by kits-prepare") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(path, "is not what kits-prepare writes") from None
    if index.get("format") != FORMAT:
        raise InputError(path, "was written by another version; run kits-prepare again")
    return index


def find_records(folder, split=None):
    """The records of a prepared folder, sorted by case; those of one split if it is named."""
    cases = read_index(folder)["cases"]
    return sorted(record_path(folder, case["id"]) for case in cases if split in (None, case["split"]))


def read_header(path):
    """Reads a record's header in TensorFlow ops; may be traced.

    Args:
        path: scalar string tensor, a local path or one that TensorFlow's file systems know.

    Returns:
        dict of tensors: shape and full_shape int32 [3]; box int32 [4]; spacing_mm float64 [3];
        foreground int32 [n, 3].
    """
    import tensorflow as tf

    features = {
        "shape": tf.io.FixedLenFeature([3], tf.int64),
        "full_shape": tf.io.FixedLenFeature([3], tf.int64),
        "box": tf.io.FixedLenFeature([4], tf.int64),
        "spacing_mm": tf.io.FixedLenFeature([], tf.string),
        "foreground": tf.io.FixedLenFeature([], tf.string),
    }
    header = tf.io.parse_single_example(tf.data.TFRecordDataset(path).take(1).get_single_element(), features)
    integers = {name: tf.cast(header[name], tf.int32) for name in ("shape", "full_shape", "box")}
    return integers | {
        "spacing_mm": tf.ensure_shape(tf.io.decode_raw(header["spacing_mm"], tf.float64), [3]),
        "foreground": tf.reshape(tf.io.decode_raw(header["foreground"], tf.int32), [-1, 3]),
    }


def read_box(path):
    """The BodyBox of a record, from its header alone."""
    return box_of(read_header(str(path))["box"].numpy().tolist())


def read_slices(path, shape, start, stop):
    """Reads the blocks that hold some slices, in TensorFlow ops; may be traced.

    Args:
        path: scalar string tensor.
        shape: the header's, int32 [3].
        start: the first slice, int32.
        stop: the slice after the last, int32; above `start` and at most the number of slices.

    Returns:
        (image, label, first): int16 and uint8 [n, rows, columns]; slice i of the case is at i - first. There may be
        slices on either side that were not asked for, and air beyond the case's last.
    """
    import tensorflow as tf

    first, last = start // BLOCK, -(-stop // BLOCK)
    count = tf.cast(last - first, tf.int64)
    records = tf.data.TFRecordDataset(path).skip(tf.cast(first, tf.int64) + 1).take(count)
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in ("image", "label")}
    parsed = tf.io.parse_example(records.batch(count).get_single_element(), features)
    size = tf.concat([[-1], shape[1:]], axis=0)
    image = tf.reshape(tf.io.decode_raw(parsed["image"], tf.int16), size)
    return image, tf.reshape(tf.io.decode_raw(parsed["label"], tf.uint8), size), first * BLOCK
