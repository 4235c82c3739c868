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
    progress.say("done")
    assert list(progress.progress("abc", "Reading")) == ["a", "b", "c"]
    assert list(progress.progress(2, "Reading")) == [0, 1]
    assert capsys.readouterr().out == "done\n"


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(capsys, monkeypatch):
    monkeypatch.setattr(progress, "time", Clock())  # starts at 10 s; item n ends at 10 + 10 n
    assert len(list(progress.progress(8, "Training", unit="step"))) == 8
    assert capsys.readouterr().err.splitlines() == [
        "Training: step 3 of 8 (37 %), 30 s",
        "Training: step 6 of 8 (75 %), 60 s",
        "Training: step 8 of 8 (100 %), 90 s",
    ]


def test_an_unknown_total_is_not_made_up_and_nothing_to_do_is_no_line(capsys, monkeypatch):
    monkeypatch.setattr(progress, "time", Clock())
    list(progress.progress(iter("ab"), "Reading"))
    assert list(progress.progress([], "Checking")) == []
    assert capsys.readouterr().err == "Reading: case 2, 30 s\n"
