"""Reproduce Table 1 of Lee et al. (2019): from the download of KiTS19 to the table in this folder's README.

python -m experiments.kits19_paper.run                                # everything; resumes
python -m experiments.kits19_paper.run --print_only                   # print the commands
python -m experiments.kits19_paper.run --scores=kits19/scores.json    # only fill the table
"""

from __future__ import annotations

import json
import pathlib
import re
import shlex
from collections.abc import Mapping
from typing import Any

from experiments import common
from kits_tf import files
from kits_tf.evaluation.metrics import PAPER

README = pathlib.Path(__file__).with_name("README.md")
MARK = "<!-- results -->\n"
METRICS = ("kidney_dice", "tumor_dice")
IN_THE_TEXT = {"kidney_dice": 0.9522, "tumor_dice": 0.6312}  # the paper's text contradicts its table


def commands(folder: str) -> list[list[str]]:
    """Return the commands in order, each the name of a command and its flags; all files are in `folder`."""
    data, prepared, trained, predictions = (
        f"{folder}/{name}" for name in ("data", "prepared", "trained", "predictions")
    )
    cases, checkpoint = (f"--references={prepared}", "--split=validation"), f"--checkpoint_dir={trained}"
    return [
        ["download", f"--output_dir={data}"],
        ["prepare", f"--input={data}", f"--output_dir={prepared}", "--num_validation=27", "--num_test=0"],
        ["recipe", f"--data_dir={prepared}", checkpoint, "--preset=paper"],
        ["predict", f"--input={prepared}", "--split=validation", checkpoint, f"--output_dir={predictions}"],
        ["evaluate", f"--predictions={predictions}", *cases, "--published", f"--output={folder}/scores.json"],
        ["report", f"--predictions={predictions}", f"--images={prepared}", *cases, f"--output_dir={folder}/report"],
    ]  # fmt: skip


def table(result: Mapping[str, Any]) -> str:
    """Return the results beside the paper's as Markdown; dashes if nobody has scored the cases."""
    rows = [["system", "validation cases", "kidney Dice", "tumor Dice"], ["---"] * 4]
    for name, scores in (("Lee et al. 2019, Table 1", PAPER), ("Lee et al. 2019, text", IN_THE_TEXT)):
        rows.append([name, "27", *(f"{scores[metric]:.4f}" for metric in METRICS)])
    own = [_number(result["scores"], metric) for metric in METRICS]
    rows.append(["kits-tf, preset `paper`", str(result["cases"] or "-"), *own])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _number(scores: Mapping[str, Any] | None, metric: str) -> str:
    one = scores[metric] if scores else {"mean": None}
    if one["mean"] is None:
        return "-"
    interval = "" if one["low"] is None else f" ({one['low']:.4f} to {one['high']:.4f})"  # a single case has none
    return f"{one['mean']:.4f}{interval}"


def fill(scores: pathlib.Path, output: pathlib.Path, readme: pathlib.Path = README) -> None:
    """Write result and table from the JSON of kits-evaluate."""
    found = json.loads(scores.read_text(encoding="utf-8"))
    summary = {metric: {key: found["summary"][metric][key] for key in ("mean", "low", "high")} for metric in METRICS}
    result = {"cases": len(found["cases"]), "scores": summary}
    common.write_result(output, result)
    pattern = re.compile(f"{MARK}.*?{MARK}", re.DOTALL)
    files.write_text(readme, pattern.sub(f"{MARK}{table(result)}{MARK}", readme.read_text(encoding="utf-8")))


def main() -> None:
    """Run the commands and fill the table."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--work_dir", default="kits19", help="folder of data, networks and predictions")
    parser.add_argument("--print_only", action="store_true", help="print the commands")
    parser.add_argument("--scores", type=pathlib.Path, help="JSON of kits-evaluate: only fill the table from it")
    arguments = parser.parse_args()
    lines = commands(arguments.work_dir)
    if arguments.print_only:
        print("\n".join(f"kits-{shlex.join(line)}" for line in lines))
        return
    if arguments.scores is None:
        for line in lines:
            common.command(*line)
    fill(arguments.scores or pathlib.Path(arguments.work_dir, "scores.json"), arguments.output)


if __name__ == "__main__":
    main()
