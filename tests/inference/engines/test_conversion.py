"""Prove that a network is converted once, again when anything it depends on changes, and never read damaged."""

import json
import os
import sys
import time

import pytest

from kits_tf import checkpoint
from kits_tf.errors import InputError, UsageError
from kits_tf.inference.engines import conversion
from tests.tiny import tiny_configs, write_checkpoint

MODEL = (b"<net/>", b"weights of the network")


@pytest.fixture
def folder(tmp_path):
    """A checkpoint whose weights nobody reads."""
    (tmp_path / "tumor").mkdir()
    (tmp_path / "tumor" / checkpoint.CONFIG_NAME).write_text("{}")
    (tmp_path / "tumor" / checkpoint.WEIGHTS_NAME).write_bytes(b"weights")
    return tmp_path


@pytest.fixture
def conversions(monkeypatch, tmp_path):
    """Counts conversions instead of doing them."""
    calls = []

    def convert(folder, target, networks):
        calls.append(networks)
        for name in networks:
            for suffix, content in zip((".xml", ".bin"), MODEL, strict=True):
                (target / name).with_suffix(suffix).write_bytes(content)

    monkeypatch.setattr(conversion, "_convert_in_subprocess", convert)
    monkeypatch.setenv(conversion.VARIABLE, str(tmp_path / "cache"))
    return calls


def convert(folder):
    assert conversion.converted(folder, ["tumor"]) == {"tumor": MODEL}


def cached_name(number):
    """The name of a network that nobody has converted."""
    return f"{['tumor', 'kidney_axial', 'kidney_coronal'][number % 3]}-{number:032x}.openvino"


def test_a_network_is_converted_once_and_again_when_its_weights_change(folder, conversions):
    convert(folder)
    convert(folder)
    assert conversions == [["tumor"]]
    assert [path.name for path in (folder / "cache").iterdir()] == [conversion.key(folder, "tumor")]
    (folder / "tumor" / checkpoint.WEIGHTS_NAME).write_bytes(b"others")
    convert(folder)
    assert len(conversions) == 2


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-9], lambda b: b[:50] + bytes(8) + b[58:]])
def test_a_damaged_entry_is_converted_again(folder, conversions, damage):
    convert(folder)
    (path,) = (folder / "cache").iterdir()
    path.write_bytes(damage(path.read_bytes()))
    convert(folder)
    convert(folder)
    assert len(conversions) == 2


@pytest.mark.parametrize("cache", ["", "/proc/nowhere", "/dev/full/cache"])
def test_without_a_usable_cache_nothing_is_kept(folder, conversions, monkeypatch, cache):
    monkeypatch.setenv(conversion.VARIABLE, cache)
    convert(folder)
    convert(folder)
    assert len(conversions) == 2


def test_a_full_disk_means_uncached(folder, conversions, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    monkeypatch.setattr(conversion, "_convert_in_subprocess", lambda folder, target, networks: None)
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda path: MODEL[path.suffix == ".bin"])
    convert(folder)
    assert not list((folder / "cache").iterdir())


@pytest.mark.parametrize("name", [checkpoint.CONFIG_NAME, checkpoint.WEIGHTS_NAME, None])
def test_the_key_depends_on_config_weights_and_library_versions(folder, monkeypatch, name):
    before = conversion.key(folder, "tumor")
    assert conversion.NETWORK.fullmatch(before)
    if name:
        path = folder / "tumor" / name
        path.write_bytes(path.read_bytes() + b" ")
    else:
        monkeypatch.setattr(conversion, "_version", lambda library: "another")
    assert conversion.key(folder, "tumor") != before


def test_only_its_own_files_that_were_not_used_for_long_are_deleted(folder, conversions, monkeypatch):
    """Somebody may name a folder that holds other things, such as ~/.cache or a project."""
    monkeypatch.setattr(conversion, "KEPT", 3)
    cache = folder / "cache"
    cache.mkdir()
    own = {cached_name(number): 7000 - number for number in range(6)}
    theirs = dict.fromkeys(["pip", "tumor", f"my-{cached_name(1)}", f"{cached_name(1)}-old", ".git"], 10**6)
    for name, age in (own | theirs).items():
        (cache / name).touch()
        os.utime(cache / name, (time.time() - age,) * 2)
    convert(folder)
    kept = {cached_name(4), cached_name(5), conversion.key(folder, "tumor"), *theirs}
    assert {path.name for path in cache.iterdir()} == kept


def test_weights_of_another_network_are_named(tmp_path, monkeypatch):
    """In the process of its own that users get."""
    pytest.importorskip("openvino")
    monkeypatch.setenv(conversion.VARIABLE, "")
    write_checkpoint(tmp_path, {"tumor": tiny_configs()["tumor"]})
    path = tmp_path / "tumor" / checkpoint.CONFIG_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_filters": 3}))
    with pytest.raises(InputError, match="weights of the network"):
        conversion.converted(tmp_path, ["tumor"])


def test_a_failed_conversion_is_one_line(folder, monkeypatch):
    monkeypatch.setenv(conversion.VARIABLE, "")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UsageError, match="^--engine: .*--engine=tensorflow"):
        conversion.converted(folder, ["tumor"])
