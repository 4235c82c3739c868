"""Fetches KiTS19's files over HTTP: resumed where a transfer broke off, tried again, and checked before they count."""

import concurrent.futures
import contextlib
import dataclasses
import gzip
import http.client
import pathlib
import threading
import urllib.error
import urllib.request
import zlib

from kits_tf.data import kits19
from kits_tf.data.hosts import Hosts
from kits_tf.errors import InputError
from kits_tf.progress import progress, say

IMAGE_URL = "https://huggingface.co/datasets/neheller/KiTS-Challenge-Imaging/resolve/main/images/{case}.nii.gz"
LABEL_URL = "https://raw.githubusercontent.com/neheller/kits19/master/data/{case}/segmentation.nii.gz"
PART_SUFFIX = ".part"
CHUNK_BYTES = 2**20
FINAL = (400, 401, 403, 404, 405, 410, 451)
"""HTTP answers that another try would not change."""


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long to wait and how often to try.

    Attributes:
        tries: attempts in a row without a byte of progress before a file is given up.
        timeout_s: of silence, after which a connection is dropped.
        first_wait_s: before the second attempt; doubled before each one after.
        longest_wait_s: between two attempts.
    """

    tries: int = 6
    timeout_s: float = 30.0
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0

    def wait_s(self, failures):
        """Seconds to wait after so many failures in a row."""
        return min(self.first_wait_s * 2 ** (failures - 1), self.longest_wait_s)


@dataclasses.dataclass(frozen=True)
class Transfer:
    """One file to fetch."""

    case: str
    url: str
    path: pathlib.Path


class FinalError(Exception):
    """What no further attempt would mend."""


class BrokenTransferError(Exception):
    """A transfer that ended early; another attempt may bring the rest."""


class DamagedFileError(Exception):
    """A whole file that is not what it should be; it is deleted, and fetched again from its start."""


def transfers(numbers, output_dir, image_url=IMAGE_URL, label_url=LABEL_URL):
    """The files of cases, in the KiTS19 layout.

    Args:
        numbers: case numbers.
        output_dir: the folder that holds `case_NNNNN` folders.
        image_url: address of a CT; `{case}` stands for `case_00007`, `{number}` for 7.
        label_url: address of a label file; empty to fetch none, and so for `image_url`. At LABEL_URL there are none of
            the test cases, so these are left out.

    Returns:
        list of Transfer.
    """
    names = ((label_url, kits19.LABEL_NAME), (image_url, kits19.IMAGE_NAME))
    return [
        Transfer(case, url.format(case=case, number=number), pathlib.Path(output_dir) / case / name)
        for number in numbers
        for case in [kits19.case_name(number)]
        for url, name in names
        if url and (url != LABEL_URL or number < kits19.NUM_LABELLED)
    ]


def download(wanted, workers=4, patience=None, complain=say):
    """Fetches files, several at once; files that are there already are left alone.

    Args:
        wanted: list of Transfer.
        workers: transfers at the same time.
        patience: a Patience.
        complain: called with an InputError for each file that could not be had, as soon as that is known; where a
            host cannot be found, once for all its files.

    Returns:
        list of InputError, one for each file that could not be had.
    """
    patience = patience or Patience()
    waiting = [transfer for transfer in wanted if not transfer.path.is_file()]
    failures, hosts, told = [], Hosts(), set()
    pool, stop = concurrent.futures.ThreadPoolExecutor(workers), threading.Event()
    try:
        jobs = [pool.submit(fetch, transfer, patience, stop, hosts) for transfer in waiting]
        for job in progress(concurrent.futures.as_completed(jobs), "Downloading", len(jobs), unit="file"):
            try:
                job.result()
            except InputError as error:
                failures.append(error)
                if str(error) not in told:
                    complain(error)
                told.add(str(error))
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        for transfer in waiting:
            with contextlib.suppress(OSError):
                transfer.path.parent.rmdir()  # where nothing came
    return failures


def fetch(transfer, patience, stop, hosts):
    """Fetches one file; what there is of it already, from an earlier run too, is not fetched again.

    Args:
        transfer: a Transfer.
        patience: a Patience.
        stop: a threading.Event that ends the transfer as soon as it is set.
        hosts: the Hosts of all transfers.

    Raises:
        HostError: its host cannot be found.
        InputError: the file could not be had; what has come stays in `NAME.part`.
    """
    part = transfer.path.with_name(transfer.path.name + PART_SUFFIX)
    failures = damaged = 0
    while True:
        hosts.check(transfer.url)
        before = size_of(part)
        try:
            receive(transfer.url, part, patience.timeout_s, stop)
            hosts.answered(transfer.url)
            check_gzip(part)
            part.replace(transfer.path)
            return
        except FinalError as error:
            raise InputError(transfer.path, f"{error}: {transfer.url}") from None
        except (BrokenTransferError, DamagedFileError, OSError, http.client.HTTPException) as error:
            damaged += isinstance(error, DamagedFileError)
            failures = 1 if size_of(part) > before else failures + 1
            is_last = max(failures, damaged) >= patience.tries
            hosts.failed(transfer.url, error, is_last)
            if is_last:
                reason = str(error) or type(error).__name__
                reason = f"given up after {patience.tries} tries: {transfer.url} ({reason})"
                raise InputError(transfer.path, " ".join(reason.split())) from None
            stop.wait(patience.wait_s(max(failures, damaged)))


def receive(url, part, timeout_s, stop):
    """Fetches what is missing of a file and checks its size.

    Raises:
        FinalError: the server does not have or give the file, or `stop` is set.
        BrokenTransferError: the connection ended early.
        OSError, http.client.HTTPException: what else a connection suffers, silence included.
    """
    if stop.is_set():
        raise FinalError("stopped")
    have = size_of(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == 416 and content_range(error.headers)[1] == have:
            return
        if error.code == 416:
            part.unlink(missing_ok=True)
        if error.code in FINAL:
            raise FinalError(f"HTTP {error.code} {error.reason}") from None
        raise
    with contextlib.closing(answer):
        start, size = content_range(answer.headers) if answer.status == 206 else (0, content_length(answer.headers))
        if start not in (0, have):
            raise BrokenTransferError(f"asked for byte {have}, got byte {start}")
        with opened(part, "ab" if start else "wb") as file:
            while chunk := answer.read1(CHUNK_BYTES):  # read() would lose what came before a silence
                file.write(chunk)
                if stop.is_set():
                    raise FinalError("stopped")
    got = size_of(part)
    if size is not None and got > size:
        part.unlink()
    if size is not None and got != size:
        raise BrokenTransferError(f"got {got} of {size} bytes")


def opened(part, mode):
    """Opens a part in its folder, which is made only now that something comes.

    Raises:
        FinalError: it cannot be written.
    """
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        return open(part, mode)
    except OSError as error:
        raise FinalError(f"cannot be written ({error.strerror})") from None


def content_range(headers):
    """(first byte, size of the whole file) of a partial answer; None where it does not say."""
    text = (headers.get("Content-Range") or "").removeprefix("bytes ")
    span, _, size = text.partition("/")
    first = span.partition("-")[0]
    return int(first) if first.isdigit() else None, int(size) if size.isdigit() else None


def content_length(headers):
    """The announced size of an answer, or None."""
    length = headers.get("Content-Length") or ""
    return int(length) if length.isdigit() else None


def check_gzip(part):
    """Reads a file through; deletes it and raises a DamagedFileError where it is no intact gzip."""
    try:
        with gzip.open(part) as stream:
            while stream.read(CHUNK_BYTES):
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        part.unlink()
        raise DamagedFileError(f"what came is not intact gzip: {error}") from None


def size_of(path):
    """Bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0
