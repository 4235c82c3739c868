"""Proves that a converted network has a new name once anything it depends on changes, and which are deleted."""

import os
import time

import pytest

from kits_tf import checkpoint
from kits_tf.config import PLANES
from kits_tf.inference import cache
from tests.inference.unread_weights import write_unread_weights

NAMES = (*(f"kidney_{plane}" for plane in PLANES), "tumor")


@pytest.fixture
def folder(tmp_path):
    return write_unread_weights(tmp_path)


def named(number):
    """The name of a network that nobody has converted."""
    return f"{NAMES[number % 4]}-{number:032x}"


def test_names_are_recognised_as_the_caches_own(tmp_path):
    for name in NAMES:
        write_unread_weights(tmp_path, name)
        assert cache.NETWORK.fullmatch(cache.key(tmp_path, name))


@pytest.mark.parametrize("name", (checkpoint.CONFIG_NAME, checkpoint.WEIGHTS_NAME))
def test_other_weights_or_options_are_another_network(folder, name):
    before = cache.key(folder, "tumor")
    path = folder / "tumor" / name
    path.write_bytes(path.read_bytes() + b" ")
    assert cache.key(folder, "tumor") != before


def test_other_versions_are_another_network(folder, monkeypatch):
    before = cache.key(folder, "tumor")
    monkeypatch.setattr(cache, "version", lambda library: "another")
    assert cache.key(folder, "tumor") != before


def test_what_was_used_last_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "KEPT", 3)
    ages = {named(number): 7000 - number for number in range(6)}
    ages |= {".converting-dead": 2 * cache.DEAD_SECONDS, ".converting-alive": 60}
    for name, age in ages.items():
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    cache.prune(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*map(named, (3, 4, 5)), ".converting-alive"}


def test_what_is_not_the_caches_own_is_left_alone(tmp_path, monkeypatch):
    """Somebody may name a folder that holds other things, such as ~/.cache or a project."""
    monkeypatch.setattr(cache, "KEPT", 0)
    theirs = {"pip", "tumor", "tumor-scans", f"{named(1)}-old", f"my-{named(1)}", named(1).upper(), ".git"}
    for name in theirs | {named(1)}:
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (0, 0))
    cache.prune(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == theirs


def test_no_folder_where_none_is_wanted_or_can_be_made(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "a" / "b"))
    assert cache.cache_folder() == tmp_path / "a" / "b" and (tmp_path / "a" / "b").is_dir()
    for path in ("", "/proc/nowhere"):
        monkeypatch.setenv(cache.VARIABLE, path)
        assert cache.cache_folder() is None
