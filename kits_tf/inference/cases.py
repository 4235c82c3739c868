"""One CT file to one label file and its JSON: reading, segmenting, writing, and what is said about it."""

import json
import pathlib
import resource
import time

import numpy as np

from kits_tf import files
from kits_tf.dataset import prepared
from kits_tf.dicom.reading import read_volume as read_series
from kits_tf.dicom.segmentation import write_segmentation
from kits_tf.errors import InputError
from kits_tf.evaluation.measurements import measure
from kits_tf.inference.inputs import kidney_mask_path
from kits_tf.volume import read_labels, read_volume, write_labels


def is_done(source, output_dir):
    """Whether both files of an Input are there; the JSON is written last."""
    path = pathlib.Path(output_dir) / source.output_name
    return path.is_file() and summary_path(path).is_file()


def summary_path(path):
    """The JSON beside a label file: the same name with `.json`."""
    return companion(path, ".json")


def companion(path, suffix):
    """A file beside a label file: the same name with another suffix."""
    return path.with_name(path.name.removesuffix(".nii.gz") + suffix)


def segment_file(segmenter, source, output_dir, checkpoint, kidney_masks=None, progress=None, companions=()):
    """Segments one CT and writes its labels, for a DICOM series a DICOM SEG too, and last its JSON.

    Args:
        segmenter: a Segmenter.
        source: an Input.
        output_dir: folder to write to.
        checkpoint: the checkpoint's name, for the JSON.
        kidney_masks: folder of masks (label > 0) that replace stage 1, or None.
        progress: called with the share done, 0 to 1.
        companions: functions that write more beside the labels; called with their path, the Input, the `Volume`, the
            labels and the JSON's content.

    Returns:
        The JSON's content.

    Raises:
        InputError: the CT or its mask cannot be used.
    """
    start = time.perf_counter()
    volume = read(source)
    mask = read_mask(kidney_masks, source, volume) if kidney_masks else None
    seconds = {"read": time.perf_counter() - start}
    result = segmenter.run(volume.hu, volume.spacing_mm, mask=mask, progress=progress)
    seconds |= result.seconds
    path = pathlib.Path(output_dir) / source.output_name
    writing = time.perf_counter()
    write_labels(result.labels, volume, path)
    if source.series:
        write_segmentation(result.labels, source.series, companion(path, ".dcm"))
    seconds |= {"write": time.perf_counter() - writing, "total": time.perf_counter() - start}
    summary = {
        "input": source.name,
        "shape": list(volume.shape),
        "spacing_mm": [round(s, 6) for s in volume.spacing_mm],
        "engine": segmenter.engine.name,
        "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        **measure(result.labels, volume.spacing_mm, sides=result.sides),
        "checkpoint": checkpoint,
    }
    for write in companions:
        write(path, source, volume, result.labels, summary)
    files.write_text(summary_path(path), json.dumps(summary, indent=2) + "\n")
    return summary


def read(source):
    """The Volume of an Input: a NIfTI file, a prepared record or a DICOM series."""
    if source.series:
        return read_series(source.series)
    if prepared.is_record(source.path):
        return prepared.read_volume(source.path)
    return read_volume(source.path)


def read_mask(folder, source, volume):
    """The kidney mask of an Input, bool on its grid."""
    path = kidney_mask_path(folder, source)
    if not path.is_file():
        raise InputError(path, f"no such file; it should hold the kidney mask of {source.path}")
    labels, grid = read_labels(path)
    if labels.shape != volume.shape or not np.allclose(grid.affine, volume.affine, atol=1e-2):
        raise InputError(path, f"shape {labels.shape} or affine differs from that of {source.path}")
    return labels > 0
