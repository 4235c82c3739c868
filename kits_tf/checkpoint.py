"""A checkpoint folder: one sub-folder a network, each with `config.json` and `model.weights.h5`."""

import hashlib
import pathlib

from kits_tf import config
from kits_tf.config import PLANES
from kits_tf.errors import InputError

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.weights.h5"
CARD_NAME = "MODEL_CARD.md"
"""The file that makes a set of weights a released one; a network in training beside them has none."""

DEFAULT = "simulated"
"""The released weights that commands use unless others are named."""

PACKAGE = pathlib.Path(__file__).resolve().parent


def released_root():
    """Return the folder that holds one folder for each set of released weights."""
    installed = PACKAGE / "checkpoints"
    return installed if installed.is_dir() else PACKAGE.parent / "checkpoints"


def released_names():
    """Return the names of the released weights, sorted."""
    return sorted(card.parent.name for card in released_root().glob(f"*/{CARD_NAME}"))


def released_folder(name):
    """Return the checkpoint folder of released weights; InputError if there are none of that name."""
    if name not in released_names():
        known = ", ".join(released_names()) or "none"
        raise InputError(name, f"no released weights of that name; there are: {known}")
    return released_root() / name


def network_name(network_config):
    """The folder of a network: "kidney_axial", "kidney_coronal", "kidney_sagittal" or "tumor"."""
    return "tumor" if network_config.stage == "tumor" else f"kidney_{network_config.plane}"


def network_names(stage="both", planes=PLANES):
    """The networks of a stage ("both", "kidney" or "tumor") and planes, those of the kidney first."""
    kidney = [f"kidney_{plane}" for plane in planes] if stage != "tumor" else []
    return [*kidney, "tumor"] if stage != "kidney" else kidney


def find(name_or_folder):
    """The checkpoint folder of a path, or of released weights by their name.

    Raises:
        InputError: it is neither.
    """
    folder = pathlib.Path(name_or_folder)
    if folder.is_dir() and name_or_folder != "":  # as a path, no text is the current folder
        return folder
    if folder.name == str(name_or_folder) and name_or_folder in released_names():
        return released_folder(name_or_folder)
    known = ", ".join(released_names())
    raise InputError(name_or_folder or "''", f"no such checkpoint folder, nor released weights of that name ({known})")


def load_configs(folder, names):
    """The configs of the named networks, as {name: config}.

    Raises:
        InputError: a network's config or weights are missing or unreadable, or its `min_component_share` is not that
            of the others.
    """
    configs = {}
    for name in names:
        configs[name] = config.load(folder / name / CONFIG_NAME)
        if network_name(configs[name]) != name:
            raise InputError(folder / name / CONFIG_NAME, f"is the config of {network_name(configs[name])}")
        if not (folder / name / WEIGHTS_NAME).is_file():
            raise InputError(folder / name / WEIGHTS_NAME, "no such file; has the network been trained?")
    check_shares(folder, configs)
    return configs


def check_shares(folder, configs):
    """Raises an InputError where networks disagree on which pieces are no kidney: what they find is one mask."""
    shares = {name: one.min_component_share for name, one in configs.items()}
    first = next(iter(shares), None)
    for name, share in shares.items():
        if share != shares[first]:
            where = f"min_component_share is {share:g}, in {first} it is {shares[first]:g}"
            reason = f"{where}: takes the same in all networks of a checkpoint"
            raise InputError(folder / name / CONFIG_NAME, reason)


def digest(folder, name):
    """The SHA-256 of a network's config and weights, bytes: other weights or settings have another."""
    whole = hashlib.sha256()
    for part in (CONFIG_NAME, WEIGHTS_NAME):
        whole.update((pathlib.Path(folder) / name / part).read_bytes())
    return whole.digest()


def load_weights(folder, model):
    """Gives a built network the weights of its own folder.

    Raises:
        InputError: the weights are not this network's.
    """
    path = folder / WEIGHTS_NAME
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(path, f"holds no weights of the network in config.json ({reason})") from None
