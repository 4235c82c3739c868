"""One CT file to one label file and its JSON: reading, segmenting, writing, and what is said about it."""

import contextlib
import dataclasses
import json
import pathlib
import resource
import time

from kits_tf import files
from kits_tf.data.kits19 import PROBABILITY_SUFFIXES
from kits_tf.data.records import is_record, read_box
from kits_tf.errors import InputError
from kits_tf.evaluation.lesions import measure
from kits_tf.inference import companions, digests, options, reading
from kits_tf.inference.companions import companion
from kits_tf.inference.doubts import doubts, left_out
from kits_tf.inference.fusion import UNIT
from kits_tf.io.volume import write_labels, write_scaled


@dataclasses.dataclass(frozen=True)
class Task:
    """What is done with each CT.

    Attributes:
        segmenter: a Segmenter.
        output_dir: folder to write to.
        checkpoint: the checkpoint's name, for the JSON.
        options: `options.recorded` of the run, for the JSON; None leaves it out.
        kidney_masks: folder of masks (label > 0) that replace stage 1, or None.
        roi: region of interest, as `Segmenter.run` takes it, or None.
        probabilities: whether to write probabilities beside the labels.
        writers: functions that write more beside the labels; called with their path and a `companions.Case`.
    """

    segmenter: object
    output_dir: pathlib.Path
    checkpoint: str
    options: dict | None = None
    kidney_masks: str | None = None
    roi: tuple | None = None
    probabilities: bool = False
    writers: tuple = ()


def segment_file(task, source, progress=None, cancel=None, turn=None):
    """Segments one CT and writes its labels, its JSON and what belongs beside them, of a DICOM series a DICOM SEG.

    Args:
        task: a Task.
        source: an Input.
        progress, cancel: as `Segmenter.segment` takes them.
        turn: a lock that is held while networks run, where several CTs are in work.

    Returns:
        The JSON's content; its `peak_memory_mb` is the whole process's up to now, with the CTs before and beside this
        one.

    Raises:
        InputError: the CT or its mask cannot be used.
        CancelledError: `cancel` was set.
    """
    start = time.perf_counter()
    mask_path = reading.mask_path(task.kidney_masks, source) if task.kidney_masks else None
    told = identity(task, source, mask_path)  # before it is read: what changes meanwhile differs from it
    volume = reading.read(source)
    mask = reading.read_mask(mask_path, source, volume) if mask_path else None
    seconds = {"read": time.perf_counter() - start}
    with turn or contextlib.nullcontext():
        result = run(task, source, volume, mask, progress, cancel)
    seconds |= result.seconds
    path = pathlib.Path(task.output_dir) / source.output_name
    writing = time.perf_counter()
    write(volume, result, path)
    seconds["write"] = time.perf_counter() - writing
    seconds["total"] = sum(seconds.values())  # without waiting for others
    summary = {
        **described(source, volume, task.segmenter.engine, seconds),
        **measured(task, volume, result),
        "checkpoint": task.checkpoint,
        **(told and told | {"labels_digest": digests.of_file(path)}),
        "warnings": doubts(volume.hu) + mask_doubts(task, volume, mask, result.labels),
    }
    files.write_text(companions.summary_path(path), json.dumps(summary, indent=2) + "\n")
    case = companions.Case(source, volume, result.labels, summary)
    for write_more in (*companions.own_writers(source).values(), *task.writers):
        write_more(path, case)  # a later run can make up for it
    return summary


def described(source, volume, engine, seconds):
    """What the JSON says of a CT and of the work."""
    return {
        "input": source.name,
        "shape": list(volume.shape),
        "spacing_mm": [round(s, 6) for s in volume.spacing_mm],
        "engine": engine.name,
        "precision": engine.precision,
        "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def mask_doubts(task, volume, mask, labels):
    """Warnings about a given kidney mask, or None for none, inside the region of interest."""
    if mask is None:
        return []
    inside = task.roi or ()
    return left_out(mask[inside], labels[inside], volume.spacing_mm)


def identity(task, source, mask_path):
    """Of which CT the labels are and what decides them, for the JSON; nothing where the task records no options."""
    if task.options is None:
        return {}
    return {"input_digest": digests.of_input(source), "options": options.of_case(task.options, mask_path)}


def measured(task, volume, result):
    """Volumes and tumors as `measurements.measure` gives them; None for tumors that were not looked for."""
    found = measure(result.labels, volume.spacing_mm, sides=result.sides)
    return found if "tumor" in task.segmenter.configs else found | {"tumor_ml": None, "tumors": None}


def run(task, source, volume, mask, progress, cancel):
    """The Segmentation of a CT that was read; a region of interest that misses it becomes an InputError."""
    options = {"mask": mask, "progress": progress, "cancel": cancel, "probabilities": task.probabilities}
    if is_record(source.path) and not source.series:
        options["box"] = read_box(source.path)  # in what it was cut to, another would be found
    try:
        return task.segmenter.run(volume.hu, volume.spacing_mm, roi=task.roi, **options)
    except ValueError as error:
        raise InputError(source.where, error) from None


def write(volume, result, path):
    """Writes what was found: probabilities and labels, each whole or not at all, in place of all that lies there."""
    companions.remove(path)
    for name, probability in result.probabilities.items():
        write_scaled(probability, 1 / UNIT, volume, companion(path, PROBABILITY_SUFFIXES[name]))
    write_labels(result.labels, volume, path)
