"""Proves that what serving/ shows works: commands, paths, curl bodies and request.py, but for Docker itself."""

import importlib
import importlib.util
import json
import pathlib
import re
import shlex

import nibabel
import numpy as np
import pytest
import requests

from kits_tf.cli import app
from kits_tf.inference.segmenter import load_segmenter
from tests.cli.predicting import SPACING_MM, image_of
from tests.tiny import small_ct

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "serving"
README, COMPOSE, DOCKERFILE = ((FOLDER / name).read_text() for name in ("README.md", "compose.yaml", "Dockerfile"))


@pytest.fixture(scope="module")
def server(exported_models):
    """The address of a server of the exported system."""
    tf = pytest.importorskip("tensorflow")
    pytest.importorskip("tensorflow_serving")
    from tests.serving.protocol_server import rest_server

    with rest_server(tf.saved_model.load(str(exported_models / "system" / "1"))) as running:
        yield running.url


def test_commands_have_usable_flags():
    commands = [shlex.split(line) for line in re.findall(r'kits-(?!tf)\w+ --[^"\n]*', README + COMPOSE)]
    assert [words[0] for words in commands] == ["kits-predict", "kits-export", "kits-request"]
    for words in commands:
        app.parse(importlib.import_module(f"kits_tf.cli.{words[0][5:]}").FLAGS, words)


def test_files_and_extras_exist():
    copied = [word for line in re.findall(r"^COPY (.*)", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]]
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    assert set(copied) == {line[1:] for line in ignored if line[0] == "!"}
    assert all((ROOT / name).exists() for name in copied)
    project = (ROOT / "pyproject.toml").read_text()
    for extra in re.search(r"\.\[(.*)\]", DOCKERFILE)[1].split(","):
        assert f"\n{extra} = [" in project
    assert "../kits_tf/serving:/config" in COMPOSE and (ROOT / "kits_tf" / "serving" / "models.config").is_file()


def test_the_curl_lines_are_answered(server):
    status, *predictions = re.findall(r"^curl http://localhost:8501(\S+)(?: -d '(.*)')?$", README, re.MULTILINE)
    assert requests.get(server + status[0]).json()["model_version_status"][0]["state"] == "AVAILABLE"
    about, measured = (requests.post(server + path, data=body).json()["outputs"] for path, body in predictions)
    assert json.loads(about)["settings"]["stage"] == "both"
    assert measured["kidney_ml"] == 0.0


def test_the_example_returns_the_labels_and_volumes_of_prediction(server, decisive_weights):
    spec = importlib.util.spec_from_file_location("request_example", FOLDER / "request.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    hu = small_ct()
    labels, volumes_ml = example.segment(image_of(hu, "LSA"), server)
    expected = load_segmenter(decisive_weights, engine="tensorflow").segment(hu, SPACING_MM)
    assert set(np.unique(expected)) == {0, 1, 2}
    same = nibabel.as_closest_canonical(image_of(expected))
    np.testing.assert_array_equal(np.asarray(labels.dataobj), np.asarray(same.dataobj))
    np.testing.assert_allclose(labels.affine, same.affine)
    assert volumes_ml["kidney_ml"] == pytest.approx((expected > 0).sum() * np.prod(SPACING_MM) / 1000, rel=1e-5)
