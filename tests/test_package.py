"""Proves that the package imports nothing heavy, that its public names resolve, and that no part of it is left out."""

import doctest
import importlib
import pathlib
import subprocess
import sys

import pytest

import kits_tf

ROOT = pathlib.Path(kits_tf.__file__).parent
HEAVY = ("tensorflow", "keras", "matplotlib", "skimage", "scipy")


@pytest.mark.parametrize(
    ("statement", "unneeded"),
    [
        ("import kits_tf", HEAVY),
        ("import kits_tf; kits_tf.read_volume, kits_tf.load_segmenter", ("tensorflow", "keras")),
    ],
)
def test_importing_loads_nothing_heavy(statement, unneeded):
    code = f"import sys; {statement}; print(*sorted(set({unneeded!r}) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.split() == []


@pytest.mark.parametrize("path", [path for path in sorted(ROOT.rglob("*.py")) if ">>> " in path.read_text()], ids=str)
def test_examples_run(path, monkeypatch):
    monkeypatch.chdir(ROOT.parent)
    module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted and not result.failed


@pytest.mark.parametrize("name", kits_tf.__all__)
def test_public_names_resolve(name):
    assert getattr(kits_tf, name)
    assert name in dir(kits_tf)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="kits_tf.*nothing_here"):
        _ = kits_tf.nothing_here


def test_every_folder_of_code_is_a_package():
    for path in ROOT.rglob("*.py"):
        assert (path.parent / "__init__.py").is_file(), path.parent
