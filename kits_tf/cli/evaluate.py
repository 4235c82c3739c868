"""Scores predictions against references as KiTS19 does, and more: Dice, surface Dice, distances, volumes, tumors.

A case without a prediction counts as zero and is named. With --compare, two folders of predictions are compared case
by case.
"""

import json
import sys

from absl import flags

from kits_tf.cli import app

FLAGS = flags.FlagValues()

flags.DEFINE_string("predictions", None, "Folder of predictions, or one label file.", required=True, flag_values=FLAGS)
flags.DEFINE_string(
    "references", None, "KiTS19-layout folder, folder of label files, or one.", required=True, flag_values=FLAGS
)
flags.DEFINE_string("compare", None, "Other predictions of the same cases to compare with.", flag_values=FLAGS)
flags.DEFINE_string("output", None, "JSON file to write the scores to.", flag_values=FLAGS)
flags.DEFINE_string("csv", None, "CSV file to write the scores to, one row a case.", flag_values=FLAGS)
flags.DEFINE_string("markdown", None, "Markdown file to write the table to.", flag_values=FLAGS)
flags.DEFINE_string("cases", "", "Cases to score, such as 0-9,160; all by default.", flag_values=FLAGS)
flags.DEFINE_integer(
    "processes", 1, "Processes at work; each holds two label volumes in memory.", lower_bound=1, flag_values=FLAGS
)


def main():
    """Scores every case of --references; returns the exit code."""
    from kits_tf import files
    from kits_tf.evaluation import export, lesions, metrics, statistics, table

    for flag in ("output", "csv", "markdown"):
        if FLAGS[flag].value:
            app.check_output_file(flag, FLAGS[flag].value)
    results, found, failed = evaluate(FLAGS.predictions)
    scores = {name: result["scores"] for name, result in results.items()}
    detections = {name: result["lesions"] for name, result in results.items()}
    summary = statistics.summarize(scores.values())
    result = {
        "cases": scores,
        "mean": {metric: summary[metric]["mean"] for metric in metrics.METRICS},
        "summary": summary,
        "paper": metrics.PAPER,
        "challenge_winner": metrics.CHALLENGE_WINNER,
        "sides": {name: result["sides"] for name, result in results.items()},
        "lesions": detections,
        "detection": lesions.detection_rates(detections.values()),
        "missing": found.missing,
        "extra": [path.name for path in found.extra],
        "absent": found.absent,
        "failed": {name: str(error) for name, error in failed.items()},
        "tumors_not_looked_for": without_tumors(results),
    }
    texts = [table.table(scores, summary), table.detection_lines(result["detection"])]
    incomplete = failed or is_incomplete(found)
    if FLAGS.compare:
        others, other_found, other_failed = evaluate(FLAGS.compare, "compare")
        other_scores = {name: other["scores"] for name, other in others.items()}
        result["comparison"] = {"with": FLAGS.compare, "metrics": statistics.compare(scores, other_scores)}
        result["comparison"]["cases"] = differences(scores, other_scores)
        texts.append("\n" + table.comparison_table(result["comparison"]["metrics"], FLAGS.compare))
        incomplete = incomplete or other_failed or is_incomplete(other_found)
    if FLAGS.output:
        files.write_text(FLAGS.output, json.dumps(result, indent=2, allow_nan=False) + "\n")
    if FLAGS.csv:
        files.write_text(FLAGS.csv, export.csv_text(scores, detections))
    if FLAGS.markdown:
        said = remarks(FLAGS.predictions, results, found)
        files.write_text(FLAGS.markdown, export.markdown_text(scores, summary, said))
    print("\n".join(texts))
    return app.EXIT_SOME_FAILED if incomplete else app.EXIT_DONE


def evaluate(predictions, flag="predictions"):
    """Scores one set of predictions and says what is wrong with it on stderr.

    Returns:
        (results, found, failed): {id: as `scoring.score_files` gives it}, a `matching.Match`, {id: InputError}.
    """
    from kits_tf.evaluation import matching, scoring
    from kits_tf.progress import progress

    found = matching.match(predictions, FLAGS.references, FLAGS.cases, flag)
    pairs = found.pairs | {name: (None, path) for name, path in found.without.items()}
    results, failed = {}, {}
    for name, result, error in progress(
        scoring.score_all(dict(sorted(pairs.items())), FLAGS.processes), "Scoring", total=len(pairs)
    ):
        if error is not None:
            failed[name] = error
        if result is not None:
            results[name] = result
    for name, error in failed.items():
        print(f"{error} ({'counted as zero' if name in results else 'not scored'})", file=sys.stderr)
    for name in found.missing:
        print(f"{name}: no prediction in {predictions} (counted as zero)", file=sys.stderr)
    for name in found.absent:
        print(
            f"{name}: no reference in {FLAGS.references} and no prediction in {predictions} (not scored)",
            file=sys.stderr,
        )
    for path in found.extra:
        print(f"{path}: no reference for it (not scored)", file=sys.stderr)
    for line in remarks(predictions, results, found):
        print(line, file=sys.stderr)
    return results, found, failed


def without_tumors(results):
    """Ids of the predictions that are of `--stage=kidney`, as the JSON beside each says."""
    return [name for name, result in results.items() if result["tumors_not_looked_for"]]


def remarks(predictions, results, found):
    """What is to be known of predictions with scores that are right and yet mislead, as a list of lines."""
    count = len(without_tumors(results))
    if not count:
        return []
    kind = f"tumors were not looked for in {count} of {len(found.pairs)} predictions (--stage=kidney)"
    return [f"{predictions}: {kind}: their tumor scores, in the means too, are of an empty mask, of no tumor network"]


def is_incomplete(found):
    """Whether a reference has no prediction, or one of the cases of --cases is not there."""
    return bool(found.missing or found.absent or (FLAGS.cases and found.extra))


def differences(first, second):
    """{id: {metric: first minus second}} of the cases that both have; None where either is undefined."""
    return {
        name: {
            metric: None if None in (value, second[name][metric]) else value - second[name][metric]
            for metric, value in scores.items()
        }
        for name, scores in first.items()
        if name in second
    }


def run():
    """The console command kits-evaluate."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
