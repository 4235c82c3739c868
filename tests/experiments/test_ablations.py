"""Prove the ablations: what is trained and scored is resumed, intervals, verdicts, and the page's numbers."""

import dataclasses
import json
import statistics

import numpy as np
import pytest

from docs import generate
from experiments.ablations import measure, run, summary, variants
from experiments.ablations.variants import QUESTIONS, Network, Question, Variant
from kits_tf import config, load_segmenter
from kits_tf.data import kits19
from kits_tf.evaluation.metrics import dice
from tests import planted

NARROW = (("base_filters", 2), ("depth", 2))
AXIAL, CORONAL, TUMOR = (Network(plane, NARROW) for plane in ("axial", "coronal", ""))
VARIANTS = (
    Variant("both", (AXIAL, CORONAL), (("fusion", "mean"),)),
    Variant("axial", (AXIAL,)),
    Variant("tumor", (TUMOR,)),
)


class SmallStudy(measure.Study):
    """A study whose real CT is a made-up one, without tumor."""

    def cases(self):
        case = measure.read(self.folder / "ct" / kits19.case_name(2))
        return {kits19.case_name(2): case, measure.TRUNK: dataclasses.replace(case, labels=np.minimum(case.labels, 1))}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two cases to train on and one to score, measured after two steps."""
    folder = tmp_path_factory.mktemp("study")
    planted.prepared_folder(folder, count=3)
    (folder / "ct").symlink_to(folder / "raw")
    made = SmallStudy(folder, num_steps=2, training=[0, 1], test=[2])
    made.measure(VARIANTS, seed=1)
    return made


def test_a_variant_is_scored_as_its_networks_segment(study):
    """Remembered predictions and shared networks, against a checkpoint of files that is loaded and run anew."""
    folder = study.folder / "by_hand"
    folder.mkdir()
    for network in (AXIAL, CORONAL):
        name = f"kidney_{network.plane}"
        (folder / name).symlink_to(study.network_folder(network, 1) / name)
    case = measure.read(study.folder / "raw" / kits19.case_name(2))
    for variant, planes, fusion in zip(VARIANTS[:2], ("axial,coronal", "axial"), ("mean", "union"), strict=True):
        segmenter = load_segmenter(folder, "tensorflow", planes=planes, fusion=fusion, stage="kidney")
        found = segmenter.segment(case.hu, case.spacing_mm)
        scores = json.loads(study.scores_path(variant, 1).read_text())
        assert scores["case_00002"]["kidney_dice"] == round(dice(found > 0, case.labels > 0), 4)
        assert 0 <= scores[measure.TRUNK]["kidney_dice"] <= 1


def test_tumors_are_scored_within_true_kidneys(study):
    case = measure.read(study.folder / "raw" / kits19.case_name(2))
    scores = json.loads(study.scores_path(VARIANTS[2], 1).read_text())
    tumor_ml = (case.labels == 2).sum() * np.prod(case.spacing_mm) / 1000
    assert scores["case_00002"]["tumor_ml"] == pytest.approx(tumor_ml, abs=0.01)
    assert 0 <= scores["case_00002"]["tumor_dice"] <= 1
    assert scores[measure.TRUNK]["tumor_dice"] is None


def test_what_is_finished_is_not_done_again(study, monkeypatch):
    done = {path: path.stat().st_mtime_ns for path in study.folder.rglob("*.json")}
    study.measure(VARIANTS, seed=1)
    assert done == {path: path.stat().st_mtime_ns for path in study.folder.rglob("*.json")}
    asked = []
    monkeypatch.setattr(study, "train", lambda network, seed: asked.append((network.name, seed)))
    monkeypatch.setattr(study, "score", lambda group, seed: asked.append([one.name for one in group]))
    study.measure(VARIANTS, seed=2)
    assert asked == [(AXIAL.name, 2), (CORONAL.name, 2), ["both", "axial"], (TUMOR.name, 2), ["tumor"]]


def test_what_is_finished_is_collected(study):
    rows = run.collected(study, Question("", (*VARIANTS, variants.axial("not trained"))))
    assert [row["variant"] for row in rows] == ["both", "axial", "tumor"]
    assert rows[0]["scores"] == {"1": json.loads(study.scores_path(VARIANTS[0], 1).read_text())}
    costs = run.costs(study, {AXIAL.name})
    assert (
        costs[AXIAL.name]["parameters"] == measure.parameters(AXIAL.config()) and costs[AXIAL.name]["cpu_seconds"] > 0
    )


def test_the_command_records_beside_earlier_questions(study, monkeypatch, tmp_path):
    monkeypatch.setattr(variants, "QUESTIONS", {"planes": Question("", VARIANTS), "pooling": Question("", ())})
    output = tmp_path / "result.json"
    output.write_text(json.dumps({"questions": {"pooling": ["earlier"]}, "networks": {"n": 1}, "released": {}}))
    flags = ["--question=planes", "--collect", f"--output_dir={study.folder}", f"--output={output}"]
    monkeypatch.setattr("sys.argv", ["run", *flags])
    run.main()
    result = json.loads(output.read_text())
    assert list(result["questions"]) == ["planes", "pooling"] and result["questions"]["pooling"] == ["earlier"]
    assert [row["variant"] for row in result["questions"]["planes"]] == ["both", "axial", "tumor"]
    assert set(result["networks"]) == {"n", AXIAL.name, CORONAL.name, TUMOR.name}


def test_every_variant_differs_from_its_reference_in_its_changes_alone():
    for question in QUESTIONS.values():
        assert len({one.name for one in question.variants}) == len({one.key for one in question.variants})
        assert set(question.worse) <= {one.name for one in question.variants}
        for network in {network for one in question.variants for network in one.networks}:
            base = vars(Network(network.plane).config())
            own = vars(network.config())
            assert {name: own[name] for name in own if own[name] != base[name]} == dict(network.changes)
            config.check_sizes(network.config())


def made_up(base, change, seeds=3, cases=12):
    """A result of the question "pooling" with two variants; the second is that much better in each case."""
    rng = np.random.default_rng(5)
    own = {"polyphase": base + rng.normal(0, 0.03, (seeds, cases)), "max, equal width": None}
    own["max, equal width"] = own["polyphase"] + change + rng.normal(0, 0.02, (seeds, cases))
    questions = [
        {"variant": name, "networks": ["n"], "scores": {
            str(seed): {f"case_{i}": {"kidney_dice": value} for i, value in enumerate(row)}
            | {summary.TRUNK: {"kidney_dice": 0.1 * seed}} for seed, row in enumerate(values)}}
        for name, values in own.items()
    ]  # fmt: skip
    return {"questions": {"pooling": questions}, "networks": {"n": {"parameters": 7, "cpu_seconds": 60.0}}}, own


def test_intervals_are_those_of_a_bootstrap_by_hand():
    result, own = made_up(0.8, 0.015)
    reference, row = summary.rows(result, "pooling")
    paired = (own["max, equal width"] - own["polyphase"]).mean(axis=0)
    rng = np.random.default_rng(1)
    means = [paired[rng.integers(0, 12, 12)].mean() for _ in range(20000)]
    assert row.difference == pytest.approx(paired.mean())
    assert row.difference_interval == pytest.approx(np.percentile(means, (2.5, 97.5)), abs=5e-4)
    assert row.by_seed == pytest.approx((own["max, equal width"] - own["polyphase"]).mean(axis=1))
    assert reference.difference is None and reference.mean == pytest.approx(own["polyphase"].mean())
    assert row.real_dice == pytest.approx(0.1) and row.seeds == 3
    assert summary.cpu_minutes(result, "pooling") == 3


@pytest.mark.parametrize(
    ("change", "seeds", "finding"),
    [(0.05, 3, "better"), (-0.05, 3, "worse"), (0.0, 3, "unclear"), (0.05, 2, "unclear")],
)
def test_a_difference_counts_if_it_is_clear_in_all_seeds(change, seeds, finding):
    result, _ = made_up(0.8, change, seeds)
    assert summary.rows(result, "pooling")[1].finding == finding


@pytest.mark.parametrize(("change", "verdict"), [(-0.05, "holds"), (0.05, "the reverse holds"), (0.0, "not shown")])
def test_a_claim_holds_if_what_it_should_beat_is_worse(change, verdict):
    result, _ = made_up(0.8, change)
    rows = summary.rows(result, "pooling")
    assert summary.verdict(Question("", (), ("max, equal width",)), rows) == verdict
    assert summary.verdict(Question("", (), ("max, equal width", "Haar")), rows) == "not measured yet"
    assert summary.verdict(Question("", ()), rows) == "no claim to test"


def test_the_pages_numbers_are_those_of_the_result():
    result = summary.recorded()
    lines = [line.strip("| ").split(" | ") for line in generate.ABLATIONS.read_text().splitlines()]
    rows = {(line[0], line[1]): line for line in lines if len(line) == 9 and line[0] in QUESTIONS}
    measured = {(name, one["variant"]): one for name, found in result["questions"].items() for one in found}
    assert set(rows) == set(measured)
    for key, one in measured.items():
        metric = "tumor_dice" if one["networks"][0].startswith("tumor") else "kidney_dice"
        seeds = []
        for scores in one["scores"].values():
            dices = [numbers[metric] for case, numbers in scores.items() if case != measure.TRUNK]
            seeds.append(statistics.fmean(value for value in dices if value is not None))
        assert float(rows[key][2].split()[0]) == pytest.approx(statistics.fmean(seeds), abs=6e-4)


def test_a_picture_is_drawn(tmp_path):
    from experiments.ablations import figure

    figure.draw(summary.rows(made_up(0.8, 0.02)[0], "pooling"), tmp_path / "a" / "picture.png")
    assert (tmp_path / "a" / "picture.png").stat().st_size > 1000
