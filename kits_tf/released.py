"""Where the released weights lie: inside the installed package, or beside it in a source checkout."""

import pathlib

from kits_tf.errors import InputError

DEFAULT = "simulated"
"""The weights that commands take where none are named: those that do best on a real CT."""

CARD = "MODEL_CARD.md"
"""The file that makes a set of weights a released one; a network in training beside them has none."""

PACKAGE = pathlib.Path(__file__).resolve().parent


def folder_of_all():
    """The folder that holds one folder for each set of released weights."""
    installed = PACKAGE / "checkpoints"
    return installed if installed.is_dir() else PACKAGE.parent / "checkpoints"


def names():
    """The names of the released weights, sorted."""
    folder = folder_of_all()
    return sorted(card.parent.name for card in folder.glob(f"*/{CARD}"))


def released_folder(name):
    """The checkpoint folder of released weights.

    Args:
        name: such as "phantom".

    Returns:
        A `pathlib.Path` that holds `kidney_axial/`, `kidney_coronal/`, `kidney_sagittal/` and `tumor/`.

    Raises:
        InputError: no weights of that name were released.
    """
    if name not in names():
        raise InputError(name, f"no released weights of that name; there are: {', '.join(names()) or 'none'}")
    return folder_of_all() / name
