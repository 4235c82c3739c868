"""Proves kits-download against a local server that truncates, stalls, damages and refuses."""

import gzip
import http.server
import threading

import numpy as np
import pytest

from kits_tf.cli import app
from kits_tf.cli import download as command
from kits_tf.data import download

CONTENT = gzip.compress(np.random.default_rng(0).bytes(300_000), mtime=0)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers like the server's `behaviours`, one after the other for each path, then properly."""

    def do_GET(self):
        server = self.server
        with server.lock:
            server.requests.append(self.path)
            behaviours = server.behaviours.get(self.path)
            behaviour = behaviours.pop(0) if behaviours else "whole"
        if isinstance(behaviour, int):
            self.send_error(behaviour)
            return
        content = {"damaged": b"no gzip", "truncated": CONTENT[:100_000]}.get(behaviour, CONTENT)
        self.send_response(200)
        if behaviour != "no length":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: 100_000 if behaviour in ("drop", "stall") else None])
        if behaviour == "stall":
            self.wfile.flush()
            server.over.wait(10.0)

    def log_message(self, *arguments):
        pass


@pytest.fixture(name="server")
def local_server(monkeypatch):
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)  # between attempts
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.lock, server.requests, server.behaviours, server.over = threading.Lock(), [], {}, threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(server, tmp_path, *behaviours):
    """Downloads one file through these behaviours; returns what went wrong."""
    server.behaviours["/ct"] = list(behaviours)
    timeout_seconds = 1.0 if "stall" in behaviours else 30.0  # a busy machine may be silent for a while
    [error] = download.download(
        {"case_00000/ct.nii.gz": server.url + "ct"}, tmp_path, attempts=4, timeout_seconds=timeout_seconds
    )
    return error


@pytest.mark.parametrize("behaviours", [[], ["stall"], [503, "drop", 503], ["damaged"], ["truncated"], ["no length"]])
def test_a_failed_attempt_is_repeated(server, tmp_path, behaviours):
    assert fetch(server, tmp_path, *behaviours) is None
    assert (tmp_path / "case_00000" / "ct.nii.gz").read_bytes() == CONTENT
    assert len(list(tmp_path.rglob("*.*"))) == 1
    assert len(server.requests) == 1 + len([b for b in behaviours if b != "no length"])


@pytest.mark.parametrize("behaviours, word, attempts", [([404], "404", 1), ([503] * 9, "503", 4)])
def test_what_cannot_be_had_is_given_up(server, tmp_path, behaviours, word, attempts):
    error = fetch(server, tmp_path, *behaviours)
    assert error.path == str(tmp_path / "case_00000" / "ct.nii.gz") and word in error.reason
    assert len(server.requests) == attempts and not list(tmp_path.iterdir())


def run(server, output_dir, *arguments):
    urls = [f"--image_url={server.url}images/{{case}}.nii.gz", f"--label_url={server.url}{{number}}/labels"]
    line = ["kits-download", f"--output_dir={output_dir}", *urls, "--attempts=2", *arguments]
    return app.execute(command.main, command.FLAGS, line)


def test_intact_files_are_kept_and_damaged_ones_replaced(server, tmp_path):
    assert run(server, tmp_path, "--cases=3-5,9") == 0
    for number in (3, 4, 5, 9):
        assert len(list((tmp_path / f"case_0000{number}").glob("*.nii.gz"))) == 2
    assert {"/images/case_00009.nii.gz", "/9/labels"} < set(server.requests)
    server.requests.clear()
    (tmp_path / "case_00004" / "segmentation.nii.gz").write_bytes(CONTENT[:-100])
    assert run(server, tmp_path, "--cases=3-5,9") == 0
    assert server.requests == ["/4/labels"]
    assert (tmp_path / "case_00004" / "segmentation.nii.gz").read_bytes() == CONTENT


def test_missing_files_are_named_and_the_others_fetched(server, tmp_path, capsys):
    paths = ("/images/case_00001.nii.gz", "/images/case_00003.nii.gz", "/3/labels")
    server.behaviours = {path: [404] for path in paths}
    assert run(server, tmp_path, "--cases=0-3") == 1
    errors = capsys.readouterr().err.splitlines()
    assert len([line for line in errors if "case_00001/imaging.nii.gz" in line and "404" in line]) == 1
    assert len(list(tmp_path.rglob("*.nii.gz"))) == 5 and not (tmp_path / "case_00003").exists()


def test_a_host_that_is_not_found_is_not_tried_again(server, tmp_path, capsys):
    assert run(server, tmp_path, "--cases=0", "--image_url=http://a.invalid/{case}", "--attempts=50") == 1
    assert "a.invalid" in capsys.readouterr().err and server.requests == ["/0/labels"]


@pytest.mark.parametrize(
    "arguments, paths, note",
    [
        (["--cases=209-210"], ["/images/209", "/images/210", "/labels/209"], "2 cases in {}, 1 of them"),
        (["--cases=208-211", "--image_url="], ["/labels/208", "/labels/209"], "2 cases in {}\n"),
    ],
)
def test_test_cases_come_without_labels(server, tmp_path, capsys, monkeypatch, arguments, paths, note):
    monkeypatch.setattr(download, "LABEL_URL", server.url + "labels/{number}")
    urls = [f"--image_url={server.url}images/{{number}}", f"--label_url={server.url}labels/{{number}}"]
    assert run(server, tmp_path, *urls, *arguments) == 0
    assert capsys.readouterr().out.startswith(note.format(tmp_path)) and sorted(server.requests) == paths


@pytest.mark.parametrize(
    "arguments, flag",
    [
        ("--cases=x", "cases"), (f"--cases=0,300 --image_url={download.IMAGE_URL}", "cases"),
        (f"--cases=210-299 --image_url= --label_url={download.LABEL_URL}", "cases"),
        ("--image_url=http://localhost/one", "image_url"), ("--label_url=ftp://localhost/{case}", "label_url"),
        ("--image_url={nothing}", "image_url"), ("--image_url= --label_url=", "image_url"),
    ],
)  # fmt: skip
def test_unusable_flags_are_exit_code_2(server, tmp_path, capsys, arguments, flag):
    assert run(server, tmp_path / "out", *arguments.split()) == 2
    [error] = capsys.readouterr().err.splitlines()
    assert error.startswith(f"kits-download: --{flag}: ") and not (tmp_path / "out").exists()
