"""Proves kits-download against a local server that drops, truncates, stalls, damages and refuses."""

import dataclasses
import gzip
import http.server
import threading

import numpy as np
import pytest

from kits_tf.cli import app
from kits_tf.cli import download as command
from kits_tf.dataset import download
from kits_tf.errors import InputError

CONTENT = gzip.compress(np.random.default_rng(0).bytes(300_000), mtime=0)
PATIENT = download.Patience(tries=4, timeout_s=30.0, first_wait_s=0.001)  # a busy machine may be silent for a while
QUICK = dataclasses.replace(PATIENT, timeout_s=1.0)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers like the server's `behaviours`, one after the other for each path, then properly."""

    def do_GET(self):
        server = self.server
        with server.lock:
            server.requests.append((self.path, self.headers.get("Range")))
            behaviours = server.behaviours.setdefault(self.path, list(server.default))
            behaviour = behaviours.pop(0) if behaviours else "whole"
        if isinstance(behaviour, int):
            self.send_error(behaviour)
            return
        content = {"damaged": b"no gzip", "truncated": CONTENT[:100_000]}.get(behaviour, CONTENT)
        start = int(self.headers["Range"][6:-1]) if "Range" in self.headers and behaviour != "no ranges" else 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if behaviour != "no length":
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = behaviour in ("drop", "stall")
        self.wfile.write(content[start : start + 100_000 if cut else None])
        if behaviour == "stall":
            self.wfile.flush()
            server.over.wait(10.0)

    def log_message(self, *arguments):
        pass


@pytest.fixture(name="server")
def local_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.lock, server.requests, server.behaviours, server.default = threading.Lock(), [], {}, []
    server.over = threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(server, tmp_path, *behaviours):
    """Fetches one file through these behaviours; returns its path."""
    server.behaviours["/ct"] = list(behaviours)
    path = tmp_path / "case_00000" / "imaging.nii.gz"
    patience = QUICK if "stall" in behaviours else PATIENT
    download.fetch(download.Transfer("case_00000", server.url + "ct", path), patience, threading.Event())
    return path


@pytest.mark.parametrize(
    "behaviours, starts",
    [
        ([], [None]),
        (["drop"], [None, 100_000]),
        (["drop", "drop", "drop"], [None, 100_000, 200_000, 300_000]),
        (["stall"], [None, 100_000]),
        (["drop", "no ranges"], [None, 100_000]),
        ([503, 503, "drop", 503], [None, None, None, 100_000, 100_000]),
        (["damaged"], [None, None]),
        (["truncated"], [None, None]),
        (["no length"], [None]),
    ],
)
def test_a_broken_transfer_is_taken_up_where_it_ended(server, tmp_path, behaviours, starts):
    path = fetch(server, tmp_path, *behaviours)
    assert path.read_bytes() == CONTENT
    assert [path.name for path in path.parent.iterdir()] == ["imaging.nii.gz"]
    assert [request for _, request in server.requests] == [start and f"bytes={start}-" for start in starts]


@pytest.mark.parametrize("size", [100_000, len(CONTENT), len(CONTENT) + 7])
def test_what_an_earlier_run_left_is_used(server, tmp_path, size):
    """A whole part is only checked; one that is too long is begun anew."""
    part = tmp_path / "case_00000" / "imaging.nii.gz.part"
    part.parent.mkdir()
    part.write_bytes((CONTENT + b"1234567")[:size])
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert not part.exists()


def test_what_cannot_be_had_is_given_up(server, tmp_path):
    for behaviours, word, count in (([404], "404", 1), ([503] * 9, "503", 4), (["damaged"] * 9, "gzip", 4)):
        server.requests.clear()
        with pytest.raises(InputError, match=word) as error:
            fetch(server, tmp_path, *behaviours)
        assert error.value.path.endswith("imaging.nii.gz") and len(server.requests) == count
    assert not list(tmp_path.rglob("*.nii.gz"))


def test_waits_grow_up_to_a_bound():
    patience = download.Patience(first_wait_s=1.0, longest_wait_s=10.0)
    assert [patience.wait_s(failures) for failures in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def run(server, output_dir, *arguments):
    urls = [f"--image_url={server.url}images/{{case}}.nii.gz", f"--label_url={server.url}{{number}}/labels"]
    line = ["kits-download", f"--output_dir={output_dir}", *urls, "--tries=2", "--timeout_s=30", *arguments]
    return app.execute(command.main, command.FLAGS, line)


def test_the_command_fetches_cases_once(server, tmp_path, capsys):
    server.default = ["drop"]
    assert run(server, tmp_path, "--cases=3-5,9") == 0
    for case in ("case_00003", "case_00004", "case_00005", "case_00009"):
        assert sorted(path.name for path in (tmp_path / case).iterdir()) == ["imaging.nii.gz", "segmentation.nii.gz"]
    assert {path for path, _ in server.requests} >= {"/images/case_00009.nii.gz", "/9/labels"}
    server.requests.clear()
    assert run(server, tmp_path, "--cases=3-5,9") == 0
    assert server.requests == []


def test_missing_files_are_named_and_the_others_fetched(server, tmp_path, capsys):
    server.behaviours["/images/case_00001.nii.gz"] = [404]
    server.behaviours |= {"/images/case_00003.nii.gz": [404], "/3/labels": [404]}
    assert run(server, tmp_path, "--cases=0-3") == 1
    errors = capsys.readouterr().err
    assert len([line for line in errors.splitlines() if "case_00001/imaging.nii.gz" in line and "404" in line]) == 1
    assert len(list(tmp_path.rglob("*.nii.gz"))) == 5 and not (tmp_path / "case_00003").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cases=x"],
        ["--image_url=http://localhost/one"],
        ["--label_url=ftp://localhost/{case}"],
        ["--image_url={nothing}"],
        ["--image_url=", "--label_url="],
        ["--workers=0"],
    ],
)
def test_unusable_flags_are_exit_code_2(server, tmp_path, capsys, arguments):
    assert run(server, tmp_path / "out", *arguments) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and errors[0].startswith("kits-download: --")
    assert not (tmp_path / "out").exists()
