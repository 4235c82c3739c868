"""Proves which runs a folder may be continued with."""

import dataclasses

import pytest

from kits_tf import config as configs
from kits_tf.config import preset
from kits_tf.errors import UsageError
from kits_tf.training.settings import Settings, check_folder


@pytest.mark.parametrize("schedule, may", [("constant", True), ("step", True), ("cosine", False)])
def test_more_steps_are_welcome_where_the_rate_does_not_depend_on_their_number(tmp_path, schedule, may):
    config = dataclasses.replace(preset("small", "tumor"), schedule=schedule, num_steps=10)
    configs.save(config, tmp_path / "config.json")
    (tmp_path / "model.weights.h5").touch()
    check_folder(tmp_path, config, Settings())
    with pytest.raises(UsageError, match="num_steps"):
        check_folder(tmp_path, dataclasses.replace(config, num_steps=9), Settings())
    longer = dataclasses.replace(config, num_steps=20)
    if may:
        check_folder(tmp_path, longer, Settings())
    else:
        told = r"num_steps is 10 there, 20 asked; the rates of schedule=cosine depend on num_steps\)"
        with pytest.raises(UsageError, match=told):
            check_folder(tmp_path, longer, Settings())
