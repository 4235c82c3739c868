"""Proves that a network is converted once, again when anything it depends on changes, and never read half written."""

import json
import os
import time

import pytest

from kits_tf import checkpoint
from kits_tf.errors import InputError
from kits_tf.inference import conversion
from tests.tiny import tiny_configs, write_checkpoint

pytest.importorskip("openvino")


@pytest.fixture
def folder(tmp_path):
    """A checkpoint whose weights are no weights: enough for the cache, which does not read them."""
    (tmp_path / "tumor").mkdir()
    (tmp_path / "tumor" / checkpoint.CONFIG_NAME).write_text("{}")
    (tmp_path / "tumor" / checkpoint.WEIGHTS_NAME).write_bytes(b"weights")
    return tmp_path


@pytest.fixture
def conversions(monkeypatch, tmp_path):
    """Counts conversions instead of doing them."""
    calls = []

    def convert_apart(folder, target, networks):
        calls.append(networks)
        for name in networks:
            (target / name).mkdir()
            (target / name / "model.xml").write_text(name)

    monkeypatch.setattr(conversion, "convert_apart", convert_apart)
    monkeypatch.setenv(conversion.VARIABLE, str(tmp_path / "cache"))
    return calls


def converted(folder):
    with conversion.converted(folder, ["tumor"]) as paths:
        return paths["tumor"].read_text()


def test_a_network_is_converted_once(folder, conversions):
    assert converted(folder) == converted(folder) == "tumor"
    assert conversions == [["tumor"]]
    assert not [path for path in (folder / "cache").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", (checkpoint.CONFIG_NAME, checkpoint.WEIGHTS_NAME))
def test_other_weights_or_options_are_another_network(folder, conversions, name):
    converted(folder)
    path = folder / "tumor" / name
    path.write_bytes(path.read_bytes() + b" ")
    converted(folder)
    assert len(conversions) == 2


def test_other_versions_are_another_network(folder, conversions, monkeypatch):
    converted(folder)
    monkeypatch.setattr(conversion, "version", lambda library: "another")
    converted(folder)
    assert len(conversions) == 2


def test_the_cache_keeps_what_was_used_last(folder, conversions, monkeypatch):
    monkeypatch.setattr(conversion, "KEPT", 3)
    for number in range(6):
        (folder / "cache" / f"kidney-{number}").mkdir(parents=True)
        os.utime(folder / "cache" / f"kidney-{number}", (number, number))
    for name, age in ((".converting-dead", 2 * conversion.DEAD_SECONDS), (".converting-alive", 60)):
        (folder / "cache" / name).mkdir()
        os.utime(folder / "cache" / name, (time.time() - age,) * 2)
    converted(folder)
    left = {path.name for path in (folder / "cache").iterdir()}
    assert {name for name in left if not name.startswith("tumor-")} == {"kidney-5", "kidney-4", ".converting-alive"}
    assert len(left) == 4


@pytest.mark.parametrize("cache", ("", "/proc/nowhere"))
def test_without_a_cache_nothing_is_kept(folder, conversions, monkeypatch, cache):
    monkeypatch.setenv(conversion.VARIABLE, cache)
    with conversion.converted(folder, ["tumor"]) as paths:
        kept = paths["tumor"]
        assert kept.is_file()
    assert not kept.exists()
    converted(folder)
    assert len(conversions) == 2


def test_weights_of_another_network_are_named(tmp_path, monkeypatch):
    """In a process of its own, as users have it."""
    monkeypatch.setenv(conversion.VARIABLE, "")
    write_checkpoint(tmp_path, {"tumor": tiny_configs()["tumor"]})
    path = tmp_path / "tumor" / checkpoint.CONFIG_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_filters": 3}))
    with pytest.raises(InputError, match="holds no weights of the network"), conversion.converted(tmp_path, ["tumor"]):
        pass
