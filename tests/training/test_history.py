"""Proves that history.csv has neither gaps nor repeats, wherever a run was stopped."""

from kits_tf.training.history import History


def rows(first, last):
    return [{"step": step, "learning_rate": 0.1, "loss": 1 / step} for step in range(first, last + 1)]


def steps(path):
    lines = path.read_text().splitlines()
    assert lines[0] == "step,learning_rate,loss"
    assert all(len(line.split(",")) == 3 for line in lines)
    return [int(line.split(",")[0]) for line in lines[1:]]


def test_steps_beyond_the_saved_one_are_dropped(tmp_path):
    path = tmp_path / "history.csv"
    History(path, 0).append(rows(1, 10))
    assert steps(path) == list(range(1, 11))
    continued = History(path, 6)
    continued.append(rows(7, 8))
    continued.append(rows(9, 9))
    assert steps(path) == list(range(1, 10))


def test_a_row_cut_off_by_a_kill_is_dropped(tmp_path):
    path = tmp_path / "history.csv"
    History(path, 0).append(rows(1, 4))
    path.write_text(path.read_text() + "5,0.1")
    History(path, 4).append(rows(5, 5))
    assert steps(path) == [1, 2, 3, 4, 5]


def test_a_run_from_the_start_begins_a_new_file(tmp_path):
    path = tmp_path / "history.csv"
    History(path, 0).append(rows(1, 3))
    History(path, 0).append([{"step": 1, "loss": 0.5}])
    assert path.read_text() == "step,loss\n1,0.5\n"
