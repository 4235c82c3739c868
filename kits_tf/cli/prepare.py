"""Check a dataset in the KiTS19 layout and write the training data: one record per case, and dataset.json.

Bad cases are reported and left out. Rerun it to prepare only new and changed cases.

    kits-prepare --input=kits19/data --output_dir=prepared
"""

from __future__ import annotations

import os
import pathlib
import sys
from typing import TYPE_CHECKING

from absl import flags

from kits_tf.cli import app
from kits_tf.errors import UsageError
from kits_tf.progress import counted, say

if TYPE_CHECKING:
    from kits_tf.data.kits19 import Case
    from kits_tf.data.splits import Split

FLAGS = flags.FlagValues()
DATA, SPLIT = (app.group(FLAGS, name) for name in ("Data", "Split"))
flags.DEFINE_string("input", None, "Folder of case_NNNNN folders.", required=True, **DATA)
flags.DEFINE_alias("data_dir", "input", **DATA)
flags.DEFINE_string("output_dir", None, "Folder to write the prepared data to.", required=True, **DATA)
flags.DEFINE_string("cases", "", "Cases, such as 0-9,160; default: all.", **DATA)
flags.DEFINE_bool("strict", False, "Write nothing if any case is bad.", **DATA)
flags.DEFINE_integer("workers", None, "Cases prepared at once; default: as many as cores and memory allow.",
                     lower_bound=1, **DATA)  # fmt: skip
flags.DEFINE_integer("num_validation", 27, "Number of validation cases.", lower_bound=0, **SPLIT)
flags.DEFINE_integer("num_test", 27, "Number of test cases.", lower_bound=0, **SPLIT)
flags.DEFINE_integer("seed", 0, "Seed of the random split.", **SPLIT)
flags.DEFINE_integer("num_folds", 0, "Cross-validation folds of all but the test cases.", lower_bound=0, **SPLIT)
flags.DEFINE_integer("fold", 0, "The fold to validate on, from 0.", lower_bound=0, **SPLIT)
flags.DEFINE_string("split_file", None, "JSON file of case ids under training, validation and test.", **SPLIT)

_GIGABYTES_A_CASE = 2  # KiTS19's largest, 1059 slices


def main() -> int:
    """Prepare the cases that the flags name and return the exit code."""
    app.check_output_folder("output_dir", FLAGS.output_dir)
    from kits_tf.data import prepare

    split, cases = _checked_split(), _checked_cases()
    workers = FLAGS.workers or _default_workers(cases)
    findings = prepare.prepare(cases, FLAGS.output_dir, split, FLAGS.strict, workers, _report)
    if not findings:
        print(f"{counted(len(cases), 'case')} in {FLAGS.output_dir}")
        return app.EXIT_DONE
    bad = len({finding.case for finding in findings})
    written = f"{counted(len(cases) - bad, 'case')} in {FLAGS.output_dir}"
    outcome = "nothing written" if FLAGS.strict else f"left out; {written}"
    app.complain("kits-prepare", f"{bad} of {counted(len(cases), 'case')} bad: {outcome}")
    return app.EXIT_SOME_FAILED


def _checked_split() -> Split:
    """Return the split that the flags ask for."""
    from kits_tf.data.splits import Split

    given = {name for name in ("num_validation", "num_test", "num_folds", "fold", "seed") if FLAGS[name].present}
    if FLAGS.split_file and given:
        raise UsageError(sorted(given)[0], "must not be combined with --split_file")
    if FLAGS.num_folds and "num_validation" in given:
        raise UsageError("num_validation", "must not be combined with --num_folds")
    if FLAGS.num_folds == 1 or FLAGS.fold >= max(1, FLAGS.num_folds):
        raise UsageError("fold", f"must be less than --num_folds, which must be two or more, got {FLAGS.fold}")
    return Split(FLAGS.num_validation, FLAGS.num_test, FLAGS.seed, FLAGS.num_folds, FLAGS.fold, FLAGS.split_file)


def _checked_cases() -> list[Case]:
    """Return the cases to prepare, including those that are named but missing."""
    from kits_tf.data import kits19

    folder, output_dir = pathlib.Path(FLAGS.input), pathlib.Path(FLAGS.output_dir).resolve()
    found = kits19.find_cases(folder)
    if not found:
        name = "data_dir" if FLAGS["data_dir"].present else "input"
        raise UsageError(name, f"must be a folder with case_NNNNN folders, got {FLAGS.input}")
    if output_dir == folder.resolve() or any(output_dir.is_relative_to(case.folder.resolve()) for case in found):
        raise UsageError("output_dir", f"{FLAGS.output_dir} is among the cases of --input; must be another folder")
    if not FLAGS.cases:
        return found
    cases = [kits19.case_at(folder / kits19.case_name(number)) for number in kits19.parse_cases(FLAGS.cases)]
    if not any(case.folder.is_dir() for case in cases):
        raise UsageError("cases", f"{FLAGS.cases!r} names no case of {FLAGS.input}")
    return cases


def _default_workers(cases: list[Case]) -> int:
    """Return as many processes as cores and memory allow, and are worth their start."""
    import psutil

    memory = psutil.virtual_memory().available // (_GIGABYTES_A_CASE * 10**9)
    return max(1, min(len(os.sched_getaffinity(0)), memory, len(cases) // 4))


def _report(line: object) -> None:
    """Print a line about a case, on stderr if it is a finding."""
    if isinstance(line, str):
        say(line)
    else:
        print(" ".join(str(line).split()), file=sys.stderr, flush=True)


def run() -> None:
    """Run the console command kits-prepare."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
