"""A whole training run in a network's own folder, begun or continued."""

import dataclasses
import json
import pathlib

import keras
import tensorflow as tf

from kits_tf import config as configs
from kits_tf import files
from kits_tf.checkpoint import CONFIG_NAME, network_name
from kits_tf.errors import InputError, UsageError
from kits_tf.training import data, loop
from kits_tf.training.checkpoints import STATE_FOLDER, Checkpoints, saved_states
from kits_tf.training.history import History
from kits_tf.training.progress import Progress
from kits_tf.training.strategies import is_chief, make_strategy

SETTINGS_NAME = "training.json"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run depends on beside the config and the data: kept in `training.json`, and the same when continued."""

    seed: int = 0
    precision: str = "float32"
    kidney_masks: str | None = None


def run(config, data_dir, checkpoint_dir, settings, strategy="auto", tpu=None, deterministic=False, report=print):
    """Trains a network, or continues where an earlier run stopped.

    Args:
        config: a KidneyConfig or TumorConfig.
        data_dir: a prepared folder.
        checkpoint_dir: the folder of all networks; this one's own is in it.
        settings: a Settings.
        strategy: one of strategies.NAMES.
        tpu: a TPU's name.
        deterministic: the same bits on every run of one machine, slower.
        report: called with lines for a person.

    Returns:
        True when all steps are done, False when SIGTERM asked to stop.

    Raises:
        UsageError, InputError: flags, data or an existing folder that do not fit.
        loop.LossError: the loss is no longer a number.
    """
    folder = pathlib.Path(checkpoint_dir) / network_name(config)
    check_folder(folder, config, settings)
    prepare_process(settings, deterministic)
    distribution = make_strategy(strategy, tpu)
    sources = data.training_sources(config, data_dir, folder, settings.kidney_masks, report)
    trainer = loop.Trainer(config, distribution)
    chief = is_chief(distribution)
    checkpoints = Checkpoints(folder, trainer.model, trainer.optimizer, chief)
    step = checkpoints.restore()
    if step >= config.num_steps:
        report(f"{network_name(config)}: all {step} steps are done")
        return True
    if chief:
        configs.save(config, folder / CONFIG_NAME)
        files.write_text(folder / SETTINGS_NAME, json.dumps(dataclasses.asdict(settings), indent=2) + "\n")
    report(opening_line(config, distribution, sources, step))
    iterator = data.distributed(distribution, config, sources, settings.seed, step)
    history = History(folder / "history.csv", step) if chief else None
    progress = Progress(network_name(config), step, config.num_steps)
    try:
        return loop.train(trainer, iterator, step, checkpoints, history, progress)
    finally:
        progress.close()


def opening_line(config, strategy, sources, step):
    """What is about to be trained, in a line."""
    kind = "cases" if config.stage == "kidney" else "kidneys"
    replicas = strategy.num_replicas_in_sync
    where = f"{replicas} replicas" if replicas > 1 else "one device"
    begins = f"continues at step {step}" if step else "starts"
    steps = f"{config.num_steps} steps of {config.batch_size} samples"
    return f"{network_name(config)}: {begins}, {steps} on {where}, {len(sources)} {kind}"


def prepare_process(settings, deterministic):
    """Sets seeds, precision and determinism of this process; before any network is built."""
    if settings.precision == "mixed_float16" and not tf.config.list_physical_devices("GPU"):
        raise UsageError("precision", "mixed_float16 takes a GPU; on a CPU use float32 or mixed_bfloat16")
    keras.utils.set_random_seed(settings.seed)
    keras.mixed_precision.set_dtype_policy(settings.precision)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def check_folder(folder, config, settings):
    """Refuses a folder whose network or run is another one; more steps are welcome while the rate is constant.

    Raises:
        UsageError: names what differs; nothing has been written.
    """
    if not (folder / CONFIG_NAME).is_file():
        if saved_states(folder / STATE_FOLDER):
            raise InputError(folder / CONFIG_NAME, "is missing beside a saved state; move the folder away to start")
        return
    there, asked = dataclasses.asdict(configs.load(folder / CONFIG_NAME)), dataclasses.asdict(config)
    if there["schedule"] == asked["schedule"] == "constant" and asked["num_steps"] > there["num_steps"]:
        there["num_steps"] = asked["num_steps"]
    there |= read_settings(folder / SETTINGS_NAME)
    asked |= dataclasses.asdict(settings)
    different = [f"{name} is {there[name]} there, {asked[name]} asked" for name in there if there[name] != asked[name]]
    if different:
        reason = f"{folder} holds another run ({'; '.join(different)})"
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
