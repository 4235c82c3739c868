"""Score predictions against references: Dice as in KiTS19, surface Dice, distances, volumes and tumors found.

A case without a prediction is reported and scores 0. --compare compares two folders of predictions case by case.

Example: kits-evaluate --predictions=out --references=kits19/data --output=scores.json
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

from absl import flags

from kits_tf import config
from kits_tf.cli import app
from kits_tf.progress import counted, progress

FLAGS = flags.FlagValues()
INPUT, OUTPUT, WORK = (app.group(FLAGS, name) for name in ("Input", "Output", "Work"))

flags.DEFINE_string("predictions", None, "A label file, or a folder tree of them.", required=True, **INPUT)
flags.DEFINE_string("references", None, "A label file, a folder tree of them, or a prepared folder.",
                    required=True, **INPUT)  # fmt: skip
flags.DEFINE_string("compare", None, "Predictions of another method for the same cases, to compare with.", **INPUT)
flags.DEFINE_string("cases", "", "Cases, such as 0-9,160; default: all.", **INPUT)
flags.DEFINE_enum(
    "split", None, config.SPLITS, "Score only this split; requires a prepared folder as --references.", **INPUT
)
flags.DEFINE_integer(
    "workers", 1, "Cases scored at once; each holds two label volumes in memory.", lower_bound=1, **WORK
)
flags.DEFINE_string("output", None, "JSON file for the scores.", **OUTPUT)
flags.DEFINE_string("csv", None, "CSV file for the scores, one row per case.", **OUTPUT)
flags.DEFINE_string("markdown", None, "Markdown file for the table.", **OUTPUT)
flags.DEFINE_bool("published", False, "Print published scores on KiTS19 below the table.", **OUTPUT)


def main() -> int:
    """Score every case of --references; return the exit code."""
    from kits_tf import files
    from kits_tf.evaluation import lesions, metrics, statistics, tables

    for flag, path in (("output", FLAGS.output), ("csv", FLAGS.csv), ("markdown", FLAGS.markdown)):
        if path:
            app.check_output_file(flag, path)
    report, remarks = evaluate("predictions", FLAGS.predictions)
    is_incomplete, frame = report.pop("is_incomplete"), statistics.score_frame(report["cases"])
    summary = statistics.summarize(frame)
    report |= {
        "mean": {metric: summary[metric]["mean"] for metric in metrics.METRICS},
        "summary": summary,
        "paper": metrics.PAPER,
        "challenge_winner": metrics.CHALLENGE_WINNER,
        "detection": lesions.detection_rates(report["lesions"].values()),
    }
    table = tables.score_table(frame, summary, FLAGS.published)
    texts = [tables.terminal_text(table, len(frame)), tables.detection_text(report["detection"])]
    if FLAGS.compare:
        other, _ = evaluate("compare", FLAGS.compare)
        other_frame = statistics.score_frame(other["cases"])
        found, differences = statistics.compare(frame, other_frame), statistics.differences(frame, other_frame)
        cases = differences.astype(object).where(differences.notna(), None).to_dict("index")
        report["comparison"] = {"with": FLAGS.compare, "metrics": found, "cases": cases}
        texts.append("\n" + tables.comparison_text(found, FLAGS.compare))
        is_incomplete = is_incomplete or other["is_incomplete"]
    if FLAGS.output:
        files.write_text(FLAGS.output, json.dumps(report, indent=2, allow_nan=False) + "\n")
    if FLAGS.csv:
        files.write_text(FLAGS.csv, tables.csv_text(frame, report["lesions"]))
    if FLAGS.markdown:
        files.write_text(FLAGS.markdown, tables.markdown_text(table, remarks))
    if report["cases"]:
        print("\n".join(texts))
    return app.EXIT_SOME_FAILED if is_incomplete else app.EXIT_DONE


def evaluate(flag: str, predictions: str) -> tuple[dict[str, Any], list[str]]:
    """Score the predictions of a flag and print their problems; return entries of the JSON and remarks."""
    from kits_tf import runtime
    from kits_tf.evaluation import matching, scoring

    references = FLAGS.references
    found = matching.match(pathlib.Path(predictions), pathlib.Path(references), FLAGS.cases, flag, FLAGS.split)
    pairs = sorted((found.pairs | {case: (None, path) for case, path in found.missing.items()}).items())
    results, failed, lines = {}, {}, []
    outcomes = runtime.in_processes(scoring.score_case, pairs, FLAGS.workers)
    for case, result, error in progress(outcomes, "Scoring", total=len(pairs)):
        if result is not None:
            results[case] = result
            lines += result["warnings"]
        if error is not None:
            failed[case] = error
            lines.append(f"{error} ({'not scored' if result is None else 'scored as 0'})")
    kidney_only = [case for case, result in results.items() if result["is_kidney_only"]]
    lines += [f"{case}: no prediction in {predictions} (scored as 0)" for case in found.missing]
    lines += [f"{case}: no reference in {references} and no prediction in {predictions}" for case in found.absent]
    lines += [f"{path}: no reference for it (not scored)" for path in found.extra]
    said = f"{predictions}: --stage=kidney made {len(kidney_only)} of {counted(len(found.pairs), 'prediction')}"
    remarks = [f"{said}; their tumor scores, also in the means, are those of an empty mask"] if kidney_only else []
    print(*lines, *remarks, sep="\n", end="\n" if lines or remarks else "", file=sys.stderr)
    return {
        "cases": {case: result["scores"] for case, result in results.items()},
        "sides": {case: result["sides"] for case, result in results.items()},
        "lesions": {case: result["lesions"] for case, result in results.items()},
        "missing": list(found.missing),
        "extra": [path.name for path in found.extra],
        "absent": found.absent,
        "failed": failed,
        "tumors_not_looked_for": kidney_only,
        "is_incomplete": bool(failed or found.missing or found.absent or (FLAGS.cases and found.extra)),
    }, remarks


def run() -> None:
    """Run the console command kits-evaluate."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
