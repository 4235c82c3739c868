"""Makes a prepared folder: checks every case, writes its record, splits the cases, and leaves alone what is done."""

import dataclasses
import json
import pathlib

import numpy as np

from kits_tf import files
from kits_tf.dataset import integrity, prepared, workers
from kits_tf.dataset.fingerprint import fingerprint, hu_percentiles
from kits_tf.dataset.splits import fold_cases, read_split_file, split_cases, split_of_fold
from kits_tf.errors import InputError
from kits_tf.progress import progress, say
from kits_tf.volume import read_grid


@dataclasses.dataclass(frozen=True)
class Split:
    """How cases are split.

    Attributes:
        num_validation: cases for validation, drawn at random.
        num_test: cases for testing, drawn at random.
        seed: of the draw.
        num_folds: if not 0, the cases that are not for testing are dealt to so many folds instead, and ...
        fold: ... this one is for validation.
        path: if not None, a file that gives the split; see `splits.read_split_file`.
    """

    num_validation: int = 27
    num_test: int = 27
    seed: int = 0
    num_folds: int = 0
    fold: int = 0
    path: str | None = None

    def apply(self, ids):
        """What `dataset.json` says of each case: {id: {"split", and "fold" where there are folds}}.

        Raises:
            UsageError: no case is left for training.
            InputError: the split file cannot be used.
        """
        if self.path is not None:
            given = read_split_file(self.path, ids)
            return {name: {"split": given[name]} for name in ids}
        if not self.num_folds:
            drawn = split_cases(ids, self.num_validation, self.num_test, self.seed)
            return {name: {"split": drawn[name]} for name in ids}
        folds = fold_cases(ids, self.num_folds, self.num_test, self.seed)
        drawn = split_of_fold(folds, self.fold)
        return {name: {"split": drawn[name], "fold": folds[name]} for name in ids}


def prepare(cases, output_dir, split, strict=False, processes=1, report=say, complain=say):
    """Checks and prepares cases; what an earlier run has done of unchanged files is kept.

    Args:
        cases: list of `kits19.Case`.
        output_dir: the folder to write; `dataset.json` is written last.
        split: a Split.
        strict: check all cases first, and write nothing if any is bad.
        processes: how many cases to work on at the same time, as far as memory goes.
        report: called with a line for each case that is looked at.
        complain: called with each Finding, as soon as it is found.

    Returns:
        list of Finding, of the cases left out.

    Raises:
        UsageError: no case is left for training; then nothing is written.
        InputError: the split file cannot be used.
    """
    split.apply([case.id for case in cases])  # hopeless from the start?
    entries = {case.id: entry for case in cases if (entry := done_entry(case, output_dir)) is not None}
    waiting = [case for case in cases if case.id not in entries]
    findings = []

    def note(found):
        findings.extend(found)
        for finding in found:
            complain(finding)

    def work(folder):
        facts = dict(entries)
        jobs = [((case, folder), size_of(case)) for case in waiting]
        verb = "Checking" if folder is None else "Preparing"
        for case, entry, found in progress(workers.spread(prepare_case, jobs, processes), verb, len(jobs)):
            note(found)
            report(f"{case}: " + ("left out" if found else describe(entry)))
            if entry is not None:
                facts[case] = entry
        return facts

    if strict and waiting:
        found_twice = integrity.duplicates(cases, work(None))
        note(found_twice)
        if findings:
            return findings
    entries = work(str(output_dir))
    note(integrity.duplicates(cases, entries))
    bad = {finding.case for finding in findings}
    entries = [entry for name, entry in sorted(entries.items()) if name not in bad]
    if strict and bad:
        return findings
    write_index(entries, split, findings, output_dir)
    return findings


def size_of(case):
    """Voxels of a case, by its header; 0 where it cannot be read."""
    try:
        return int(np.prod(read_grid(case.image).shape)) if case.image else 0
    except (InputError, OSError):
        return 0


def prepare_case(case, output_dir):
    """Reads and checks one case, and writes it unless `output_dir` is None.

    Returns:
        (id, entry, findings): what `dataset.json` says of the case, without its split, or None; and its findings.
    """
    volume, labels, findings = integrity.read_case(case)
    if findings:
        return case.id, None, findings
    entry = {
        "id": case.id,
        "shape": list(volume.shape),
        "spacing_mm": [round(side, 6) for side in volume.spacing_mm],
        "orientation": orientation(volume),
        **volumes_ml(labels, volume.spacing_mm),
        "image_digest": integrity.digest(volume.hu),
        "label_digest": integrity.digest(labels),
    }
    record = prepared.from_volume(volume, labels, entry["orientation"])
    del volume, labels  # a case of a thousand slices is large; only its body box stays
    entry["hu"] = hu_percentiles(record.image, record.label)
    if output_dir is not None:
        path = prepared.record_path(output_dir, case.id)
        entry_path(path).unlink(missing_ok=True)
        prepared.write_record(record, path)
        content = {"stamp": stamp(case), "entry": entry}
        files.write_text(entry_path(path), json.dumps(content, indent=2) + "\n")
    return case.id, entry, []


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
    return {"format": prepared.FORMAT, **{path.name: file_stamp(path) for path in (case.image, case.label)}}


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
    kidney, tumor = (sum(np.count_nonzero(label > least) for label in labels) for least in (0, 1))
    return {"kidney_ml": round(kidney * voxel_ml, 3), "tumor_ml": round(tumor * voxel_ml, 3)}


def describe(entry):
    """A case in a line."""
    shape = "x".join(map(str, entry["shape"]))
    spacing = "x".join(f"{side:.3g}" for side in entry["spacing_mm"])
    return f"{shape} at {spacing} mm, kidney {entry['kidney_ml']:.1f} ml, tumor {entry['tumor_ml']:.1f} ml"


def write_index(entries, split, findings, output_dir):
    """Writes `dataset.json`, unless it says the same already."""
    parts = split.apply([entry["id"] for entry in entries])
    index = {
        "format": prepared.FORMAT,
        "seed": split.seed,
        "fingerprint": fingerprint(entries),
        "cases": [{**entry, **parts[entry["id"]]} for entry in entries],
        "left_out": [dataclasses.asdict(finding) for finding in findings],
    }
    text = json.dumps(index, indent=2) + "\n"
    path = pathlib.Path(output_dir) / prepared.INDEX_NAME
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        files.write_text(path, text)
