"""Proves that many CTs are segmented side by side, that a bad one stops no other, and that leaving leaves nothing."""

import contextlib
import dataclasses
import errno
import threading
import types

import numpy as np
import pytest

from kits_tf.config import preset
from kits_tf.errors import InputError
from kits_tf.inference import cases
from kits_tf.inference.cases import Task
from kits_tf.inference.inputs import Input, find_inputs
from kits_tf.inference.pool import segment_all, unwritten
from kits_tf.inference.segmenter import Segmenter
from kits_tf.inference.written import lacking
from kits_tf.io.volume import Volume, read_labels, write_volume
from tests.identity import IdentityEngine

BIG_MM = (13.0, 13.0, 13.0)


def bright_ct(number):
    hu = np.full((6, 20, 24), -1024, np.int16)
    hu[1:4, 5:12, 2 : 8 + number % 10] = 2125
    return hu


@pytest.fixture
def folder(tmp_path):
    for number in range(5):
        write_volume(Volume(bright_ct(number), BIG_MM), tmp_path / "data" / f"{number}.nii.gz")
    (tmp_path / "data" / "bad.nii.gz").write_bytes(b"no image")
    return tmp_path


def task(folder, engine=None):
    configs = {"kidney_axial": preset("paper", "kidney", "axial")}
    return Task(Segmenter(engine or IdentityEngine(), configs), folder / "out", "identity", options={})


def test_all_good_ones_are_written_and_the_bad_one_is_named(folder):
    outcomes = list(segment_all(task(folder), find_inputs(folder / "data"), workers=3, total_bytes=1e9))
    failed = [outcome for outcome in outcomes if outcome.reason]
    assert len(outcomes) == 6 and len(failed) == 1 and "bad.nii.gz" in failed[0].reason
    for number in range(5):
        labels, _ = read_labels(folder / "out" / f"{number}_segmentation.nii.gz")
        np.testing.assert_array_equal(labels, bright_ct(number) > 0)


def test_a_fault_of_the_program_stops_no_other(folder):
    class Faulty(IdentityEngine):
        calls = 0

        def probability(self, network, batch):
            Faulty.calls += 1
            if Faulty.calls == 1:
                raise RuntimeError("device lost\nand a long story")
            return super().probability(network, batch)

    outcomes = list(segment_all(task(folder, Faulty()), find_inputs(folder / "data"), workers=1, total_bytes=1e9))
    reasons = [outcome.reason for outcome in outcomes if outcome.reason]
    assert len(reasons) == 2 and any(reason.endswith("RuntimeError (device lost)") for reason in reasons)


@pytest.mark.parametrize("named", (True, False))
def test_a_full_disk_is_said_of_what_was_written(folder, monkeypatch, named):
    """And of the output folder where the system names no file."""
    path = folder / "out" / "0_segmentation.nii.gz"

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device", *([str(path)] if named else []))

    monkeypatch.setattr(cases, "write_labels", full)
    (source,) = find_inputs(folder / "data" / "0.nii.gz")
    (outcome,) = segment_all(task(folder), [source], workers=1, total_bytes=1e9)
    assert outcome.reason == f"{source.path}: {path if named else path.parent}: No space left on device"


def test_a_full_disk_says_nothing_of_a_series_patient(tmp_path):
    folder = tmp_path / "mustermann"
    source = Input(folder, "series_1_segmentation.nii.gz", series=types.SimpleNamespace(where="series_1"))
    for names in ([], [str(folder)]):
        said = unwritten(source, OSError(errno.ENOSPC, "No space left on device", *names), folder)
        assert said == "series_1: series_1_segmentation.nii.gz: No space left on device"


def test_too_large_ones_are_refused_and_the_others_done(folder):
    write_volume(Volume(np.zeros((60, 90, 90), np.int16), BIG_MM), folder / "data" / "large.nii.gz")
    outcomes = list(segment_all(task(folder), find_inputs(folder / "data"), workers=2, total_bytes=1e6))
    assert sum(outcome.summary is not None for outcome in outcomes) == 5
    assert any("large.nii.gz: too large" in (outcome.reason or "") for outcome in outcomes)


def test_who_leaves_early_gets_no_half_written_file(folder):
    """One worker goes on by itself; the others wait until its first case is out, and then some."""
    started, first = threading.Event(), []

    class Slow(IdentityEngine):
        def probability(self, network, batch):
            first.append(threading.get_ident())
            if first[0] != threading.get_ident():
                started.wait()
            if started.is_set():
                threading.Event().wait(0.2)
            return super().probability(network, batch)

    with contextlib.closing(
        segment_all(task(folder, Slow()), find_inputs(folder / "data")[:5], workers=3, total_bytes=1e9)
    ) as outcomes:
        next(outcomes)
        started.set()
    names = sorted(path.name for path in (folder / "out").iterdir())
    assert all(name.endswith(("_segmentation.nii.gz", "_segmentation.json")) for name in names)
    assert len(names) < 10 and len(names) % 2 == 0


def test_an_input_with_a_fault_fails_alone(folder):
    fault = InputError("list.txt, line 1", "damaged")
    sources = [Input(folder / "data", "line_1_segmentation.nii.gz", fault=fault), *find_inputs(folder / "data")[:1]]
    outcomes = list(segment_all(task(folder), sources, workers=1, total_bytes=1e9))
    assert [outcome.reason for outcome in outcomes] == ["list.txt, line 1: damaged", None]


def test_labels_that_are_written_again_have_no_json_before_all_is_written(folder, monkeypatch):
    (source,) = find_inputs(folder / "data" / "0.nii.gz")
    cases.segment_file(task(folder), source)
    assert lacking(source, folder / "out") == []

    def stop(*arguments):
        raise KeyboardInterrupt

    for stopped in ("write_labels", "write_scaled"):
        cases.segment_file(task(folder), source)
        with monkeypatch.context() as patch:
            patch.setattr(cases, stopped, stop)
            with pytest.raises(KeyboardInterrupt):
                cases.segment_file(dataclasses.replace(task(folder), probabilities=True), source)
        assert (folder / "out" / source.output_name).is_file() and lacking(source, folder / "out") is None
