"""Prove that many CTs are segmented in parallel, that a bad one stops no other, and that leaving leaves nothing."""

import dataclasses
import errno
import threading
import time
import types
import unittest.mock

import numpy as np
import pytest

from kits_tf.config import preset
from kits_tf.errors import InputError
from kits_tf.inference import jobs, outputs
from kits_tf.inference.inputs import Input, find_inputs
from kits_tf.inference.jobs import Job, segment_all
from kits_tf.inference.segmenter import Segmenter
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
    return tmp_path


def job(folder, engine=None):
    configs = {"kidney_axial": preset("paper", "kidney", "axial")}
    return Job(Segmenter(engine or IdentityEngine(), configs), folder / "out", "identity", {"stage": "kidney"})


def sources(folder):
    return find_inputs(folder / "data").inputs


def test_a_ct_read_ahead_is_the_ct_and_its_faults_show_when_it_is_used(folder):
    (folder / "data" / "bad.nii.gz").write_bytes(b"no image")
    *good, bad = sources(folder)
    jobs.read_ahead(good[0], probabilities=False)
    jobs.read_ahead(bad, probabilities=False)
    for _ in range(2):  # the second time anew
        np.testing.assert_array_equal(good[0].read().hu, bright_ct(0))
        with pytest.raises(InputError, match="bad.nii.gz"):
            bad.read()


def test_all_good_ones_are_written_and_bad_ones_named(folder):
    """And one without a kidney is warned of."""
    write_volume(Volume(np.full((6, 20, 24), -1024, np.int16), BIG_MM), folder / "data" / "none.nii.gz")
    (folder / "data" / "bad.nii.gz").write_bytes(b"no image")
    fault = Input(folder, "", fault=InputError("list.txt, line 1", "damaged"))
    outcomes = list(segment_all(job(folder), [fault, *sources(folder)], workers=3))
    reasons = sorted(outcome.reason for outcome in outcomes if outcome.reason)
    assert len(outcomes) == 8 and len(reasons) == 2
    assert sum("no kidney was found" in outcome.sidecar.get("warnings", []) for outcome in outcomes) == 1
    assert "bad.nii.gz" in reasons[0] and reasons[1] == "list.txt, line 1: damaged"
    for number in range(5):
        labels, _ = read_labels(folder / "out" / f"{number}_segmentation.nii.gz")
        np.testing.assert_array_equal(labels, bright_ct(number) > 0)


@pytest.mark.parametrize(
    "error, said", [(RuntimeError("lost\nand more"), "RuntimeError (lost)"), (MemoryError(), "not enough memory")]
)
def test_a_fault_of_the_program_stops_no_other(folder, error, said):
    class Faulty(IdentityEngine):
        errors = [error]

        def probability(self, network, batch):
            if self.errors:
                raise self.errors.pop()
            return super().probability(network, batch)

    reasons = [outcome.reason for outcome in segment_all(job(folder, Faulty()), sources(folder), workers=1)]
    assert sorted(map(bool, reasons)) == [False] * 4 + [True] and max(reasons).endswith(f".nii.gz: {said}")


def test_a_full_disk_names_the_file_but_no_patient(folder, monkeypatch):
    path = folder / "mustermann" / "0_segmentation.nii.gz"
    full = unittest.mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device", str(path)))
    monkeypatch.setattr(outputs, "write_labels", full)
    source = sources(folder)[0]
    (outcome,) = segment_all(job(folder), [source], workers=1)
    assert outcome.reason.startswith(f"{source.path}: ") and "0_segmentation.nii.gz: No space left" in outcome.reason
    series = dataclasses.replace(source, series=types.SimpleNamespace(where="series_1"))
    (outcome,) = jobs.run_all(full, [series], workers=1)
    assert outcome.reason == "series_1: 0_segmentation.nii.gz: No space left on device"


def test_too_large_ones_are_refused_before_they_are_read_and_others_wait(folder, monkeypatch):
    """Of the others two fit into memory together."""
    write_volume(Volume(np.zeros((60, 90, 90), np.int16), BIG_MM), folder / "data" / "large.nii.gz")
    needed = bright_ct(0).size * jobs.BYTES_PER_VOXEL
    monkeypatch.setattr("psutil.virtual_memory", lambda: types.SimpleNamespace(available=2.5 * needed))
    running, most, read = [], [], Input.read

    def counted(self):
        assert self.path.name != "large.nii.gz"
        running.append(self)
        threading.Event().wait(0.02)
        most.append(len(running))
        running.remove(self)
        return read(self)

    monkeypatch.setattr(Input, "read", counted)
    outcomes = list(segment_all(job(folder), sources(folder), workers=4))
    assert [outcome.reason for outcome in outcomes if "large.nii.gz: too large" in outcome.reason]
    assert sum(bool(outcome.sidecar) for outcome in outcomes) == 5 and max(most) == 2


def test_a_stopped_run_waits_for_no_ct_that_does_not_respond(folder, monkeypatch, capsys):
    monkeypatch.setattr(jobs, "PATIENCE_SECONDS", 0.1)
    dead_disk = threading.Event()

    def work(source, cancel):
        if source.path.name == "3.nii.gz":
            dead_disk.wait(30)
        return jobs.Outcome(source)

    outcomes = jobs.run_all(work, sources(folder), workers=1)
    assert [next(outcomes).source.path.name[0] for _ in range(3)] == ["0", "1", "2"]
    start = time.monotonic()
    outcomes.close()
    dead_disk.set()
    assert time.monotonic() - start < 10
    assert capsys.readouterr().err == f"{folder / 'data' / '3.nii.gz'}: does not respond; not waited for\n"


@pytest.mark.parametrize("context_mm", [0.0, 13.0])
def test_what_a_given_mask_loses_is_warned_of(folder, context_mm):
    """A speck of four voxels of 2.2 ml, also if tumor beside the mask has more voxels, but not outside the roi."""
    source = sources(folder)[0]
    mask = (bright_ct(0) > 0).astype(np.uint8)
    mask[:, :, 6:] = 0
    write_volume(Volume(mask, BIG_MM), folder / "masks" / source.output_name)
    config = dataclasses.replace(preset("paper", "tumor"), grid=0, min_component_ml=10.0, context_mm=context_mm)
    task = dataclasses.replace(job(folder), kidney_masks=folder / "masks", settings={"stage": "tumor"})
    task = dataclasses.replace(task, segmenter=Segmenter(IdentityEngine(), {"tumor": config}))
    assert "mask" not in str(jobs.segment(task, source).sidecar["warnings"])
    mask[5, 18:, :2] = 1
    write_volume(Volume(mask, BIG_MM), folder / "masks" / source.output_name)
    assert jobs.segment(task, source).sidecar["warnings"][-1].startswith("8.8 ml of the given kidney mask")
    task = dataclasses.replace(task, roi=(slice(0, 5), slice(None), slice(None)))
    assert "mask" not in str(jobs.segment(task, source).sidecar["warnings"])
