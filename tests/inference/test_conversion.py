"""Proves that a network is converted once, and never read half written."""

import json

import pytest

from kits_tf import checkpoint
from kits_tf.errors import InputError
from kits_tf.inference import cache, conversion
from tests.inference.unread_weights import write_unread_weights
from tests.tiny import tiny_configs, write_checkpoint

pytest.importorskip("openvino")


@pytest.fixture
def folder(tmp_path):
    return write_unread_weights(tmp_path)


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
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return calls


def converted(folder):
    with conversion.converted(folder, ["tumor"]) as paths:
        return paths["tumor"].read_text()


def test_a_network_is_converted_once(folder, conversions):
    assert converted(folder) == converted(folder) == "tumor"
    assert conversions == [["tumor"]]
    assert not [path for path in (folder / "cache").iterdir() if path.name.startswith(".")]


def test_a_network_that_has_changed_is_converted_again(folder, conversions):
    converted(folder)
    (folder / "tumor" / checkpoint.WEIGHTS_NAME).write_bytes(b"others")
    converted(folder)
    assert len(conversions) == 2


def test_what_was_not_used_for_long_is_deleted(folder, conversions, monkeypatch):
    monkeypatch.setattr(cache, "KEPT", 1)
    (folder / "cache" / f"tumor-{0:032x}").mkdir(parents=True)
    converted(folder)
    assert [path.name for path in (folder / "cache").iterdir()] == [cache.key(folder, "tumor")]


@pytest.mark.parametrize("cache_folder", ("", "/proc/nowhere"))
def test_without_a_cache_nothing_is_kept(folder, conversions, monkeypatch, cache_folder):
    monkeypatch.setenv(cache.VARIABLE, cache_folder)
    with conversion.converted(folder, ["tumor"]) as paths:
        kept = paths["tumor"]
        assert kept.is_file()
    assert not kept.exists()
    converted(folder)
    assert len(conversions) == 2


def test_weights_of_another_network_are_named(tmp_path, monkeypatch):
    """In a process of its own, as users have it."""
    monkeypatch.setenv(cache.VARIABLE, "")
    write_checkpoint(tmp_path, {"tumor": tiny_configs()["tumor"]})
    path = tmp_path / "tumor" / checkpoint.CONFIG_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_filters": 3}))
    with pytest.raises(InputError, match="holds no weights of the network"), conversion.converted(tmp_path, ["tumor"]):
        pass
