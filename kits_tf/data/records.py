"""The prepared format: one TFRecord file per case, read by TensorFlow ops from a disk or a bucket.

A prepared folder holds `dataset.json` and `cases/case_NNNNN.tfrecord`; paths are strings, because the folder may be an
address such as `gs://bucket/prepared`. The first record of a file is its header, a `tf.train.Example`:

| feature | content |
| --- | --- |
| shape | int64 [3], of image and label: slices, rows and columns of the body box |
| full_shape | int64 [3], of the whole volume |
| box | int64 [4]: first row, stop row, first column, stop column of the body box in the whole volume |
| spacing_mm | float64 little-endian [3]: slice, row, column |
| affine | float64 little-endian [4, 4]: (slice, row, column, 1) of the whole volume to RAS mm |
| orientation | axes of the source file, such as IPL |
| foreground | int32 little-endian [n, 3]: up to 4096 voxels with a label above 0, evenly spaced among them |

Each further record is an Example with the next BLOCK slices:

| feature | content |
| --- | --- |
| image | int16 little-endian HU, [BLOCK, rows, columns], C order |
| label | uint8 0/1/2, the same shape |

The last block is padded with air. To read some slices, a reader skips to their blocks. Arrays are stored as bytes,
since an Int64List would be four times larger.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import json
import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from kits_tf import files, geometry
from kits_tf.errors import InputError
from kits_tf.io.volume import Grid, Volume

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt
    import tensorflow as tf

    PathLike = str | os.PathLike[str]
    Features = Mapping[str, bytes | Sequence[int] | Sequence[float]]

FORMAT = 3
"""Incremented when records of earlier versions must be written again."""

AIR_HU = -1024
BLOCK = 8  # slices per record
MAX_FOREGROUND = 4096
INDEX_NAME = "dataset.json"
RECORD_SUFFIX = ".tfrecord"


@dataclasses.dataclass
class Record:
    """A prepared case; fields as in the table above."""

    image: np.ndarray
    label: np.ndarray
    full_shape: tuple[int, ...]
    box: geometry.BodyBox
    spacing_mm: tuple[float, ...]
    affine: np.ndarray
    orientation: str

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel of the source file in ml."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000


def from_volume(volume: Volume, labels: np.ndarray, orientation: str) -> Record:
    """Crop a CT and its labels to the body box; `orientation` are the axes of the source file, such as "IPL"."""
    box = geometry.body_box(volume.hu, volume.spacing_mm)
    return Record(
        image=to_int16(volume.hu[box.slices]),
        label=np.ascontiguousarray(labels[box.slices]),
        full_shape=tuple(volume.shape),
        box=box,
        spacing_mm=tuple(volume.spacing_mm),
        affine=np.asarray(volume.affine, np.float64),
        orientation=orientation,
    )


def to_int16(hu: np.ndarray) -> np.ndarray:
    """Return HU as contiguous int16, rounded and clipped to its range."""
    if hu.dtype == np.int16:
        return np.ascontiguousarray(hu)
    bounds = np.iinfo(np.int16)
    return np.clip(np.rint(hu), bounds.min, bounds.max).astype(np.int16)


def foreground_voxels(label: np.ndarray) -> np.ndarray:
    """Return up to MAX_FOREGROUND evenly spaced voxels with a label above 0, int32 [n, 3]."""
    indices = np.flatnonzero(label)
    if len(indices) > MAX_FOREGROUND:
        indices = indices[np.linspace(0, len(indices) - 1, MAX_FOREGROUND).astype(np.int64)]
    return np.stack(np.unravel_index(indices, label.shape), axis=-1).astype(np.int32)


def write_record(record: Record, path: PathLike) -> None:
    """Write a prepared case, whole or not at all."""
    header = {
        "shape": record.image.shape,
        "full_shape": record.full_shape,
        "box": (*record.box.rows, *record.box.columns),
        "spacing_mm": raw(record.spacing_mm, "<f8"),
        "affine": raw(record.affine, "<f8"),
        "orientation": record.orientation.encode(),
        "foreground": raw(foreground_voxels(record.label), "<i4"),
    }
    write_examples(itertools.chain([header], _blocks(record)), path)


def _blocks(record: Record) -> Iterator[Features]:
    """Yield the features of the blocks."""
    for first in range(0, len(record.image), BLOCK):
        image, label = (array[first : first + BLOCK] for array in (record.image, record.label))
        missing = [(0, BLOCK - len(image)), (0, 0), (0, 0)]
        yield {
            "image": raw(np.pad(image, missing, constant_values=AIR_HU), "<i2"),
            "label": raw(np.pad(label, missing), "u1"),
        }


def raw(array: npt.ArrayLike, dtype: npt.DTypeLike) -> bytes:
    """Return the bytes of an array, converted to `dtype`."""
    return np.ascontiguousarray(array, dtype).tobytes()


def write_examples(examples: Iterable[Features], path: PathLike) -> None:
    """Write the features of Examples as a TFRecord file, whole or not at all; raise OSError if that fails."""
    import tensorflow as tf

    # In a bucket, an object appears only once it is complete.
    target = contextlib.nullcontext(path) if "://" in str(path) else files.replacing(path)
    with target as temporary:
        try:
            with tf.io.TFRecordWriter(str(temporary)) as writer:
                for example in examples:
                    features = {name: _feature(value) for name, value in example.items()}
                    message = tf.train.Example(features=tf.train.Features(feature=features))
                    writer.write(message.SerializeToString(deterministic=True))
        except tf.errors.OpError as error:
            raise OSError(errno.EIO, error.message.rpartition("; ")[2], str(path)) from None


def _feature(value: bytes | Sequence[int] | Sequence[float]) -> tf.train.Feature:
    import tensorflow as tf

    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if isinstance(value[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=value))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=value))


def read_record(path: PathLike) -> Record:
    """Read a prepared case into NumPy arrays; raise InputError if the file is missing, damaged or no prepared case."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        parts = map(tf.train.Example.FromString, tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
        header = next(parts).features.feature
        shape, full_shape, box = (tuple(header[name].int64_list.value) for name in ("shape", "full_shape", "box"))
        image, label = np.empty(shape, np.int16), np.empty(shape, np.uint8)
        for first in range(0, shape[0], BLOCK):
            block = next(parts).features.feature
            for name, array in (("image", image), ("label", label)):
                part = array[first : first + BLOCK]
                part[...] = _from_raw(block[name], array.dtype, (BLOCK, *shape[1:]))[: len(part)]
        return Record(
            image=image,
            label=label,
            full_shape=full_shape,
            box=geometry.BodyBox(box[:2], box[2:]),
            spacing_mm=tuple(_from_raw(header["spacing_mm"], "<f8", (3,)).tolist()),
            affine=_from_raw(header["affine"], "<f8", (4, 4)),
            orientation=header["orientation"].bytes_list.value[0].decode(),
        )
    except (tf.errors.OpError, StopIteration, IndexError, ValueError, DecodeError) as error:
        reason = re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*", "", str(error).partition("\n")[0]) or "truncated"
        raise InputError(path, f"is not a prepared case ({reason})") from None


