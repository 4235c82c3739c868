"""Test claims of the paper that it does not measure: train variants on simulated CTs and compare them.

python -m experiments.ablations.run --question=planes

Networks and scores are kept in --output_dir, so that a rerun resumes. --collect records the finished ones and trains
nothing.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

from experiments import common
from experiments.ablations import measure, variants
from experiments.ablations.variants import Question
from experiments.default_weights.score import held_out


def main() -> None:
    """Train, score and record."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--question", default="all", help=f"comma list of {', '.join(variants.QUESTIONS)}; or all")
    parser.add_argument("--output_dir", type=pathlib.Path, default=common.BUILD / "ablations")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--num_steps", type=int, help="of every training, instead of those of the base")
    parser.add_argument("--real_ct", type=pathlib.Path, help="folder of NAME/imaging.nii.gz and kidney.nii.gz")
    parser.add_argument("--collect", action="store_true", help="train nothing, record what is finished")
    arguments = parser.parse_args()
    measure.single_threaded()
    questions = variants.chosen(arguments.question)
    study = measure.Study(arguments.output_dir, arguments.num_steps)
    if not arguments.collect:
        study.prepare()
        for question in questions.values():
            for seed in range(arguments.seeds):
                study.measure(question.variants, seed)
    result = recorded(arguments.output)
    now = result["questions"] | {name: collected(study, question) for name, question in questions.items()}
    result["questions"] = {name: now[name] for name in variants.QUESTIONS if now.get(name)}
    trained = {name for question in questions for one in now[question] for name in one["networks"]}
    result["networks"] |= costs(study, trained)
    result["cases"] = {"training": len(study.training), "test": len(study.test)}
    if "planes" in questions and not arguments.collect:
        names = held_out(arguments.real_ct) if arguments.real_ct else []
        ways = questions["planes"].variants
        result["released"] = measure.score_released(ways, arguments.real_ct, names)
    common.write_result(arguments.output, result)


def recorded(path: pathlib.Path) -> dict[str, Any]:
    """Return an earlier result, whose other questions are kept; an empty one if there is none."""
    empty: dict[str, Any] = {"questions": {}, "networks": {}, "released": {}}
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else empty


def collected(study: measure.Study, question: Question) -> list[dict[str, Any]]:
    """Return the finished scores of a question's variants by seed."""
    rows = []
    for variant in question.variants:
        paths = sorted(study.scores_path(variant, 0).parent.glob("*.json"))
        scores = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
        if scores:
            names = [network.name for network in variant.networks]
            rows.append({"variant": variant.name, "networks": names, "scores": scores})
    return rows


def costs(study: measure.Study, names: set[str]) -> dict[str, Any]:
    """Return the parameters of networks and the mean CPU seconds of their trainings."""
    found = {}
    for name in sorted(names):
        paths = (study.folder / "networks" / name).glob("*/cost.json")
        seeds = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        seconds = sum(one["cpu_seconds"] for one in seeds) / len(seeds)
        found[name] = {"parameters": seeds[0]["parameters"], "cpu_seconds": round(seconds, 1)}
    return found


if __name__ == "__main__":
    main()
