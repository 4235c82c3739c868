"""Proves the compiled step on one batch, learning rates, signals, and when a run validates, saves and ends."""

import signal
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from kits_tf.errors import CancelledError
from kits_tf.training import loop
from kits_tf.training.state import TrainingError
from kits_tf.training.validation import Validation
from tests.training.tiny_runs import tiny_config

RATE = {"learning_rate": 0.01, "schedule": "constant", "warmup_steps": 0, "normalization": "group", "dice_weight": 0.0}
"""Neither batch normalization nor Dice over a batch, which see one part of a batch where there are several."""


def take_steps(count, jit=False, **options):
    """Take steps on one random batch from one start; return the trainer, its start and the losses [steps, names]."""
    keras.utils.set_random_seed(1)
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    trainer = loop.Trainer(tiny_config(**{**RATE, **options}), strategy, jit)
    start = trainer.model.get_weights()
    slab = np.random.default_rng(2).random((4, 16, 16, 3), np.float32)
    batch = {"slab": slab, "label": (slab[..., :1] > 0.7).astype(np.float32)}
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    _, values = trainer.run(iter(strategy.experimental_distribute_dataset(dataset)), count)
    return trainer, start, values


@pytest.fixture(name="plain", scope="module")
def plain_run():
    return take_steps(3)


def test_a_batch_in_parts_takes_the_same_steps(plain):
    trainer, _, values = take_steps(3, accumulation=4)
    np.testing.assert_allclose(values, plain[2], rtol=1e-5)
    for found, expected in zip(trainer.model.get_weights(), plain[0].model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_xla_takes_the_same_steps(plain):
    np.testing.assert_allclose(take_steps(3, jit=True)[2], plain[2], rtol=1e-4)


def test_the_gradient_is_clipped_and_averages_include_moving_statistics():
    """Adam's first moment after one step is a tenth of the gradient, so its length is a tenth of clip_norm."""
    trainer, start, _ = take_steps(1, clip_norm=1e-3, average_decay=0.2, normalization="batch")
    length = np.sqrt(sum(np.square(moment.numpy()).sum() for moment in trainer.optimizer._momentums))
    assert length == pytest.approx(1e-4, rel=1e-4)
    weights, expected = trainer.model.get_weights(), start
    for decay in (2 / 11, 0.2):  # min(0.2, (1 + step) / (10 + step))
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, weights, strict=True)]
        for average, value in zip(trainer.weights(), expected, strict=True):
            np.testing.assert_allclose(average, value, atol=1e-6)
        trainer.optimizer.iterations.assign(2)
        trainer.update_averages()
    moved = [np.abs(a - b).max() for a, b in zip(trainer.weights(), start, strict=True)]
    assert len(trainer.weights()) > len(trainer.model.trainable_variables) and min(moved) > 0


@pytest.mark.parametrize(
    "schedule, warmup, expected",
    [
        ("constant", 0, {0: 1.0, 1000: 1.0}),
        ("constant", 4, {0: 0.25, 2: (0.25 + 1.0) / 2, 150: 1.0}),  # half way up from the first rate
        ("cosine", 0, {0: 1.0}),
        # A quarter of the way from the end of the warmup to step 100, cos(45 degrees); then half of the way.
        ("cosine", 20, {0: 0.05, 20: 1.0, 40: (1 + np.sqrt(0.5)) / 2, 60: 0.5, 150: 0.0}),
        ("step", 0, {29: 1.0, 30: 0.2, 60: 0.04}),
    ],
)
def test_learning_rates(schedule, warmup, expected):
    options = {"learning_rate": 2.0, "num_steps": 100, "decay_steps": 30, "decay_factor": 0.2}
    rates = loop.learning_rate_schedule(tiny_config(schedule=schedule, warmup_steps=warmup, **options))
    assert {step: float(rates(step)) / 2 for step in expected} == pytest.approx(expected, abs=1e-6)


def test_calls_grow_towards_their_length():
    calls = {(1, 30.0): 1, (4, 0.001): 8, (8, 0.0625): 16, (16, 0.25): 4, (90, 0.0001): loop.MAX_CALL_STEPS}
    assert {call: loop.next_count(*call) for call in calls} == calls


