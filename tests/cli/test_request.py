"""Proves kits-request against a server of the real system: right labels, bounded retries, one line a failure."""

import errno
import functools
import subprocess
import sys
import time

import numpy as np
import pytest

from kits_tf.cli import app, request
from kits_tf.inference import outputs
from kits_tf.inference.segmenter import load_segmenter
from kits_tf.io.volume import Volume, read_labels, read_volume, write_volume
from kits_tf.serving.client import pack
from tests.tiny import small_ct

SPACING_MM = (4.0, 3.0, 3.0)
NAMES = [f"ct_{seed:02d}" for seed in range(50)]
CORRUPT = NAMES[::5] + NAMES[1::5]


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

    server = {"rest": protocol_server.rest_server, "grpc": protocol_server.grpc_server}[request.param]
    return functools.partial(server, model)


@pytest.fixture(scope="module")
def cts(tmp_path_factory):
    """A folder of 50 small CTs, 20 of them corrupt in four ways."""
    folder = write_cts(tmp_path_factory.mktemp("cts"), NAMES)
    for number, name in enumerate(CORRUPT):
        path = folder / f"{name}.nii.gz"
        whole = path.read_bytes()
        path.write_bytes([b"", b"no CT", whole[:300], whole[:-300] + bytes(300)][number % 4])
    return folder


@pytest.fixture(scope="module")
def expected(cts, decisive_weights):
    """{name: labels} of the good CTs, by prediction."""
    segmenter = load_segmenter(decisive_weights, engine="tensorflow")
    volumes = {name: read_volume(cts / f"{name}.nii.gz") for name in NAMES if name not in CORRUPT}
    labels = {name: segmenter.segment(volume.hu, volume.spacing_mm) for name, volume in volumes.items()}
    assert all(set(np.unique(found)) == {0, 1, 2} for found in labels.values())
    return labels


class OfflineClient:
    """Stands in for a client: everything is background."""

    def segment(self, hu, spacing_mm):
        return np.zeros(hu.shape, np.uint8)


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(request, "connect", OfflineClient)


def ask(url, *arguments):
    return app.execute(
        request.main, request.FLAGS, ["kits-request", f"--server={url}", *map(str, arguments), "--wait_seconds=0"]
    )


def write_cts(folder, names):
    for seed, name in enumerate(names):
        write_volume(Volume(small_ct((5, 32, 40), seed), SPACING_MM), folder / f"{name}.nii.gz")
    return folder


def test_eight_at_once_with_twenty_of_fifty_corrupt(serve, cts, expected, tmp_path, capsys):
    with serve(awaited=8) as server:
        assert ask(server.url, f"--input={cts}", f"--output_dir={tmp_path}", "--workers=8") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(CORRUPT) == len(lines) == 20
    for name in CORRUPT:
        assert sum(f"{name}.nii.gz" in line for line in lines) == 1
    assert server.most_at_once == 8
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}_segmentation{end}" for name in expected for end in (".nii.gz", ".json")
    }
    for name, labels in expected.items():
        np.testing.assert_array_equal(read_labels(tmp_path / f"{name}_segmentation.nii.gz")[0], labels)


@pytest.mark.parametrize(
    "fault, attempts, says",
    [
        ("stall", 2, "no reply within 4 s (2 attempts)"),
        ("close", 3, "(3 attempts)"),
    ],
)
def test_a_faulty_server_costs_one_line_a_ct(serve, tmp_path, capsys, fault, attempts, says):
    data, out = write_cts(tmp_path, NAMES[:2]), tmp_path / "out"
    flags = (f"--attempts={attempts}",)
    flags += ("--timeout_seconds=4",) if fault == "stall" else ("--timeout_seconds=60",)
    with serve(fault) as server:
        assert ask(server.url, f"--input={data}", f"--output_dir={out}", *flags) == 1
        assert server.requests == 2 * attempts
    assert_a_line_each(capsys, NAMES[:2], says)
    assert not out.exists() or not list(out.iterdir())


def assert_a_line_each(capsys, names, says):
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(names)
    for name in names:
        assert sum(f"{name}.nii.gz" in line and says in line for line in lines) == 1


def test_a_busy_server_is_asked_again(model, tmp_path):
    from tests.serving.protocol_server import rest_server

    data = write_cts(tmp_path, NAMES[:1])
    with rest_server(model, "busy") as server:
        assert ask(server.url, f"--input={data}", f"--output_dir={tmp_path / 'out'}") == 0
        assert server.requests == 2


