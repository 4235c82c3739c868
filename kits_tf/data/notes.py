"""What kits-prepare knows of a case from an earlier run: a JSON beside its record, good until the case's files change.

A note is written after its record, and its record is removed before a note without one; so a record counts only
beside a note that still holds, and a run that was killed can be taken up by the next.
"""

import dataclasses
import json

from kits_tf import files
from kits_tf.data import records, validate


@dataclasses.dataclass(frozen=True)
class Note:
    """What was found out about a case.

    Attributes:
        entry: what `dataset.json` says of it, without its split; None for a case that cannot be used.
        findings: list of validate.Finding, of this case alone; empty where there is an entry.
    """

    entry: dict | None
    findings: list


def recall(case, output_dir):
    """The Note of a case whose files have not changed since, or None."""
    if case.image is None or case.label is None:
        return None
    try:
        content = json.loads(note_path(case, output_dir).read_text(encoding="utf-8"))
        if content["stamp"] != stamp(case):
            return None
        return Note(content["entry"], [validate.Finding(**finding) for finding in content["findings"]])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_note(case, note, output_dir):
    """Writes the Note of a case that has no record; the record of an earlier run is removed."""
    records.record_path(output_dir, case.id).unlink(missing_ok=True)
    save(case, note, output_dir)


def write_case(case, record, entry, output_dir):
    """Writes the record of a good case, then its Note."""
    note_path(case, output_dir).unlink(missing_ok=True)
    records.write_record(record, records.record_path(output_dir, case.id))
    save(case, Note(entry, []), output_dir)


def is_written(case, output_dir):
    """Whether a case's record is there and its files have not changed since."""
    return records.record_path(output_dir, case.id).is_file() and recall(case, output_dir) is not None


def save(case, note, output_dir):
    """Writes a Note's JSON."""
    content = {"stamp": stamp(case), **dataclasses.asdict(note)}
    files.write_text(note_path(case, output_dir), json.dumps(content, indent=2) + "\n")


def note_path(case, output_dir):
    """Where a case's Note lies: `cases/case_00007.json`."""
    return records.record_path(output_dir, case.id).with_suffix(".json")


def stamp(case):
    """What tells whether a case's files, the format or the checks have changed."""
    versions = {"format": records.FORMAT, "checks": validate.CHECKS}
    return versions | {path.name: file_stamp(path) for path in (case.image, case.label)}


def file_stamp(path):
    """Size and time of change of a file."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def remove_unfinished(output_dir):
    """Removes what a killed run was writing."""
    for path in records.record_path(output_dir, "any").parent.glob(".writing-*"):
        path.unlink(missing_ok=True)
