"""Makes a prepared folder: checks every case, then writes the records and the split, and leaves alone what is done."""

import dataclasses
import json
import pathlib

import numpy as np

from kits_tf import files, runtime
from kits_tf.data import notes, records, validate, workers
from kits_tf.data.fingerprint import fingerprint, hu_percentiles
from kits_tf.data.splits import fold_cases, read_split_file, split_cases, split_of_fold
from kits_tf.errors import InputError
from kits_tf.io.volume import read_grid, read_labels, read_volume
from kits_tf.progress import progress, say


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
    """Checks all cases, then writes the good ones; what an earlier run has done of unchanged files is kept.

    Args:
        cases: list of `kits19.Case`, whether their folders are there or not.
        output_dir: the folder to write; `dataset.json` is written last.
        split: a Split.
        strict: write nothing if any case is bad.
        processes: how many cases to work on at the same time, as far as memory goes.
        report: called with a line for each case that is looked at.
        complain: called with each Finding, as soon as it is found.

    Returns:
        list of Finding, of the cases left out.

    Raises:
        UsageError: no case is left for training; then nothing is written.
        InputError: the split file cannot be used.
    """
    split.apply([case.id for case in cases if case.folder.is_dir()])  # hopeless from the start?
    known = check(cases, output_dir, processes, report, complain)
    entries = {name: note.entry for name, note in known.items() if note.entry is not None}
    twice = validate.duplicates(cases, entries)
    for finding in twice:
        complain(finding)
    findings = [finding for note in known.values() for finding in note.findings] + twice
    bad = {finding.case for finding in findings}
    good = [case for case in cases if case.id not in bad]
    if strict and bad:
        return findings
    split.apply([case.id for case in good])
    for case in cases:
        if case.id in bad and case.image and case.label and not is_noted(case, output_dir):
            notes.write_note(case, known[case.id], output_dir)
    write(good, entries, output_dir, processes, report)
    write_index([entries[case.id] for case in good], split, findings, output_dir)
    return findings


def is_noted(case, output_dir):
    """Whether a case that is left out has its Note and no record."""
    return notes.recall(case, output_dir) is not None and not notes.is_written(case, output_dir)


def check(cases, output_dir, processes, report, complain):
    """Checks the cases that no Note tells of; {case id: Note}, in the order of `cases`."""
    known = {case.id: note for case in cases if (note := notes.recall(case, output_dir)) is not None}
    for note in known.values():
        for finding in note.findings:
            complain(finding)
    jobs = [((case,), size_of(case)) for case in cases if case.id not in known]
    for name, note in progress(workers.spread(check_case, jobs, processes), "Checking", len(jobs)):
        for finding in note.findings:
            complain(finding)
        report(f"{name}: " + (describe(note.entry) if note.entry else "left out"))
        known[name] = note
    return {case.id: known[case.id] for case in cases}


def write(cases, entries, output_dir, processes, report):
    """Writes the records that are not there yet."""
    notes.remove_unfinished(output_dir)
    waiting = [case for case in cases if not notes.is_written(case, output_dir)]
    jobs = [((case, entries[case.id], str(output_dir)), size_of(case)) for case in waiting]
    for name in progress(workers.spread(write_case, jobs, processes), "Writing", len(jobs)):
        report(f"{name}: written")


def size_of(case):
    """Voxels of a case, by its header; 0 where it cannot be read."""
    try:
        return int(np.prod(read_grid(case.image).shape)) if case.image else 0
    except (InputError, OSError):
        return 0


def check_case(case):
    """Reads and checks one case: (id, Note)."""
    volume, labels, findings = validate.read_case(case)
    if findings:
        return case.id, notes.Note(None, findings)
    entry = {
        "id": case.id,
        "shape": list(volume.shape),
        "spacing_mm": [round(side, 6) for side in volume.spacing_mm],
        "orientation": orientation(volume),
        **volumes_ml(labels, volume.spacing_mm),
        "image_digest": validate.digest(volume.hu),
        "label_digest": validate.digest(labels),
    }
    record = records.from_volume(volume, labels, entry["orientation"])
    del volume, labels  # a case of a thousand slices is large; only its body box stays
    entry["hu"] = hu_percentiles(record.image, record.label)
    return case.id, notes.Note(entry, [])


def write_case(case, entry, output_dir):
    """Writes the record of one case that has been checked; returns its id."""
    runtime.load_tensorflow()  # in whichever process this is
    volume, (labels, _) = read_volume(case.image), read_labels(case.label)
    record = records.from_volume(volume, labels, entry["orientation"])
    del volume, labels
    notes.write_case(case, record, entry, output_dir)
    return case.id


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
        "format": records.FORMAT,
        "seed": split.seed,
        "fingerprint": fingerprint(entries),
        "cases": [{**entry, **parts[entry["id"]]} for entry in entries],
        "left_out": [dataclasses.asdict(finding) for finding in findings],
    }
    text = json.dumps(index, indent=2) + "\n"
    path = pathlib.Path(output_dir) / records.INDEX_NAME
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        files.write_text(path, text)
