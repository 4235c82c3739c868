"""Weights to start a training from: those of the same network in another checkpoint folder."""

from kits_tf import checkpoint, models
from kits_tf.errors import UsageError

SIGHT = ("clip_low_hu", "clip_high_hu", "inplane_mm", "slice_mm", "mirror", "grid", "blocks")
"""Options that change what a network sees of a CT; weights learned under others start from further away."""


def find(name_or_folder, config, report=print):
    """The folder of a network's namesake whose weights it can start from.

    Args:
        name_or_folder: a checkpoint folder, or the name of released weights.
        config: the config of the network to train.
        report: called with a line where the weights were learned on CTs seen otherwise.

    Returns:
        the namesake's own folder, for `checkpoint.load_weights`.

    Raises:
        InputError: there is no such folder, or the network's config or weights are missing.
        UsageError: the folder holds no such network, or one of another architecture.
    """
    name = checkpoint.network_name(config)
    folder = checkpoint.find(name_or_folder)
    if not (folder / name).is_dir():
        raise UsageError("pretrained", f"{folder} holds no {name}")
    there = checkpoint.load_configs(folder, [name])[name]
    different = differences(
        models.architecture(there), models.architecture(config), leave_out=("batch_norm_momentum",)
    )
    if different:
        raise UsageError("pretrained", f"{folder / name} is of another architecture ({different})")
    seen = differences(vars(there), {option: value for option, value in vars(config).items() if option in SIGHT})
    if seen:
        report(f"{name}: the weights of {name_or_folder} were learned on CTs seen otherwise ({seen})")
    return folder / name


def differences(there, asked, leave_out=()):
    """What differs between options, in words; empty where nothing does."""
    names = (name for name, value in asked.items() if name not in leave_out and there[name] != value)
    return "; ".join(f"{name} is {there[name]} there, {asked[name]} asked" for name in names)
