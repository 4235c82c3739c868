"""Download of KiTS19 cases over HTTP, several at once; files appear whole or not at all."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import gzip
import os
import pathlib
import zlib
from typing import TYPE_CHECKING, Any

from kits_tf.data import kits19
from kits_tf.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

IMAGE_URL = "https://huggingface.co/datasets/neheller/KiTS-Challenge-Imaging/resolve/main/images/{case}.nii.gz"
LABEL_URL = "https://raw.githubusercontent.com/neheller/kits19/master/data/{case}/segmentation.nii.gz"
_CHUNK_BYTES = 2**20


def case_files(numbers: Iterable[int], image_url: str | None, label_url: str | None) -> dict[str, str]:
    """Return the address of each file of cases.

    Args:
        numbers: Case numbers.
        image_url: Address of a CT, with `{case}` for `case_00007` or `{number}` for 7; None for no CTs.
        label_url: Address of a label file, likewise. LABEL_URL has none of the challenge's test cases.

    Returns:
        Addresses by path in the KiTS19 layout.

    Example:
        >>> case_files([7], None, "http://localhost/{number}")
        {'case_00007/segmentation.nii.gz': 'http://localhost/7'}
    """
    templates = ((label_url, kits19.LABEL_NAME), (image_url, kits19.IMAGE_NAME))
    return {
        f"{case}/{name}": template.format(case=case, number=number)
        for number in numbers
        for case in [kits19.case_name(number)]
        for template, name in templates
        if template and (template != LABEL_URL or number < kits19.NUM_LABELLED)
    }


def download(
    urls: Mapping[str, str],
    output_dir: str | os.PathLike[str],
    workers: int = 4,
    attempts: int = 6,
    timeout_seconds: float = 30.0,
) -> Iterator[InputError | None]:
    """Download files; intact files that exist are kept.

    Args:
        urls: Addresses by path in `output_dir`, of gzip files.
        output_dir: Folder of the `case_NNNNN` folders.
        workers: Files at the same time.
        attempts: Attempts per file.
        timeout_seconds: Time without data that ends an attempt.

    Yields:
        For each file, as it is done, None or what went wrong.
    """
    import pooch

    pooch.get_logger().setLevel("ERROR")
    unhashed = dict.fromkeys(urls)  # no hashes are published
    folder = pooch.create(output_dir, "", registry=unhashed, urls=dict(urls), retry_if_failed=attempts - 1)
    # Without the header, servers may wrap gzip in gzip, which requests would undo.
    options = {"timeout": timeout_seconds, "chunk_size": _CHUNK_BYTES, "headers": {"Accept-Encoding": "identity"}}

    def fetch(name: str) -> InputError | None:
        path = pathlib.Path(output_dir, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)  # pooch fails if another thread creates it at the same time
            if path.is_file() and not _is_intact(path):
                path.unlink()
            folder.fetch(name, downloader=functools.partial(_download, options=options))
        except (_FinalError, OSError, ValueError) as error:  # requests' errors are OSErrors
            return InputError(path, f"{error} ({urls[name]})")
        return None

    pool = concurrent.futures.ThreadPoolExecutor(workers)
    try:
        jobs = [pool.submit(fetch, name) for name in urls]
        for job in concurrent.futures.as_completed(jobs):
            yield job.result()
    finally:
        pool.shutdown(cancel_futures=True)
        for parent in {os.path.dirname(name) for name in urls}:
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(output_dir, parent))  # if it is empty


class _FinalError(Exception):
    """An error that retrying cannot fix."""


def _download(url: str, path: str, folder: Any, options: dict[str, Any]) -> None:
    """Download a gzip file; pooch tries again after a ValueError or an error of requests."""
    import pooch
    import requests

    try:
        pooch.HTTPDownloader(**options)(url, path, folder)
    except requests.HTTPError as error:
        if 400 <= error.response.status_code < 500:
            raise _FinalError(f"HTTP {error.response.status_code} {error.response.reason}") from None
        raise
    except requests.ConnectionError as error:
        if "NameResolutionError" in str(error):
            raise _FinalError("host cannot be found") from None
        raise
    if not _is_intact(pathlib.Path(path)):
        raise ValueError("download is truncated or no gzip file")


def _is_intact(path: pathlib.Path) -> bool:
    """Return whether a gzip file can be read to its end."""
    try:
        with gzip.open(path) as stream:
            while stream.read(_CHUNK_BYTES):
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return False
    return True
