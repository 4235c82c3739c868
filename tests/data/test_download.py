"""Proves kits-download against a local server that drops, truncates, stalls, damages and refuses."""

import dataclasses
import gzip
import http.server
import socket
import threading

import numpy as np
import pytest

from kits_tf.cli import app
from kits_tf.cli import download as command
from kits_tf.data import download
from kits_tf.data.hosts import Hosts
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
    transfer = download.Transfer("case_00000", server.url + "ct", path)
    download.fetch(transfer, patience, threading.Event(), Hosts())
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


def test_a_host_that_is_not_found_is_told_once_and_the_others_serve(server, tmp_path, capsys, monkeypatch):
    """The name server answers for this machine alone; of the first four files it says to ask again."""
    asked, look_up = [], socket.getaddrinfo

    def answer(host, *arguments, **options):
        if host == "127.0.0.1":
            return look_up(host, *arguments, **options)
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    monkeypatch.setattr(download.Patience, "wait_s", lambda self, failures: 0.01)
    assert run(server, tmp_path / "out", "--cases=0-49", "--image_url=http://a.invalid/{case}") == 1
    errors = capsys.readouterr().err.splitlines()
    [line] = [line for line in errors if "a.invalid" in line]
    told = "a.invalid: cannot be found (Temporary failure in name resolution); none of its files is tried further"
    assert line == told and errors[-1].startswith("50 of 100 files are missing")
    assert 2 <= len(asked) <= 2 * 4, "as often as --tries says, by each of the workers"
    assert len(list((tmp_path / "out").rglob("segmentation.nii.gz"))) == 50
    assert run(server, tmp_path / "none", "--cases=0-49", "--image_url=http://a.invalid/{case}", "--label_url=") == 1
    assert not (tmp_path / "none").exists()


def test_a_damaged_file_leaves_no_empty_folder(server, tmp_path):
    server.behaviours["/images/case_00000.nii.gz"] = ["damaged"] * 2
    assert run(server, tmp_path / "out", "--cases=0", "--label_url=") == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told_at_once(server, tmp_path, capsys):
    (tmp_path / "case_00000").write_text("a file")
    assert run(server, tmp_path, "--cases=0-1", "--label_url=") == 1
    errors = capsys.readouterr().err
    assert "case_00000/imaging.nii.gz: cannot be written (File exists)" in errors
    assert (tmp_path / "case_00001" / "imaging.nii.gz").is_file() and len(server.requests) == 2


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["--cases=0,300"], "--cases: takes KiTS19's 0-299; 300 takes both --image_url and --label_url"),
        (["--cases=400", "--image_url="], "--cases: takes KiTS19's 0-299; 400 takes both"),
        (["--cases=210-299", "--image_url="], "--cases: takes 0-209 for labels alone"),
    ],
)
def test_cases_that_kits19_does_not_have_are_refused(tmp_path, capsys, arguments, line):
    command_line = ["kits-download", f"--output_dir={tmp_path / 'out'}", *arguments]
    assert app.execute(command.main, command.FLAGS, command_line) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and errors[0].startswith(f"kits-download: {line}")


def test_test_cases_come_without_labels(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(download, "LABEL_URL", server.url + "labels/{case}")
    assert run(server, tmp_path, "--cases=209-211", f"--label_url={server.url}labels/{{case}}") == 0
    assert capsys.readouterr().out == f"3 cases in {tmp_path}, 2 of them without labels, which are not public\n"
    assert sorted(path for path, _ in server.requests) == [
        "/images/case_00209.nii.gz",
        "/images/case_00210.nii.gz",
        "/images/case_00211.nii.gz",
        "/labels/case_00209",
    ]


def test_cases_are_counted_by_what_is_fetched_of_them(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(download, "LABEL_URL", server.url + "labels/{case}")
    line = ["--cases=208-211", "--image_url=", f"--label_url={server.url}labels/{{case}}"]
    assert run(server, tmp_path, *line) == 0
    assert capsys.readouterr().out == f"2 cases in {tmp_path}\n"


def test_other_hosts_have_cases_of_their_own(server, tmp_path):
    assert run(server, tmp_path, "--cases=400") == 0
    assert len(list(tmp_path.rglob("*.nii.gz"))) == 2


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
