"""Makes a prepared folder: checks every case, writes its record, splits the cases, and leaves alone what is done."""

import json
import pathlib

import numpy as np

from kits_tf import files
from kits_tf.dataset import integrity, prepared
from kits_tf.dataset.splits import split_cases
from kits_tf.progress import progress, say

FORMAT = 1
"""Raised when records written by earlier versions must be written anew."""


def prepare(cases, output_dir, num_validation, num_test, seed, strict=False, report=say, complain=say):
    """Checks and prepares cases; what an earlier run has done of unchanged files is kept.

    Args:
        cases: list of `kits19.Case`.
        output_dir: the folder to write; `dataset.json` is written last.
        num_validation: cases for validation.
        num_test: cases for testing.
        seed: of the split.
        strict: write nothing if any case is bad.
        report: called with a line for each case that is looked at.
        complain: called with each Finding, as soon as it is found.

    Returns:
        list of Finding, of the cases left out.

    Raises:
        UsageError: no case is left for training; then nothing is written.
    """
    split_cases([case.id for case in cases], num_validation, num_test, seed)  # hopeless from the start?
    findings = []

    def note(found):
        findings.extend(found)
        for finding in found:
            complain(finding)

    if strict:
        for case in waiting(cases, output_dir):
            note(check(case, report))
        if findings:
            return findings
    entries = []
    for case in progress(cases, "Preparing"):
        entry = done_entry(case, output_dir)
        if entry is None:
            entry, found = prepare_case(case, output_dir)
            note(found)
            report(f"{case.id}: " + ("left out" if found else describe(entry)))
        if entry is not None:
            entries.append(entry)
    splits = split_cases([entry["id"] for entry in entries], num_validation, num_test, seed)
    write_index(entries, splits, seed, output_dir)
    return findings


def waiting(cases, output_dir):
    """The cases that have no up-to-date record yet."""
    return [case for case in cases if done_entry(case, output_dir) is None]


def check(case, report):
    """The findings of a case; the case itself is read and let go."""
    report(f"{case.id}: checking")
    return integrity.read_case(case)[2]


def prepare_case(case, output_dir):
    """Reads, checks and writes one case.

    Returns:
        (entry, findings): what `dataset.json` says of the case, without its split, or None; and its findings.
    """
    volume, labels, findings = integrity.read_case(case)
    if findings:
        return None, findings
    entry = {
        "id": case.id,
        "shape": list(volume.shape),
        "spacing_mm": [round(side, 6) for side in volume.spacing_mm],
        "orientation": orientation(volume),
        **volumes_ml(labels, volume.spacing_mm),
    }
    record = prepared.from_volume(volume, labels, entry["orientation"])
    del volume, labels  # a case of a thousand slices is large; only its body box stays
    path = prepared.record_path(output_dir, case.id)
    entry_path(path).unlink(missing_ok=True)
    prepared.write_record(record, path)
    content = {"stamp": stamp(case), "entry": entry}
    files.write_text(entry_path(path), json.dumps(content, indent=2) + "\n")
    return entry, []


def done_entry(case, output_dir):
    """The entry of a case whose record is there and whose files have not changed since, or None."""
    path = prepared.record_path(output_dir, case.id)
    if case.image is None or case.label is None or not path.is_file():
        return None
    try:
        content = json.loads(entry_path(path).read_text(encoding="utf-8"))
        return content["entry"] if content["stamp"] == stamp(case) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def entry_path(record_path):
    """The JSON beside a record, written after it: a record without one is half done."""
    return record_path.with_suffix(".json")


def stamp(case):
    """What tells whether a case's files, or the format, have changed."""
    return {"format": FORMAT, **{path.name: file_stamp(path) for path in (case.image, case.label)}}


def file_stamp(path):
    """Size and time of change of a file."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def orientation(volume):
    """The axes of the file that a volume was read from, such as "IPL"."""
    import nibabel

    if volume.source is None:
        return "".join(nibabel.aff2axcodes(volume.affine))
    return "".join(nibabel.aff2axcodes(volume.source.header.get_best_affine()))


def volumes_ml(labels, spacing_mm):
    """Volumes as the challenge counts: kidney is label > 0 (with its tumor), tumor is label > 1."""
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    counts = np.bincount(labels.ravel(), minlength=3)
    return {
        "kidney_ml": round(float(counts[1] + counts[2]) * voxel_ml, 3),
        "tumor_ml": round(float(counts[2]) * voxel_ml, 3),
    }


def describe(entry):
    """A case in a line."""
    shape = "x".join(map(str, entry["shape"]))
    spacing = "x".join(f"{side:.3g}" for side in entry["spacing_mm"])
    return f"{shape} at {spacing} mm, kidney {entry['kidney_ml']:.1f} ml, tumor {entry['tumor_ml']:.1f} ml"


def write_index(entries, splits, seed, output_dir):
    """Writes `dataset.json`, unless it says the same already."""
    index = {
        "format": FORMAT,
        "seed": seed,
        "cases": [{**entry, "split": splits[entry["id"]]} for entry in sorted(entries, key=lambda e: e["id"])],
    }
    text = json.dumps(index, indent=2) + "\n"
    path = pathlib.Path(output_dir) / prepared.INDEX_NAME
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        files.write_text(path, text)
