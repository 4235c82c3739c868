"""Proves that history.csv has neither gaps nor repeats, what a log shows, and that curves are written."""

import types

import tensorflow as tf
import tqdm

from kits_tf.training import callbacks


def log_steps(folder, resumed, last):
    """Log the steps after `resumed` in one call; return the steps that history.csv then has."""
    logger = callbacks.HistoryLogger(folder, resumed)
    for step in range(resumed + 1, last + 1):
        logger.on_train_batch_end(step, {"dice_loss": 0.5, "learning_rate": 0.1, "loss": 1 / step})
    logger.on_epoch_end(last, {})
    lines = (folder / "history.csv").read_text().splitlines()
    assert lines[0] == "step,learning_rate,loss,dice_loss"
    return [int(line.split(",")[0]) for line in lines[1:]]


def test_rows_beyond_the_resumed_step_and_cut_rows_are_dropped(tmp_path):
    assert log_steps(tmp_path, 0, 10) == list(range(1, 11))
    assert log_steps(tmp_path, 6, 9) == list(range(1, 10))
    with open(tmp_path / "history.csv", "a") as file:
        file.write("10,0.1")
    assert log_steps(tmp_path, 9, 11) == list(range(1, 12))
    assert log_steps(tmp_path, 0, 2) == [1, 2]
    callbacks.append_rows(tmp_path / "digits.csv", [{"step": 12345678, "loss": 0.1234567890123}])
    assert (tmp_path / "digits.csv").read_text() == "step,loss\n12345678,0.123456789\n"


def test_a_log_gets_plain_lines(capsys, monkeypatch):
    """By a clock of the test: compiling takes 40 s, a step then 0.5 s."""
    clock = types.SimpleNamespace(now=1000.0)
    for module in (callbacks.time, tqdm.std):
        monkeypatch.setattr(module, "monotonic" if module is callbacks.time else "time", lambda: clock.now)
    monkeypatch.setattr(callbacks, "LINE_SECONDS", 1000)
    logger = callbacks.ProgressLogger("tumor", 7300)
    clock.now += 40
    logger.on_epoch_end(60, {"dice_loss": 0.2, "loss": 0.5})
    for step in (70, 80, 100):  # after 5, 10 and 20 s
        clock.now += {70: 5, 80: 5, 100: 10}[step]
        logger.on_epoch_end(step, {"dice_loss": 0.2, "loss": 0.4})
    logger.on_test_end({"step": 100, "tumor_dice": 0.6, "best": 0.7, "best_step": 55})
    clock.now += 3600
    logger.on_epoch_end(7300, {"dice_loss": 0.2, "loss": 0.3})
    logger.on_train_end()
    assert capsys.readouterr().out.splitlines() == [
        "tumor: step 60/7300, loss 0.5, dice_loss 0.2, compiled in 40 s",
        "tumor: about 1 hour for the other 7200 steps, at 2 steps a second",
        "tumor: step 100, validation tumor_dice 0.6000, best 0.7000 at step 55",
        "tumor: step 7300/7300, loss 0.3, dice_loss 0.2, validation tumor_dice 0.6, 2.00 steps/s, 00:00 left",
    ]


def test_losses_and_scores_reach_tensorboard(tmp_path):
    logger = callbacks.TensorBoardLogger(tmp_path)
    logger.on_epoch_end(7, {"loss": 0.5})
    logger.on_test_end({"step": 7, "kidney_dice": 0.875})
    logger.on_train_end()
    [path] = (tmp_path / "tensorboard").iterdir()
    found = {}
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        found |= {value.tag: (event.step, tf.make_ndarray(value.tensor).item()) for value in event.summary.value}
    assert found == {"training/loss": (7, 0.5), "validation/kidney_dice": (7, 0.875)}


def test_curves_are_drawn_and_known_to_be_up_to_date(tmp_path):
    (tmp_path / "history.csv").write_text("step,learning_rate,loss\n1,0.1,0.9\n2,0.1,0.7\n")
    (tmp_path / "validation.csv").write_text("step,kidney_dice,case_00000\n2,0.5,0.5\n")
    assert callbacks.draw_curves(tmp_path)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    drawn_at = (tmp_path / "curves.png").stat().st_mtime_ns
    assert callbacks.draw_curves(tmp_path) and (tmp_path / "curves.png").stat().st_mtime_ns == drawn_at
