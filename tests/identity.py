"""Identity networks: an engine whose every network returns its own input, for tests of the way around them."""

import dataclasses

import numpy as np

from kits_tf import config
from kits_tf.checkpoint import WEIGHTS_NAME
from kits_tf.inference.engines.base import Engine
from tests.tiny import tiny_configs


class IdentityEngine(Engine):
    """Gives back a slab's centre slice, or a sub-block, as the probability."""

    name = "identity"

    def probability(self, network, batch):
        return batch[..., 0] if network == "tumor" else batch[..., 1]


def stage_two(engine, *arguments):
    """What an engine's `stage_two` gives, of all slices at once."""
    parts = list(engine.stage_two(*arguments))
    assert [part.start for part, _ in parts[1:]] == [part.stop for part, _ in parts[:-1]]
    return np.concatenate([probability for _, probability in parts])


def identity_checkpoint(folder):
    """Writes a checkpoint whose weights nobody reads; as identity networks, they find what is brighter than 150 HU."""
    for name, tiny in tiny_configs().items():
        (folder / name).mkdir(parents=True)
        config.save(dataclasses.replace(tiny, clip_low_hu=-200.0, clip_high_hu=500.0), folder / name / "config.json")
        (folder / name / WEIGHTS_NAME).write_bytes(b"weights")
    return folder
