"""Prove that a network is converted once, again when anything it depends on changes, and never read damaged."""

import contextlib
import os
import sys
import time
import unittest.mock

import pytest

from kits_tf import checkpoint
from kits_tf.errors import InputError, UsageError
from kits_tf.inference.engines import conversion
from tests.identity import identity_checkpoint

MODEL = (b"<net/>", b"weights of the network")


@pytest.fixture
def folder(tmp_path):
    return identity_checkpoint(tmp_path)


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


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-9], lambda b: b.replace(b"weights", b"damaged")])
def test_a_network_is_converted_once_and_a_damaged_one_again(folder, conversions, damage):
    convert(folder)
    convert(folder)
    assert conversions == [["tumor"]]
    (path,) = (folder / "cache").iterdir()
    path.write_bytes(damage(path.read_bytes()))
    convert(folder)
    convert(folder)
    assert len(conversions) == 2


@pytest.mark.parametrize("cache", ["", "/proc/nowhere", "full disk"])
def test_without_a_usable_cache_nothing_is_kept(folder, conversions, monkeypatch, cache):
    if cache == "full disk":
        monkeypatch.setattr("zipfile.ZipFile.writestr", unittest.mock.Mock(side_effect=OSError(28, "No space left")))
    else:
        monkeypatch.setenv(conversion.VARIABLE, cache)
    convert(folder)
    convert(folder)
    assert len(conversions) == 2 and not list(folder.glob("cache/*"))


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
    own = {f"kidney_axial-{number:032x}.openvino": 7000 - number for number in range(6)}
    *_, fifth, sixth = own
    theirs = dict.fromkeys(["pip", "tumor", f"my-{sixth}", f"{sixth}-old", ".git"], 10**6)
    for name, age in (own | theirs).items():
        (cache / name).touch()
        os.utime(cache / name, (time.time() - age,) * 2)
    convert(folder)
    kept = {fifth, sixth, conversion.key(folder, "tumor"), *theirs}
    assert {path.name for path in cache.iterdir()} == kept


@pytest.mark.parametrize(
    "refusal, error, match",
    [
        (InputError("model.weights.h5", "does not fit"), InputError, "^model.weights.h5: does not fit"),
        (SystemExit(), UsageError, "^--engine: .*--engine=tensorflow"),
    ],
)
def test_what_stops_the_process_that_converts_is_one_line(folder, monkeypatch, capsys, refusal, error, match):
    monkeypatch.setattr(conversion, "convert", unittest.mock.Mock(side_effect=refusal))
    with contextlib.suppress(SystemExit):
        assert conversion.main([str(folder), "target", "tumor"]) == 1
    program = folder / "python"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{capsys.readouterr().out}END\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv(conversion.VARIABLE, "")
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(error, match=match):
        conversion.converted(folder, ["tumor"])
