"""Proves that the server's configuration is what its own messages take, and names what kits-export writes."""

import pathlib

import pytest

from kits_tf import serving
from kits_tf.export.formats import NETWORKS, SYSTEM

FOLDER = pathlib.Path(serving.__file__).parent


@pytest.mark.parametrize("name, models", [("models.config", {*NETWORKS, SYSTEM}), ("networks.config", {*NETWORKS})])
def test_models(name, models):
    config = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    text_format = pytest.importorskip("google.protobuf.text_format")
    parsed = text_format.Parse((FOLDER / name).read_text(), config.ModelServerConfig())
    listed = parsed.model_config_list.config
    assert {model.name for model in listed} == models and len(listed) == len(models)
    assert all(model.base_path == f"/models/{model.name}" and model.model_platform == "tensorflow" for model in listed)
