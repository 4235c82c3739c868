"""Scores predictions against references as KiTS19 does, and more: Dice, surface Dice, distances, volumes."""

import json
import sys

from absl import flags

from kits_tf.cli import app
from kits_tf.errors import InputError

FLAGS = flags.FlagValues()

flags.DEFINE_string("predictions", None, "Folder of predictions, or one label file.", required=True, flag_values=FLAGS)
flags.DEFINE_string(
    "references", None, "KiTS19-layout folder, folder of label files, or one.", required=True, flag_values=FLAGS
)
flags.DEFINE_string("output", None, "JSON file to write the scores to.", flag_values=FLAGS)
flags.DEFINE_string("cases", "", "Cases to score, such as 0-9,160; all by default.", flag_values=FLAGS)


def main():
    """Scores every case of --references; returns the exit code."""
    from kits_tf import files
    from kits_tf.evaluation import matching, metrics, table
    from kits_tf.progress import progress

    found = matching.match(FLAGS.predictions, FLAGS.references, FLAGS.cases)
    scores, failed = {}, {}
    for name, (prediction, reference) in progress(found.pairs.items(), "Scoring", total=len(found.pairs)):
        try:
            scores[name] = score_files(prediction, reference)
        except InputError as error:
            failed[name] = error
            if error.path != str(reference):
                scores[name] = metrics.missing_scores()
    for name, error in failed.items():
        print(f"{error} ({'counted as zero' if name in scores else 'not scored'})", file=sys.stderr)
    for name in found.missing:
        scores[name] = metrics.missing_scores()
        print(f"{name}: no prediction in {FLAGS.predictions} (counted as zero)", file=sys.stderr)
    for path in found.extra:
        print(f"{path}: no reference for it (not scored)", file=sys.stderr)
    scores = dict(sorted(scores.items()))
    result = {
        "cases": scores,
        "mean": metrics.mean_scores(scores.values()),
        "paper": metrics.PAPER,
        "missing": found.missing,
        "extra": [path.name for path in found.extra],
        "failed": {name: str(error) for name, error in failed.items()},
    }
    if FLAGS.output:
        files.write_text(FLAGS.output, json.dumps(result, indent=2, allow_nan=False) + "\n")
    print(table.table(scores, result["mean"]))
    return app.EXIT_SOME_FAILED if failed or found.missing else app.EXIT_DONE


def score_files(prediction_path, reference_path):
    """The scores of one label file against another.

    Raises:
        InputError: one of them cannot be read, or their grids differ.
    """
    from kits_tf.evaluation import matching, metrics
    from kits_tf.volume import read_labels

    reference, reference_grid = read_labels(reference_path)
    prediction, grid = read_labels(prediction_path)
    matching.check_same_grid(prediction_path, grid, reference_grid)
    return metrics.score(prediction, reference, reference_grid.spacing_mm)


def run():
    """The console command kits-evaluate."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
