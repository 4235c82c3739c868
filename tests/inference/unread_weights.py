"""A checkpoint whose weights are no weights: enough for the cache of converted networks, which does not read them."""

from kits_tf import checkpoint


def write_unread_weights(folder, network="tumor"):
    """Writes a network's folder; returns the checkpoint's."""
    (folder / network).mkdir()
    (folder / network / checkpoint.CONFIG_NAME).write_text("{}")
    (folder / network / checkpoint.WEIGHTS_NAME).write_bytes(b"weights")
    return folder
