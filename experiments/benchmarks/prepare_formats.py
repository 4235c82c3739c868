"""Weighs TFRecords of whole volumes, of blocks of slices and of single slices: bytes, and the time to read a window.

    python experiments/benchmarks/prepare_formats.py --record=build/prepared/cases/case_00006.tfrecord

The windows are those of a visit: 34 slices for axial patches, 128 for coronal and sagittal ones, from the middle of
the case; a volume must be read whole for either. Times are CPU seconds, the least of five, so that other work on the
machine does not count. Writes `experiments/results/prepare_formats.json` and the table in `docs/data.md`.
"""

import argparse
import pathlib
import sys
import tempfile
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from experiments.benchmarks.machine import machine  # noqa: E402
from experiments.documents import replace_block, table, write_result  # noqa: E402

WINDOWS = {"axial": 34, "coronal": 128}


def main():
    """Writes the case in each format, reads its windows and prints what that took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    from kits_tf.data import records

    record = records.read_record(arguments.record)
    slices = len(record.image)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, size in (("volume", slices), ("blocks of 32", 32), ("blocks of 8", 8), ("slices", 1)):
            records.BLOCK = size
            path = pathlib.Path(folder) / f"{size}.tfrecord"
            records.write_record(record, path)
            seconds = {plane: read_seconds(path, record, min(count, slices)) for plane, count in WINDOWS.items()}
            rows.append({"format": name, "megabytes": round(path.stat().st_size / 1e6, 1), "cpu_seconds": seconds})
            print(rows[-1], flush=True)
    start = time.process_time()
    packed = zlib.compress(record.image.tobytes(), 4)
    packing, start = time.process_time() - start, time.process_time()
    zlib.decompress(packed)
    unpacking = time.process_time() - start
    gzip = {"megabytes": round(len(packed) / 1e6, 1), "packing": round(packing, 3), "unpacking": round(unpacking, 3)}
    shape = list(record.image.shape)
    write_result("prepare_formats", {"machine": machine(), "shape": shape, "formats": rows, "zlib_image": gzip})
    print(gzip)
    replace_block("data.md", "formats", lines_of(rows, shape, gzip))


def lines_of(rows, shape, gzip):
    """The table in Markdown."""
    header = ["records of", "MB", *(f"CPU s for {count} slices" for count in WINDOWS.values())]
    lines = table(header, [[row["format"], row["megabytes"], *row["cpu_seconds"].values()] for row in rows])
    size = " x ".join(map(str, shape))
    packed = (
        f"zlib would shrink the image to {gzip['megabytes']} MB, and take {gzip['unpacking']:.2f} CPU s to unpack it."
    )
    return [*lines, "", f"A case of {size} voxels. {packed}"]


def read_seconds(path, record, count):
    """CPU seconds to read a window of slices from the middle of a case, in TensorFlow ops."""
    import tensorflow as tf

    from kits_tf.data.records import read_slices

    shape = tf.constant(record.image.shape)
    first = (record.image.shape[0] - count) // 2
    read = tf.function(lambda: read_slices(tf.constant(str(path)), shape, first, first + count))
    read()
    times = []
    for _ in range(5):
        start = time.process_time()
        read()
        times.append(time.process_time() - start)
    return round(min(times), 4)


if __name__ == "__main__":
    main()
