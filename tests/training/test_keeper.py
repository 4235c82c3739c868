"""Proves when a run validates, saves and ends, which weights stay, and that a validation cut short is made up for."""

import dataclasses
import types

import pytest

from kits_tf.checkpoint import WEIGHTS_NAME
from kits_tf.errors import InputError
from kits_tf.training import keeper as keepers
from kits_tf.training.validation import StopError
from tests.training.tiny_runs import tiny_config

CONFIG = dataclasses.replace(tiny_config(), num_steps=25, validate_every=10)


class Fakes:
    """Stands for trainer, copy, checkpoints and validation; notes what is asked of them."""

    name, cases = "kidney_dice", ["case_00000", "case_00001"]

    def __init__(self, config, dices):
        self.config, self.average, self.dices = config, None, dices
        self.saved, self.validated = [], []
        self.step = 0
        self.termination = types.SimpleNamespace(asked=False)
        self.stops_at = self.disk_full_at = None

    def agree(self, *numbers):
        return [float(number) for number in numbers]

    def take(self, average, step):
        self.step = step

    def save(self, target):
        if isinstance(target, int):
            self.saved.append(target)
        elif self.step == self.disk_full_at:
            raise InputError(target, "cannot be written (No space left on device)")
        else:
            target.write_text(f"weights of step {self.step}")

    def scores(self, worker, workers, is_asked_to_stop):
        if self.step == self.stops_at:
            self.termination.asked = True
            raise StopError
        self.validated.append(self.step)
        return [self.dices[self.step], self.dices[self.step] + 0.1]


def make(folder, config=CONFIG, dices=None, step=0):
    """(keeper, fakes) in a folder."""
    fakes = Fakes(config, dices or {10: 0.5, 20: 0.7, 25: 0.6})
    return keepers.Keeper(folder, fakes, fakes, fakes, step, fakes if config.validate_every else None), fakes


def run(keeper, fakes, step):
    """The calls of `run.run` and the loop from a step on: returns the step that it ends at."""
    if keeper.is_over(step) and not keeper.is_due(step):
        return step
    stopped = keeper.resume(step, fakes.termination)
    while not stopped and not keeper.is_over(step):
        step += min(4, keeper.next_look(step) - step)
        stopped = keeper.keep(step, fakes.termination.asked, keeper.unsaved_seconds(), fakes.termination)
    return step


def test_it_validates_at_intervals_and_at_the_end_and_saves_with_each(tmp_path):
    keeper, fakes = make(tmp_path)
    assert run(keeper, fakes, 0) == 25
    assert fakes.validated == fakes.saved == [10, 20, 25]
    assert (tmp_path / "validation.csv").read_text().splitlines() == [
        "step,kidney_dice,case_00000,case_00001",
        "10,0.55,0.5,0.6",
        "20,0.75,0.7,0.8",
        "25,0.65,0.6,0.7",
    ]
    assert (tmp_path / keepers.BEST_NAME).read_text() == "weights of step 20"


@pytest.mark.parametrize("keep, step", [("last", 25), ("best", 20)])
def test_the_weights_that_stay(tmp_path, keep, step):
    keeper, fakes = make(tmp_path, dataclasses.replace(CONFIG, keep=keep))
    run(keeper, fakes, 0)
    for _ in range(2):  # the second time there is nothing left to do
        keeper.finish()
        assert (tmp_path / WEIGHTS_NAME).read_text() == f"weights of step {step}"


def test_without_validation_it_saves_at_the_end_and_now_and_then(tmp_path, monkeypatch):
    config = dataclasses.replace(CONFIG, validate_every=0)
    keeper, fakes = make(tmp_path, config)
    assert run(keeper, fakes, 0) == 25
    assert fakes.saved == [25] and not (tmp_path / "validation.csv").exists()
    monkeypatch.setattr(keepers, "SAVE_SECONDS", -1)
    keeper, fakes = make(tmp_path, config)
    run(keeper, fakes, 0)
    assert fakes.saved == [4, 8, 12, 16, 20, 24, 25]


def test_no_state_is_saved_where_its_weights_could_not_be(tmp_path):
    """Or the next start would find all steps done, with the weights of an earlier one."""
    keeper, fakes = make(tmp_path, dataclasses.replace(CONFIG, validate_every=0))
    fakes.disk_full_at = 25
    with pytest.raises(InputError, match="No space left"):
        run(keeper, fakes, 0)
    assert fakes.saved == []


def test_no_score_is_noted_where_its_weights_could_not_be_saved(tmp_path):
    """Or the next start would take other weights for the best ones."""
    keeper, fakes = make(tmp_path)
    fakes.disk_full_at = 20
    with pytest.raises(InputError, match="No space left"):
        run(keeper, fakes, 0)
    assert keeper.scores.means == {10: 0.55} and "20," not in (tmp_path / "validation.csv").read_text()
    assert (tmp_path / keepers.BEST_NAME).read_text() == "weights of step 10"


def test_patience_ends_a_run_that_gets_no_better(tmp_path):
    config = dataclasses.replace(CONFIG, num_steps=100, patience=2)
    dices = {10: 0.5, 20: 0.4, 30: 0.6, 40: 0.6, 50: 0.2, 60: 0.9}
    keeper, fakes = make(tmp_path, config, dices)
    assert run(keeper, fakes, 0) == 50
    assert keeper.scores.best == 30
    again, _ = make(tmp_path, config, dices, step=50)
    assert again.is_over(50)


@pytest.mark.parametrize("last, made_up", [(20, [20, 25]), (25, [25])])
def test_a_validation_cut_short_is_made_up_for(tmp_path, last, made_up):
    """SIGTERM in a validation, the last one too: the state is saved, no score is noted; the next start validates."""
    keeper, fakes = make(tmp_path)
    fakes.stops_at = last
    assert run(keeper, fakes, 0) == last
    assert fakes.saved[-1] == last and last not in fakes.validated
    keeper, fakes = make(tmp_path, step=last)
    assert run(keeper, fakes, last) == 25
    assert fakes.validated == made_up
    assert keeper.scores.means == {10: 0.55, 20: 0.75, 25: 0.65}
    keeper, fakes = make(tmp_path, step=25)
    assert run(keeper, fakes, 25) == 25 and not fakes.validated


def test_scores_beyond_the_saved_step_are_forgotten(tmp_path):
    keeper, fakes = make(tmp_path)
    run(keeper, fakes, 0)
    keeper, fakes = make(tmp_path, dices={20: 0.3, 25: 0.4}, step=14)
    assert keeper.scores.means == {10: 0.55}
    run(keeper, fakes, 14)
    assert [line.split(",")[0] for line in (tmp_path / "validation.csv").read_text().splitlines()[1:]] == [
        "10",
        "20",
        "25",
    ]
    assert keeper.scores.best == 10
