"""Proves kits-request against a server of the real system: right labels, bounded retries, one line a failure."""

import functools
import json
import subprocess
import sys
import time

import numpy as np
import pytest

from kits_tf.cli import app, predict, request
from kits_tf.inference.segmenter import load_segmenter
from kits_tf.io.volume import Volume, read_labels, read_volume, write_volume
from kits_tf.serving.client import Reply, pack
from tests.cli.predicting import TABLES
from tests.tiny import small_ct

SPACING_MM = (4.0, 3.0, 3.0)
NAMES = [f"ct_{seed:02d}" for seed in range(20)]
CORRUPT = NAMES[::3]


@pytest.fixture(scope="module")
def model(exported_models):
    """The exported system, called once: else the first requests would each optimise the graph."""
    tf = pytest.importorskip("tensorflow")
    loaded, hu = tf.saved_model.load(str(exported_models / "system" / "1")), small_ct((5, 32, 40))
    loaded.signatures["compact"](
        volume_bytes=tf.constant(pack(hu)), shape=tf.constant(hu.shape), spacing_mm=tf.constant(SPACING_MM)
    )
    return loaded


@pytest.fixture(params=["rest", "grpc"])
def serve(request, model):
    """A function that starts a server."""
    pytest.importorskip("tensorflow_serving")
    from tests.serving import protocol_server

    return functools.partial(getattr(protocol_server, f"{request.param}_server"), model)


class OfflineClient:
    """Stands in for a client: the middle is kidney, a right one."""

    checkpoint, notice = "weights", ""

    def about(self):
        settings = {"stage": "both", "weights": self.checkpoint}
        return {"checkpoint": self.checkpoint, "notice": self.notice, "version": "1", "settings": settings}

    def segment(self, hu, spacing_mm):
        labels = np.zeros(hu.shape, np.uint8)
        labels[:, 8:24, 5:15] = 1
        return Reply(labels, labels)


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(request, "connect", OfflineClient)


def ask(url, data, out, *arguments):
    flags = [f"--server={url}", f"--input={data}", f"--output_dir={out}", "--wait_seconds=0", *arguments]
    return app.execute(request.main, request.FLAGS, ["kits-request", *flags])


def write_cts(folder, names):
    for seed, name in enumerate(names):
        write_volume(Volume(small_ct((5, 32, 40), seed), SPACING_MM), folder / f"{name}.nii.gz")
    return folder


def test_several_at_once_with_corrupt_ones_among_them(serve, decisive_weights, tmp_path, capsys):
    data, out = write_cts(tmp_path, NAMES), tmp_path / "out"
    segmenter = load_segmenter(decisive_weights, engine="tensorflow")
    cts = {name: read_volume(data / f"{name}.nii.gz") for name in NAMES if name not in CORRUPT}
    expected = {name: segmenter.segment(ct.hu, ct.spacing_mm) for name, ct in cts.items()}
    for number, name in enumerate(CORRUPT):
        path = data / f"{name}.nii.gz"
        whole = path.read_bytes()
        path.write_bytes([b"", b"no CT", whole[:300], whole[:-300] + bytes(300)][number % 4])
    with serve(awaited=6) as server:
        assert ask(server.url, data, out, "--workers=6") == 1
    assert_a_line_each(capsys, CORRUPT, "")
    assert server.most_at_once == 6
    names = {f"{name}_segmentation{end}" for name in expected for end in (".nii.gz", ".json")}
    assert {path.name for path in out.iterdir()} == names | TABLES
    for name, labels in expected.items():
        assert set(np.unique(labels)) == {0, 1, 2}
        np.testing.assert_array_equal(read_labels(out / f"{name}_segmentation.nii.gz")[0], labels)
    assert_sidecars_are_those_of_kits_predict(data, out, decisive_weights)


