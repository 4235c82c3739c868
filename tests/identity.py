"""Identity networks: an engine whose every network returns its own input, for tests of the way around them."""

from kits_tf.inference.engine import Engine


class IdentityEngine(Engine):
    """Gives back a slab's centre slice, or a sub-block, as the probability."""

    name = "identity"

    def probability(self, network, batch):
        return batch[..., 0] if network == "tumor" else batch[..., 1]
