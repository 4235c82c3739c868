"""What a run depends on beside its network's config, and whether a folder holds the run that is asked for."""

import dataclasses
import json

from kits_tf import config as configs
from kits_tf.checkpoint import CONFIG_NAME, WEIGHTS_NAME
from kits_tf.errors import InputError, UsageError
from kits_tf.training.checkpoints import STATE_FOLDER, saved_states
from kits_tf.training.pretrained import differences

SETTINGS_NAME = "training.json"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run depends on beside the config: kept in `training.json`, and the same when continued.

    Attributes:
        seed: of weights, order and every draw.
        precision: a Keras dtype policy.
        kidney_masks: "labels" or a folder, for the tumor network.
        data: a digest of the prepared cases; filled in by `run`.
        pretrained: the checkpoint folder, or the released weights, that training starts from; None for random weights.
    """

    seed: int = 0
    precision: str = "float32"
    kidney_masks: str | None = None
    data: str | None = None
    pretrained: str | None = None


@dataclasses.dataclass(frozen=True)
class Machine:
    """What may differ from one start of a run to the next.

    Attributes:
        strategy: one of strategies.NAMES.
        tpu: a TPU's name.
        jit: "auto", "on" or "off".
        deterministic: the same bits on every run of one machine, slower.
        tensorboard: whether to write for TensorBoard, where it is installed.
    """

    strategy: str = "auto"
    tpu: str | None = None
    jit: str = "auto"
    deterministic: bool = False
    tensorboard: bool = False


def check_folder(folder, config, settings):
    """Refuses a folder whose network or run is another one; more steps are welcome if no rate depends on them.

    A folder that holds neither a state nor weights is free for any run: the one before ended before it came so far.

    Raises:
        UsageError: names what differs; nothing has been written.
    """
    if not (folder / CONFIG_NAME).is_file():
        if saved_states(folder / STATE_FOLDER):
            raise InputError(folder / CONFIG_NAME, "is missing beside a saved state; move the folder away to start")
        return
    if not (saved_states(folder / STATE_FOLDER) or (folder / WEIGHTS_NAME).is_file()):
        return
    there, asked = dataclasses.asdict(configs.load(folder / CONFIG_NAME)), dataclasses.asdict(config)
    goes_on = there["schedule"] == asked["schedule"] != "cosine"
    if goes_on and asked["num_steps"] > there["num_steps"]:
        there["num_steps"] = asked["num_steps"]
    there |= read_settings(folder / SETTINGS_NAME)
    asked |= dataclasses.asdict(settings)
    different = differences(there, {name: asked[name] for name in there})
    if different:
        if there["schedule"] == "cosine" and there["num_steps"] != asked["num_steps"]:
            different += "; the rates of schedule=cosine depend on num_steps"
        reason = f"{folder} holds another run ({different})"
        raise UsageError("checkpoint_dir", f"{reason}; takes another folder")


def read_settings(path):
    """The settings of an earlier run; an empty dict if there are none."""
    try:
        names = {field.name for field in dataclasses.fields(Settings)}
        return {k: v for k, v in json.loads(path.read_text(encoding="utf-8")).items() if k in names}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError):
        raise InputError(path, "is not what kits-train writes") from None