def test_the_first_step_that_is_not_finite_is_named():
    values = np.ones((5, 2), np.float32)
    values[3, 1], values[4, 0] = np.nan, np.inf
    trainer = types.SimpleNamespace(run=lambda iterator, count: (["loss", "dice"], values))
    with pytest.raises(TrainingError, match="dice is not finite at step 14"):
        loop.take_steps(trainer, None, 10, 5, None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_a_second_one_obeyed(number):
    obeyed = []
    before = signal.signal(number, lambda number, frame: obeyed.append(number))
    try:
        with loop.stop_signals() as received:
            signal.raise_signal(number)
            assert received == [number] and not obeyed
            signal.raise_signal(number)
            assert obeyed == [number]
        signal.signal(number, signal.SIG_IGN)  # as a shell starts a program in the background
        with loop.stop_signals() as received:
            signal.raise_signal(number)
            assert not received
    finally:
        signal.signal(number, before)


class FakeRun:
    """Stands for a Trainer whose weights are the number of its steps, and for a TrainingState that notes its saves."""

    def __init__(self, config, folder, step):
        self.config, self.folder, self.step, self.taken = config, folder, step, step
        self.network, self.saved, self.copied, self.best = None, [], None, None

    def run(self, iterator, count):
        self.taken += count
        return ["learning_rate", "loss"], np.ones((count, 2), np.float32)

    def agree(self, *numbers):
        return [float(number) for number in numbers]

    def weights(self):
        return [self.taken]

    def copy_weights(self, weights):
        [self.copied] = weights

    def save(self, step, weights):
        self.saved.append(step)
        self.step = step

    def save_weights(self, path):
        self.best = self.copied


def fake_run(monkeypatch, folder, dices, step=0, stop_at=None, **options):
    """Run the loop with a real Validation whose Dice are given by step; return (state, validation, done)."""
    config = tiny_config(**{"num_steps": 25, "validate_every": 10, **options})
    state = FakeRun(config, folder, step)
    monkeypatch.setattr(loop, "MAX_CALL_STEPS", 4)
    monkeypatch.setattr("kits_tf.training.validation.Segmenter", lambda *arguments: None)
    monkeypatch.setattr("kits_tf.training.validation.TensorFlowEngine.of_model", lambda *arguments: None)

    def score(self, path, is_stopped):
        if state.copied == stop_at:
            signal.raise_signal(signal.SIGTERM)
        if is_stopped():
            raise CancelledError
        return dices[state.copied] + 0.1 * (path.name == "case_00001.tfrecord")

    monkeypatch.setattr(Validation, "_score", score)
    records = [folder / f"case_0000{n}.tfrecord" for n in range(2)]
    validation = Validation(config, state, records) if config.validate_every else None
    callbacks = keras.callbacks.CallbackList([])
    callbacks.on_train_begin()
    done = loop.train(state, None, state, validation, callbacks)
    return state, validation, done


DICES = {10: 0.5, 20: 0.7, 25: 0.6}


def test_it_validates_and_saves_at_intervals_and_at_the_end(monkeypatch, tmp_path):
    state, validation, done = fake_run(monkeypatch, tmp_path, DICES)
    assert done and state.saved == [10, 20, 25] and state.best == 20
    assert (tmp_path / "validation.csv").read_text().splitlines() == [
        "step,kidney_dice,case_00000,case_00001",
        "10,0.55,0.5,0.6",
        "20,0.75,0.7,0.8",
        "25,0.65,0.6,0.7",
    ]
    assert validation.scores == {10: 0.55, 20: 0.75, 25: 0.65}


def test_without_validation_it_saves_at_the_end_and_now_and_then(monkeypatch, tmp_path):
    assert fake_run(monkeypatch, tmp_path, {}, validate_every=0)[0].saved == [25]
    monkeypatch.setattr(loop, "SAVE_SECONDS", -1)
    assert fake_run(monkeypatch, tmp_path, {}, validate_every=0)[0].saved == [1, 3, 7, 11, 15, 19, 23, 25]


def test_patience_ends_a_run_that_does_not_improve(monkeypatch, tmp_path):
    dices = {10: 0.5, 20: 0.4, 30: 0.6, 40: 0.6, 50: 0.2, 60: 0.9}
    state, validation, done = fake_run(monkeypatch, tmp_path, dices, num_steps=100, patience=2)
    assert done and state.step == 50 and validation.best_step == 30
    again, _, done = fake_run(monkeypatch, tmp_path, dices, step=50, num_steps=100, patience=2)
    assert done and not again.saved


@pytest.mark.parametrize("stop, later", [(20, [20, 25]), (25, [25])])
def test_a_validation_that_was_stopped_is_repeated_on_resume(monkeypatch, tmp_path, stop, later):
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        state, validation, done = fake_run(monkeypatch, tmp_path, DICES, stop_at=stop)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not done and state.saved[-1] == stop and stop not in validation.scores
    _, validation, done = fake_run(monkeypatch, tmp_path, DICES, step=stop)
    assert done and validation.scores == {10: 0.55, 20: 0.75, 25: 0.65}


def test_scores_beyond_the_resumed_step_are_forgotten(monkeypatch, tmp_path):
    fake_run(monkeypatch, tmp_path, DICES)
    _, validation, _ = fake_run(monkeypatch, tmp_path, {20: 0.3, 25: 0.4}, step=14)
    assert validation.scores == {10: 0.55, 20: 0.35, 25: 0.45} and validation.best_step == 10
    lines = (tmp_path / "validation.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "10", "20", "25"]
