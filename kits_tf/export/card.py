"""The model card beside each exported model: what it is, what it takes, and the card of the weights it came from."""

import pathlib

import kits_tf
from kits_tf.export.description import NETWORK_INPUTS, SYSTEM_SIGNATURES

CARD_NAME = "MODEL_CARD.md"
WARNING = "Not a medical device, not validated for use on patients.\n\n"


def render(name, checkpoint_dir, configs, kind):
    """The text of a card.

    Args:
        name: of a network, or "system".
        checkpoint_dir: the checkpoint's folder; its own card, if it has one, is kept whole below.
        configs: {network name: config}.
        kind: the format.
    """
    own = pathlib.Path(checkpoint_dir) / CARD_NAME
    weights = own.read_text(encoding="utf-8") if own.is_file() else ""
    # A warning that a card of weights begins with comes first here too.
    first = weights.partition("\n")[0] + "\n\n" if weights and not weights.startswith("#") else ""
    what = SYSTEM_SIGNATURES if name == "system" else network_text(configs[name])
    origin = (
        f"Made by kits-tf {kits_tf.__version__} from the checkpoint `{pathlib.Path(checkpoint_dir).name}`, as {kind}."
    )
    kept = f"\n## The card of the weights\n\n{demoted(weights)}" if weights else ""
    return f"{first}{WARNING}# {name}\n\n{origin} Weights are float32.\n\n{what}{kept}"


def network_text(config):
    """What a network takes and gives."""
    low, high = config.clip_hu
    return NETWORK_INPUTS[config.stage].format(low=low, high=high, plane=getattr(config, "plane", ""))


def demoted(markdown):
    """A card with its headings two levels down."""
    return "\n".join(f"##{line}" if line.startswith("#") else line for line in markdown.splitlines()) + "\n"
