"""Checks a KiTS19-layout folder and writes the training data: one record a case, and dataset.json."""

import os
import pathlib
import sys

from absl import flags

from kits_tf.cli import app
from kits_tf.errors import UsageError

FLAGS = flags.FlagValues()

flags.DEFINE_string("data_dir", None, "Folder with case_NNNNN folders.", required=True, flag_values=FLAGS)
flags.DEFINE_string("output_dir", None, "Folder to write the prepared data to.", required=True, flag_values=FLAGS)
flags.DEFINE_integer("num_validation", 27, "Cases for validation.", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_integer("num_test", 27, "Cases for testing.", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "Seed of the random split by patient.", flag_values=FLAGS)
flags.DEFINE_integer(
    "num_folds",
    0,
    "Deal the cases not for testing to so many folds instead.",
    lower_bound=0,
    flag_values=FLAGS,
)
flags.DEFINE_integer("fold", 0, "The fold that is for validation, from 0.", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_string(
    "split_file", None, "JSON file with the split: ids under training, validation and test.", flag_values=FLAGS
)
flags.DEFINE_integer(
    "processes",
    None,
    "Cases to work on at once, as memory allows; by default as many as there are cores.",
    lower_bound=1,
    flag_values=FLAGS,
)
flags.DEFINE_string("cases", "", "Case numbers and ranges, e.g. 0-9,160; all if empty.", flag_values=FLAGS)
flags.DEFINE_bool("strict", False, "Write nothing if any case is bad.", flag_values=FLAGS)


def main():
    """Prepares the cases that the flags name; returns the exit code."""
    app.check_output_folder("output_dir", FLAGS.output_dir)
    from kits_tf.data import kits19, prepare

    found = find_cases()
    check_apart(found)
    cases = kits19.select_cases(found, FLAGS.cases)
    if not cases:
        raise UsageError("cases", f"{FLAGS.cases!r} names no case of {FLAGS.data_dir}")
    cases = sorted(cases + kits19.absent_cases(FLAGS.data_dir, FLAGS.cases), key=lambda case: case.number)
    processes = FLAGS.processes or len(os.sched_getaffinity(0))
    try:
        findings = prepare.prepare(cases, FLAGS.output_dir, the_split(), FLAGS.strict, processes, complain=complain)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise UsageError("output_dir", f"{FLAGS.output_dir}: {error.strerror}") from None
    if not findings:
        print(f"{len(cases)} cases in {FLAGS.output_dir}")
        return 0
    bad = len({finding.case for finding in findings})
    outcome = "nothing written" if FLAGS.strict else f"left out; {len(cases) - bad} cases in {FLAGS.output_dir}"
    print(f"{bad} of {len(cases)} cases are bad: {outcome}", file=sys.stderr)
    return 1


def the_split():
    """The Split that the flags ask for."""
    from kits_tf.data.prepare import Split

    if FLAGS.num_folds:
        if FLAGS.num_folds < 2 or FLAGS.fold >= FLAGS.num_folds:
            raise UsageError("fold", f"{FLAGS.fold}: takes less than --num_folds, and --num_folds takes two or more")
        if FLAGS["num_validation"].present:
            raise UsageError("num_validation", "cannot be with --num_folds, where a fold is for validation")
    elif FLAGS.fold:
        raise UsageError("fold", "needs --num_folds")
    if FLAGS.split_file is not None:
        for name in ("num_validation", "num_test", "num_folds", "seed"):
            if FLAGS[name].present:
                raise UsageError(name, "cannot be with --split_file, which says all there is")
    return Split(FLAGS.num_validation, FLAGS.num_test, FLAGS.seed, FLAGS.num_folds, FLAGS.fold, FLAGS.split_file)


def find_cases():
    """The cases of --data_dir; a UsageError if there are none."""
    from kits_tf.data import kits19

    if not pathlib.Path(FLAGS.data_dir).is_dir():
        raise UsageError("data_dir", f"{FLAGS.data_dir}: no such folder")
    cases = kits19.find_cases(FLAGS.data_dir)
    if not cases:
        raise UsageError("data_dir", f"{FLAGS.data_dir} holds no case_NNNNN folder")
    return cases


def check_apart(cases):
    """Raises a UsageError where the output would lie among the cases, or be or lie in one."""
    from kits_tf.data import kits19

    data_dir, output = pathlib.Path(FLAGS.data_dir).resolve(), pathlib.Path(FLAGS.output_dir).resolve()
    if output == data_dir:
        raise UsageError("output_dir", f"{FLAGS.output_dir} is --data_dir itself; takes another folder")
    names = output.relative_to(data_dir).parts if output.is_relative_to(data_dir) else [""]
    in_case = any(output.is_relative_to(case.folder.resolve()) for case in cases)  # which may be a link
    if in_case or kits19.case_number(names[0]) is not None:
        raise UsageError("output_dir", f"{FLAGS.output_dir} lies in a case of --data_dir; takes another folder")


def complain(finding):
    """Prints what is wrong with a case, in one line."""
    print(" ".join(str(finding).split()), file=sys.stderr, flush=True)


def run():
    """The console command kits-prepare."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