def assert_sidecars_are_those_of_kits_predict(data, out, weights):
    """The same entries with the same values, and kits-predict finds nothing to do."""
    flags = [f"--input={data}", f"--checkpoint_dir={weights}", "--engine=tensorflow"]
    before = (out / f"{NAMES[1]}_segmentation.json").read_bytes()
    assert app.execute(predict.main, predict.FLAGS, ["kits-predict", *flags, f"--output_dir={out}"]) == 1
    assert (out / f"{NAMES[1]}_segmentation.json").read_bytes() == before
    one = [f"--input={data / NAMES[1]}.nii.gz", *flags[1:], f"--output_dir={out / 'predicted'}"]
    assert app.execute(predict.main, predict.FLAGS, ["kits-predict", *one]) == 0
    own = json.loads((out / "predicted" / f"{NAMES[1]}_segmentation.json").read_text())
    theirs = json.loads(before)
    differ = {"engine", "precision", "seconds", "peak_memory_mb", "checkpoint", "date"}
    assert {name: own[name] for name in set(own) - differ} == {name: theirs[name] for name in set(theirs) - differ}
    assert theirs["checkpoint"] == weights.name and own["kidneys"]


@pytest.mark.parametrize(
    "fault, seconds, attempts, says", [("stall", 2, 2, "no reply within 2 s (2 att"), ("close", 60, 3, "(3 attempts)")]
)
def test_a_faulty_server_is_one_line_a_ct(serve, tmp_path, capsys, fault, seconds, attempts, says):
    data, out = write_cts(tmp_path, NAMES[:2]), tmp_path / "out"
    with serve(fault) as server:
        assert ask(server.url, data, out, f"--attempts={attempts}", f"--timeout_seconds={seconds}") == 1
        assert server.requests == 2 * attempts
    assert_a_line_each(capsys, NAMES[:2], says)
    assert {path.name for path in out.iterdir()} == TABLES


def assert_a_line_each(capsys, names, says):
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(names)
    for name in names:
        assert sum(f"{name}.nii.gz" in line and says in line for line in lines) == 1


def test_a_busy_server_is_asked_again(model, tmp_path):
    from tests.serving.protocol_server import rest_server

    with rest_server(model, "busy") as server:
        assert ask(server.url, write_cts(tmp_path, NAMES[:1]), tmp_path / "out") == 0
        assert server.requests == 2


