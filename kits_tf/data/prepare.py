"""Prepare cases for training: check each, write its record, and write the split.

Beside each record is a JSON file with its entry in `dataset.json`. It is written after the record and stays valid
while the case's files are unchanged, so that an interrupted run can be resumed.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from kits_tf import files, runtime
from kits_tf.data import kits19, records, validate
from kits_tf.data.validate import Finding
from kits_tf.errors import InputError
from kits_tf.io.volume import WORKING_AXES
from kits_tf.progress import progress, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kits_tf.data.splits import Split
    from kits_tf.io.volume import Volume

    PathLike = str | os.PathLike[str]
    Entry = dict[str, Any]

PERCENTILES = (0.5, 5.0, 50.0, 95.0, 99.5)


def prepare(
    cases: Sequence[kits19.Case],
    output_dir: PathLike,
    split: Split,
    strict: bool = False,
    processes: int = 1,
    report: Callable[[Any], None] = say,
) -> list[Finding]:
    """Check cases, write the good ones, and finally `dataset.json`.

    Args:
        cases: The cases; their folders may be missing.
        output_dir: The folder to write.
        split: How to split them.
        strict: Write nothing if any case is bad.
        processes: Cases to work on at the same time.
        report: Called with each Finding and with a line for each case that is done.

    Returns:
        Findings of the cases that were left out.

    Raises:
        UsageError: No case is left for training.
        InputError: The split file is unusable, or with `strict` a case has changed after its check.
        concurrent.futures.BrokenExecutor: A process was killed; finished cases are kept.
    """
    split.apply([case.id for case in cases if case.folder.is_dir()])  # fail before hours of reading
    for path in pathlib.Path(output_dir, "cases").glob(".writing-*"):
        path.unlink(missing_ok=True)  # left by a killed run
    entries = {case.id: entry for case in cases if (entry := _read_entry(case, output_dir)) is not None}
    waiting = [case for case in cases if case.id not in entries]
    findings: list[Finding] = []

    def process(write: bool) -> Iterator[tuple[str, Entry | None, list[Finding]]]:
        function = functools.partial(_process_case, output_dir=output_dir if write else None)
        results = runtime.in_processes(function, waiting, processes)
        return progress(results, "Preparing" if write else "Checking", len(waiting))

    for case, entry, found in process(write=not strict):
        for finding in found:
            report(finding)
        findings.extend(finding for finding in found if not finding.is_warning)
        if entry is not None:
            entries[case] = entry
            report(_describe(entry))
    for finding in validate.find_duplicates(cases, entries):
        report(finding)
        findings.append(finding)
    bad = {finding.case for finding in findings}
    good = [case.id for case in cases if case.id not in bad]
    if strict and bad:
        return findings
    parts = split.apply(good)
    if strict:
        for _, entry, found in process(write=True):  # reported already
            if entry is None:
                raise InputError(found[-1].path, f"has changed since it was checked ({found[-1].reason})")
    index = {
        "format": records.FORMAT,
        "seed": split.seed,
        "cases": [entries[name] | parts[name] for name in good],
        "left_out": [dataclasses.asdict(finding) for finding in findings],
    }
    files.update_text(pathlib.Path(output_dir, records.INDEX_NAME), json.dumps(index, indent=2) + "\n")
    return findings


def _process_case(case: kits19.Case, output_dir: PathLike | None) -> tuple[str, Entry | None, list[Finding]]:
    """Check a case and write it unless `output_dir` is None; return its id, its entry in the index, and findings."""
    if output_dir is not None:
        for old in (_entry_path(case, output_dir), pathlib.Path(records.record_path(output_dir, case.id))):
            old.unlink(missing_ok=True)
    volume, labels, findings = validate.read_case(case)
    if volume is None or labels is None:
        return case.id, None, findings
    kidney, tumor = (sum(np.count_nonzero(label > least) for label in labels) for least in (0, 1))
    entry: Entry = {
        "id": case.id,
        "shape": list(volume.shape),
        "spacing_mm": [round(side, 6) for side in volume.spacing_mm],
        "orientation": _orientation(volume),
        "kidney_ml": round(kidney * volume.voxel_ml, 3),
        "tumor_ml": round(tumor * volume.voxel_ml, 3),
        "image_digest": validate.digest(volume.hu),
        "label_digest": validate.digest(labels),
    }
    record = records.from_volume(volume, labels, entry["orientation"])
    del volume, labels  # a CT of a thousand slices is large
    entry |= {"hu": hu_percentiles(record.image, record.label), "warnings": [str(finding) for finding in findings]}
    if output_dir is not None:
        runtime.load_tensorflow("cpu")  # this process or a worker
        path = records.record_path(output_dir, case.id)
        records.write_record(record, path)
        content = {"stamp": _stamp(case), "bytes": os.path.getsize(path), "entry": entry}
        files.write_text(_entry_path(case, output_dir), json.dumps(content, indent=2) + "\n")
    return case.id, entry, findings


def _read_entry(case: kits19.Case, output_dir: PathLike) -> Entry | None:
    """Return a case's entry from an earlier run, if its files and its record are unchanged."""
    try:
        content = json.loads(_entry_path(case, output_dir).read_text(encoding="utf-8"))
        is_whole = content["bytes"] == os.path.getsize(records.record_path(output_dir, case.id))
        return content["entry"] if is_whole and content["stamp"] == _stamp(case) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _entry_path(case: kits19.Case, output_dir: PathLike) -> pathlib.Path:
    return pathlib.Path(records.record_path(output_dir, case.id)).with_suffix(".json")


def _stamp(case: kits19.Case) -> dict[str, Any]:
    """Return a stamp that changes with a case's files, the format or the checks."""
    statuses = {name: (case.folder / name).stat() for name in (kits19.IMAGE_NAME, kits19.LABEL_NAME)}
    stamps = {name: [status.st_size, status.st_mtime_ns] for name, status in statuses.items()}
    return {"format": records.FORMAT, "checks": validate.VERSION, **stamps}


def _orientation(volume: Volume) -> str:
    """Return the axes of the file that a volume was read from, such as "LPS"."""
    from nibabel.orientations import ornt2axcodes

    return "".join(WORKING_AXES if volume.source is None else ornt2axcodes(volume.source.orientation))


def _describe(entry: Entry) -> str:
    shape, spacing = "x".join(map(str, entry["shape"])), "x".join(f"{side:.3g}" for side in entry["spacing_mm"])
    volumes = f"kidney {entry['kidney_ml']:.1f} ml, tumor {entry['tumor_ml']:.1f} ml"
    return f"{entry['id']}: {shape} at {spacing} mm, {volumes}"


def hu_percentiles(hu: np.ndarray, labels: np.ndarray) -> dict[str, list[int] | None]:
    """Return the PERCENTILES of the HU of kidney, tumor and both, "foreground"; None for what is not labelled."""
    values, kinds = hu[labels > 0], labels[labels > 0]
    regions = {"kidney": values[kinds == 1], "tumor": values[kinds == 2], "foreground": values}
    return {
        name: np.percentile(found, PERCENTILES, method="inverted_cdf").tolist() if found.size else None
        for name, found in regions.items()
    }
