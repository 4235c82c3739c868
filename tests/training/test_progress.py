"""Proves what a log shows."""

import types

import numpy as np
import pytest

from kits_tf.training import progress

SCORES = types.SimpleNamespace(means={5: 0.7, 11: 0.6}, best=5)


@pytest.mark.parametrize(
    "seconds, text", [(0, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (201, "3 min 21 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds, text):
    assert progress.duration(seconds) == text


def test_a_log_gets_plain_lines_with_everything(capsys, monkeypatch):
    clock = iter([0.0, 20.0, 21.0, 40.0])
    monkeypatch.setattr(progress, "memory", lambda: "2.1 GB")
    shown = progress.Progress("tumor", 0, 100, clock=lambda: next(clock))
    names = ["loss", "regression"]
    shown.losses(0, names, np.full((2, 2), 9.0))  # compiles the step: the rate is counted from its end
    shown.losses(2, names, np.full((8, 2), [0.5, 0.25]))
    shown.losses(10, names, np.full((1, 2), [0.4, 0.25]))  # a second later: no line
    shown.scores(11, "tumor_dice", SCORES)
    shown.losses(11, names, np.full((9, 2), [0.4, 0.25]))
    first, validation, last = capsys.readouterr().out.splitlines()
    assert first == "tumor: step 10/100  loss 0.5000 regression 0.2500  2.1 GB  0.40 steps/s  3 min 45 s left"
    assert validation == "tumor: step 11  validation tumor_dice 0.6000, best 0.7000 at step 5"
    assert last.startswith("tumor: step 20/100  loss 0.4000 regression 0.2500 tumor_dice 0.6000  2.1 GB  0.50 steps/s")


def test_memory_is_that_of_this_process():
    number, unit = progress.memory().split(",")[0].split()
    assert unit == "GB" and 0.1 < float(number) < 64