def test_health(serve, capsys):
    with serve() as server:
        assert ask(server.url, "--check") == 0
        assert ask(server.url, "--check", "--model=other", "--timeout_seconds=5") == 1
    assert ask(server.url, "--check", "--timeout_seconds=5", "--attempts=2") == 1
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_nothing_is_said_but_that_no_server_answers():
    """In a process of its own, as every process shows TensorFlow's opening lines once."""
    pytest.importorskip("tensorflow_serving")
    flags = ["--server=grpc://localhost:1", "--check", "--attempts=1"]
    result = subprocess.run([sys.executable, "-m", "kits_tf.cli.request", *flags], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("grpc://localhost:1: ") and result.stderr.count("\n") == 1


def test_what_is_written_is_not_sent_again(offline, tmp_path, capsys):
    data, flags = write_cts(tmp_path, NAMES[:2]), (f"--input={tmp_path}", f"--output_dir={tmp_path / 'out'}")
    assert ask("http://nowhere", *flags) == 0
    assert ask("http://nowhere", *flags) == 0
    assert "2 of 2 CTs are already written" in capsys.readouterr().out
    (data / "out" / f"{NAMES[0]}_segmentation.json").unlink()
    assert ask("http://nowhere", *flags) == 1
    assert f"{NAMES[0]}_segmentation.nii.gz: has no sidecar" in capsys.readouterr().err
    assert ask("http://nowhere", *flags, "--overwrite") == 0
    assert len(list((data / "out").iterdir())) == 4


def test_a_full_disk_costs_each_ct_a_line(offline, tmp_path, capsys, monkeypatch):
    def fail(labels, volume, path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(outputs, "write_labels", fail)
    assert ask("http://nowhere", f"--input={write_cts(tmp_path, NAMES[:2])}", f"--output_dir={tmp_path / 'out'}") == 1
    assert_a_line_each(capsys, NAMES[:2], "No space left on device")


def test_a_fault_of_the_program_costs_each_ct_a_line(tmp_path, capsys, monkeypatch):
    class Faulty:
        def segment(self, hu, spacing_mm):
            raise RuntimeError("broken\nand a long story")

    monkeypatch.setattr(request, "connect", Faulty)
    assert ask("http://nowhere", f"--input={write_cts(tmp_path, NAMES[:2])}", f"--output_dir={tmp_path / 'out'}") == 1
    assert_a_line_each(capsys, NAMES[:2], "RuntimeError (broken)")


def test_a_ct_of_a_list_that_cannot_be_found_costs_a_line(offline, tmp_path, capsys):
    pytest.importorskip("highdicom")
    write_cts(tmp_path, NAMES[:1])
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "image.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 40)
    (tmp_path / "list.txt").write_text(f"series\n{NAMES[0]}.nii.gz\n")
    assert ask("http://nowhere", f"--input={tmp_path / 'list.txt'}", f"--output_dir={tmp_path / 'out'}") == 1
    assert f"{tmp_path / 'series'}" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").glob("*.gz")] == [f"{NAMES[0]}_segmentation.nii.gz"]


def test_a_run_that_is_stopped_leaves_the_cts_that_wait(offline, tmp_path, capsys, monkeypatch):
    begun = []

    def stopped(client, source, settings):
        begun.append(source)
        time.sleep(0.1)
        raise SystemExit(143)

    monkeypatch.setattr(request, "segment", stopped)
    data = write_cts(tmp_path, NAMES[:20])
    with pytest.raises(SystemExit):
        ask("http://nowhere", f"--input={data}", f"--output_dir={tmp_path / 'out'}", "--workers=1")
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


def test_two_cts_of_one_name_cost_a_line_each(offline, tmp_path, capsys):
    write_cts(tmp_path, NAMES[:2])
    write_volume(Volume(small_ct((5, 32, 40)), SPACING_MM), tmp_path / f"{NAMES[0]}.nii")
    assert ask("http://nowhere", f"--input={tmp_path}", f"--output_dir={tmp_path / 'out'}") == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert len(lines) == 2 and all(f"would be written as {NAMES[0]}_segmentation.nii.gz" in line for line in lines)
    assert [path.name for path in (tmp_path / "out").glob("*.gz")] == [f"{NAMES[1]}_segmentation.nii.gz"]
