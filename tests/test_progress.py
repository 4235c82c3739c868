"""Proves what progress yields and what it prints in a log."""

from kits_tf import progress


class Clock:
    """Stands in for the `time` module; every look costs ten seconds."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        """The time in seconds."""
        self.now += 10.0
        return self.now


def test_items_pass_through(capsys):
    assert list(progress.progress("abc", "Reading")) == ["a", "b", "c"]
    assert list(progress.progress(2, "Reading")) == [0, 1]
    assert list(progress.progress((n for n in range(2)), "Reading")) == [0, 1]
    assert capsys.readouterr().out == ""


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(capsys, monkeypatch):
    monkeypatch.setattr(progress, "time", Clock())  # starts at 10 s; item n ends at 10 + 10 n
    assert len(list(progress.progress(8, "Training", unit="step"))) == 8
    assert capsys.readouterr().err.splitlines() == [
        "Training: step 3 of 8 (37 %), 30 s",
        "Training: step 6 of 8 (75 %), 60 s",
        "Training: step 8 of 8 (100 %), 90 s",
    ]


def test_an_unknown_total_is_not_made_up(capsys, monkeypatch):
    monkeypatch.setattr(progress, "time", Clock())
    list(progress.progress(iter("ab"), "Reading"))
    assert capsys.readouterr().err == "Reading: case 2, 30 s\n"


def test_say_prints_a_line(capsys):
    progress.say("done")
    assert capsys.readouterr().out == "done\n"


def test_nothing_to_do_is_no_line(capsys):
    assert list(progress.progress([], "Checking")) == [] and capsys.readouterr().err == ""