def test_health(serve, tmp_path, capsys):
    with serve() as server:
        assert ask(server.url, ".", tmp_path, "--check") == 0
        assert "checkpoint decisive" in capsys.readouterr().out
        assert ask(server.url, ".", tmp_path, "--check", "--model=other", "--timeout_seconds=5") == 1
    assert ask(server.url, ".", tmp_path, "--check", "--timeout_seconds=5", "--attempts=2") == 1
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_an_unreachable_server_is_one_line():
    """In a process of its own, as every process shows TensorFlow's opening lines once."""
    pytest.importorskip("tensorflow_serving")
    flags = ["--server=grpc://localhost:1", "--check", "--attempts=1"]
    result = subprocess.run([sys.executable, "-m", "kits_tf.cli.request", *flags], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("grpc://localhost:1: ") and result.stderr.count("\n") == 1


def test_labels_of_another_ct_or_ones_own_are_not_taken_for_those_of_a_ct(offline, tmp_path, capsys, monkeypatch):
    wards = [tmp_path / name for name in ("ward_a", "ward_b")]
    for seed, ward in enumerate(wards):
        write_volume(Volume(small_ct((5, 32, 40), seed), SPACING_MM), ward / "scan.nii.gz")
    out = tmp_path / "out"
    assert [ask("http://nowhere", wards[0], out) for _ in range(2)] == [0, 0]
    assert "1 of 1 CTs are already written" in capsys.readouterr().out
    with monkeypatch.context() as patch:
        patch.setattr(OfflineClient, "checkpoint", "others")
        assert ask("http://nowhere", wards[0], out) == 1
    assert ask("http://nowhere", wards[1], out) == 1
    (out / "scan_segmentation.json").unlink()
    assert ask("http://nowhere", wards[0], out) == 1
    lines = capsys.readouterr().err.splitlines()
    for word, line in zip(("settings", "another CT", "your own"), lines, strict=True):
        assert word in line
    assert ask("http://nowhere", wards[1], out, "--overwrite") == 0
    sidecar = json.loads((out / "scan_segmentation.json").read_text())
    assert sidecar["engine"] == "server" and sidecar["checkpoint"] == "weights"
    assert set(sidecar["seconds"]) == {"read", "request", "write", "total"}
    assert sidecar["kidney_ml"] == pytest.approx(5 * 16 * 10 * 36 / 1000)


def test_files_and_lines_are_those_of_kits_predict(offline, tmp_path, capsys):
    write_cts(tmp_path, NAMES[:2])
    for name in ("notes.doc", "bad.nii.gz"):
        (tmp_path / name).write_text("no CT")
    out = tmp_path / "out"
    assert ask("http://nowhere", tmp_path, out, "--format=stl", "--viewer_files", "--shard=1/1") == 1
    ends = ("segmentation.json", "segmentation.nii.gz", "segmentation_kidney.stl", "segmentation_tumor.stl")
    of_folder = {"kits_labels.ctbl", "kits_labels_itk_snap.txt", "summary_1_of_1.csv", "tumors_1_of_1.csv"}
    of_folder |= {"index_1_of_1.html", *(f"{name}_{end}" for name in NAMES[:2] for end in ends)}
    assert {path.name for path in out.iterdir()} == of_folder
    rows = [line.split(",") for line in (out / "summary_1_of_1.csv").read_text().splitlines()[1:]]
    assert [row[2] for row in rows] == ["failed", "done", "done"]
    said = capsys.readouterr()
    assert said.out.startswith("skipped (not a CT): notes.doc\n")
    (line,) = said.err.splitlines()
    assert "bad.nii.gz: " in line


def test_the_notice_of_the_weights_is_said_and_written_and_pages_may_lack_the_viewer(
    offline, tmp_path, capsys, monkeypatch
):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(OfflineClient, "notice", "They never saw a tumor.")
    out = tmp_path / "out"
    assert ask("http://nowhere", write_cts(tmp_path, NAMES[:2]), out, "--report", "--noviewer") == 0
    assert capsys.readouterr().err.splitlines().count("notice: They never saw a tumor.") == 1
    for name in NAMES[:2]:
        assert json.loads((out / f"{name}_segmentation.json").read_text())["notice"] == OfflineClient.notice
        page = (out / f"{name}_segmentation.html").read_text()
        assert OfflineClient.notice in page and 'id="viewer-ct"' not in page and "data:image/jpeg" in page
    assert OfflineClient.notice in (out / "index.html").read_text()


def test_odd_hu_are_warned_of(offline, tmp_path, capsys):
    write_volume(Volume(small_ct((5, 32, 40)) + np.int16(1024), SPACING_MM), tmp_path / "ct.nii.gz")
    assert ask("http://nowhere", tmp_path, tmp_path / "out") == 0
    assert "warning" in capsys.readouterr().err


def test_a_fault_of_the_program_is_one_line_a_ct(tmp_path, capsys, monkeypatch):
    class Faulty(OfflineClient):
        def segment(self, hu, spacing_mm):
            raise RuntimeError("broken\nand a long story")

    monkeypatch.setattr(request, "connect", Faulty)
    assert ask("http://nowhere", write_cts(tmp_path, NAMES[:2]), tmp_path / "out") == 1
    assert_a_line_each(capsys, NAMES[:2], "RuntimeError (broken)")


def test_a_stopped_run_leaves_the_cts_that_wait(offline, tmp_path, monkeypatch):
    begun = []

    def stopped(client, source, *more):
        begun.append(source)
        time.sleep(0.1)
        raise SystemExit(143)

    monkeypatch.setattr(request, "segment", stopped)
    with pytest.raises(SystemExit):
        ask("http://nowhere", write_cts(tmp_path, NAMES), tmp_path / "out", "--workers=1")
    assert len(begun) < 10


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--input=."], "--output_dir"),
        (["--output_dir=."], "--input"),
        (["--check", "--server=x"], "--server"),
        (["--input=.", f"--output_dir={__file__}"], "--output_dir"),
        (["--input=.", "--output_dir=.", "--workers=0"], "--workers"),
    ],
)
def test_unusable_flags(arguments, named, capsys, tmp_path, monkeypatch):
    write_cts(tmp_path, NAMES[:1])
    monkeypatch.chdir(tmp_path)
    assert app.execute(request.main, request.FLAGS, ["kits-request", *arguments]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and named in line
