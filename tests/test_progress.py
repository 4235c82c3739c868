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
    assert list(progress.progress("abc", "Reading", 3)) == ["a", "b", "c"]
    assert capsys.readouterr().out == "done\n"


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(capsys, monkeypatch):
    monkeypatch.setattr(progress, "time", Clock())  # starts at 10 s; item n ends at 10 + 10 n
    assert len(list(progress.progress(range(8), "Training", 8, unit="step"))) == 8
    assert capsys.readouterr().err.splitlines() == [
        "Training: step 3 of 8 (37 %), 30 s",
        "Training: step 6 of 8 (75 %), 60 s",
        "Training: step 8 of 8 (100 %), 90 s",
    ]


def test_nothing_to_do_is_no_line(capsys):
    assert list(progress.progress([], "Checking", 0)) == []
    assert capsys.readouterr().err == ""


def test_shares_of_several_cts_add_up_and_whole_ones_have_no_decimals(capsys, monkeypatch):
    """A line comes 30 s after the last, so at every third look at the clock."""
    monkeypatch.setattr(progress, "time", Clock())
    with progress.shares(2, "Segmenting") as show:
        for name, share in (("a", 0.2), ("b", 0.1), ("a", 0.3), ("b", 0.0), ("a", 0.8), ("b", 0.2)):
            show(name, share)
    with progress.shares(1, "Segmenting") as show:
        for share in (0.1, 0.2, 0.56):
            show("c", share)
    assert capsys.readouterr().err.splitlines() == [
        "Segmenting: 0.4 of 2 CTs",
        "Segmenting: 1 of 2 CTs",
        "Segmenting: 0.6 of 1 CT",
    ]