def _from_raw(feature: tf.train.Feature, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array of a feature made by `raw`; read-only."""
    return np.frombuffer(feature.bytes_list.value[0], dtype).reshape(shape)


def restore(part: np.ndarray, record: Record, fill: float) -> np.ndarray:
    """Return an array of a record's body box in the whole volume, with `fill` around it."""
    whole = np.full(record.full_shape, fill, part.dtype)
    whole[record.box.slices] = part
    return whole


def read_volume(path: PathLike) -> Volume:
    """Read the whole CT of a record, with air around the body box."""
    record = read_record(path)
    return Volume(restore(record.image, record, AIR_HU), record.spacing_mm, record.affine)


def read_labels(path: PathLike) -> tuple[np.ndarray, Grid]:
    """Read the labels of a record in the whole volume, uint8, and their grid."""
    record = read_record(path)
    return restore(record.label, record, 0), Grid(record.full_shape, record.spacing_mm, record.affine)


def read_header(path: str | tf.Tensor) -> dict[str, tf.Tensor]:
    """Read the header of a record in TensorFlow ops, eagerly or in a graph.

    Returns:
        shape and full_shape, int32 [3]; box, int32 [4]; spacing_mm, float64 [3]; foreground, int32 [n, 3].
    """
    import tensorflow as tf

    sizes = {"shape": 3, "full_shape": 3, "box": 4}
    features = {name: tf.io.FixedLenFeature([size], tf.int64) for name, size in sizes.items()}
    features |= {name: tf.io.FixedLenFeature([], tf.string) for name in ("spacing_mm", "foreground")}
    header = tf.io.parse_single_example(tf.data.TFRecordDataset(path).take(1).get_single_element(), features)
    return {name: tf.cast(header[name], tf.int32) for name in sizes} | {
        "spacing_mm": tf.ensure_shape(tf.io.decode_raw(header["spacing_mm"], tf.float64), [3]),
        "foreground": tf.reshape(tf.io.decode_raw(header["foreground"], tf.int32), [-1, 3]),
    }


def read_slices(
    path: str | tf.Tensor, shape: tf.Tensor, start: tf.Tensor, stop: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Read the blocks that contain some slices in TensorFlow ops, eagerly or in a graph.

    Args:
        path: Path of the record.
        shape: int32 [3], from `read_header`.
        start: First slice, int32.
        stop: Slice after the last, int32; at most the number of slices.

    Returns:
        Image (int16) and label (uint8) [n, rows, columns] of whole blocks, and the number of their first slice. The
        last block may end in slices of air.
    """
    import tensorflow as tf

    first, last = start // BLOCK, -(-stop // BLOCK)
    count = tf.cast(last - first, tf.int64)
    blocks = tf.data.TFRecordDataset(path).skip(tf.cast(first, tf.int64) + 1).take(count)
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in ("image", "label")}
    parsed = tf.io.parse_example(blocks.batch(count).get_single_element(), features)
    size = tf.concat([[-1], shape[1:]], axis=0)
    image = tf.reshape(tf.io.decode_raw(parsed["image"], tf.int16), size)
    return image, tf.reshape(tf.io.decode_raw(parsed["label"], tf.uint8), size), first * BLOCK


def is_file(path: PathLike) -> bool:
    """Return whether a local or remote file exists."""
    if "://" not in str(path):
        return os.path.isfile(path)  # without loading TensorFlow
    import tensorflow as tf

    return tf.io.gfile.exists(str(path)) and not tf.io.gfile.isdir(str(path))


def case_of(path: PathLike) -> str:
    """Return the case id of a record's path: `case_00007` for `cases/case_00007.tfrecord`."""
    return os.path.basename(path).partition(".")[0]


def is_record(path: PathLike) -> bool:
    """Return whether a path has the name of a prepared case."""
    return str(path).endswith(RECORD_SUFFIX)


def is_prepared(folder: PathLike) -> bool:
    """Return whether a folder holds prepared data."""
    return is_file(os.path.join(folder, INDEX_NAME))


def record_path(folder: PathLike, case: str) -> str:
    """Return the path of a case in a prepared folder: `cases/case_00007.tfrecord`."""
    return os.path.join(folder, "cases", case + RECORD_SUFFIX)


def read_index(folder: PathLike) -> dict[str, Any]:
    """Return the content of a prepared folder's `dataset.json`; raise InputError if kits-prepare did not write it."""
    path = os.path.join(folder, INDEX_NAME)
    if not is_file(path):
        raise InputError(path, "no such file; prepare the data by kits-prepare")
    try:
        index = json.loads(_read_text(path))
        [(case["id"], case["split"]) for case in index["cases"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(path, "not written by kits-prepare") from None
    if index.get("format") != FORMAT:
        raise InputError(path, "written by another version; run kits-prepare again")
    return index


def _read_text(path: str) -> str:
    """Return the text of a local or remote file; raise OSError if it cannot be read."""
    if "://" not in path:  # without loading TensorFlow
        with open(path, encoding="utf-8") as local:
            return local.read()
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path) as remote:
            return remote.read()
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, error.message, path) from None


def split_of(folder: PathLike) -> dict[str, str]:
    """Return the split of each case id of a prepared folder: "training", "validation" or "test"."""
    return {case["id"]: case["split"] for case in read_index(folder)["cases"]}


def find_records(folder: PathLike, split: str | None = None) -> list[str]:
    """Return the paths of a prepared folder's records, sorted by case; of one split if it is given."""
    cases = read_index(folder)["cases"]
    return sorted(record_path(folder, case["id"]) for case in cases if split in (None, case["split"]))
