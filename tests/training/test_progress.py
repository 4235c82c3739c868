"""Proves what a log shows."""

import pytest

from kits_tf.training import progress


@pytest.mark.parametrize(
    "seconds, text", [(0, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (201, "3 min 21 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds, text):
    assert progress.duration(seconds) == text


def test_a_log_gets_plain_lines_with_everything(capsys, monkeypatch):
    clock = iter([0.0, 20.0, 21.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    shown = progress.Progress("tumor", 0, 100)
    shown.update(10, {"loss": 0.5, "dice": 0.25})
    shown.update(11, {"loss": 0.4, "dice": 0.25})  # a second later: no line
    shown.update(20, {"loss": 0.4, "dice": 0.25})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "tumor: step 10/100  loss 0.5000 dice 0.2500  0.50 steps/s  3 min 00 s left"
    assert len(lines) == 2 and lines[1].startswith("tumor: step 20/100")
