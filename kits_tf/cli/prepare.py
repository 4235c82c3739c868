"""Checks a KiTS19-layout folder and writes the training data: one record a case, and dataset.json."""

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
flags.DEFINE_string("cases", "", "Case numbers and ranges, e.g. 0-9,160; all if empty.", flag_values=FLAGS)
flags.DEFINE_bool("strict", False, "Write nothing if any case is bad.", flag_values=FLAGS)


def main():
    """Prepares the cases that the flags name; returns the exit code."""
    from kits_tf.dataset import kits19, preparation

    cases = kits19.select_cases(find_cases(), FLAGS.cases)
    if not cases:
        raise UsageError("cases", f"{FLAGS.cases!r} names no case of {FLAGS.data_dir}")
    try:
        findings = preparation.prepare(
            cases, FLAGS.output_dir, FLAGS.num_validation, FLAGS.num_test, FLAGS.seed, FLAGS.strict, complain=complain
        )
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise UsageError("output_dir", f"{FLAGS.output_dir}: {error.strerror}") from None
    if not findings:
        print(f"{len(cases)} cases in {FLAGS.output_dir}")
        return 0
    bad = len({finding.case for finding in findings})
    outcome = "nothing written" if FLAGS.strict else f"left out; {len(cases) - bad} cases in {FLAGS.output_dir}"
    print(f"{bad} of {len(cases)} cases are bad: {outcome}", file=sys.stderr)
    return 1


def find_cases():
    """The cases of --data_dir; a UsageError if there are none."""
    from kits_tf.dataset import kits19

    if not pathlib.Path(FLAGS.data_dir).is_dir():
        raise UsageError("data_dir", f"{FLAGS.data_dir}: no such folder")
    cases = kits19.find_cases(FLAGS.data_dir)
    if not cases:
        raise UsageError("data_dir", f"{FLAGS.data_dir} holds no case_NNNNN folder")
    return cases


def complain(finding):
    """Prints what is wrong with a case, in one line."""
    print(" ".join(str(finding).split()), file=sys.stderr, flush=True)


def run():
    """The console command kits-prepare."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
