"""Train one network on prepared data. Rerun it to resume.

Example:
  kits-train --stage=kidney --plane=axial --data_dir=prepared --checkpoint_dir=trained --preset=small
"""

from __future__ import annotations

import functools
import pathlib

from absl import flags

from kits_tf import checkpoint, runtime
from kits_tf import config as configs
from kits_tf.cli import app
from kits_tf.config import NetworkConfig
from kits_tf.errors import UsageError

FLAGS = flags.FlagValues()
LARGEST_SEED = 2**32 - 1  # NumPy's
OVERRIDES = ("num_steps", "batch_size", "base_filters", "learning_rate")

DATA, NETWORK, TRAINING, DEVICES = (app.group(FLAGS, name) for name in ("Data", "Network", "Training", "Devices"))
flags.DEFINE_string("data_dir", None, "Folder made by kits-prepare.", **DATA)
flags.DEFINE_string("checkpoint_dir", None, "Folder of all networks; each has a subfolder.", **DATA)
flags.DEFINE_string("kidney_masks", None, "Kidneys to train the tumor network on: 'labels' or a folder of "
                    "predictions. Default: kidneys/ in --checkpoint_dir, from kits-recipe.", **DATA)  # fmt: skip
flags.DEFINE_enum("stage", None, ["kidney", "tumor"], "Network to train.", required=True, **NETWORK)
flags.DEFINE_enum("plane", None, list(configs.PLANES), "Plane of the kidney network.", **NETWORK)
flags.DEFINE_enum("preset", "paper", list(configs.PRESETS), "Options to start from.", **NETWORK)
flags.DEFINE_multi_string("set", [], "KEY=VALUE: an option of the network; repeatable.", **NETWORK)
flags.DEFINE_bool("list_options", False, "Print the options of --set with their values, and exit.", **NETWORK)
flags.DEFINE_integer("base_filters", None, "Filters of the finest level.", lower_bound=1, **NETWORK)
flags.DEFINE_string("pretrained", None, "Checkpoint folder or released weights to start from.", **NETWORK)
flags.DEFINE_integer("num_steps", None, "Training steps in total.", lower_bound=1, **TRAINING)
flags.DEFINE_integer("batch_size", None, "Samples per step over all devices.", lower_bound=1, **TRAINING)
flags.DEFINE_float("learning_rate", None, "Highest learning rate.", **TRAINING)
flags.DEFINE_integer("seed", 0, "Seed of weights, order and augmentation.", 0, LARGEST_SEED, **TRAINING)
flags.DEFINE_bool("tensorboard", True, "Write TensorBoard logs, if it is installed.", **TRAINING)
app.define_device(FLAGS, "Devices")
flags.DEFINE_enum(
    "strategy", "auto", list(configs.STRATEGIES), "Distribution of the training over devices.", **DEVICES
)
flags.DEFINE_string("tpu", None, "'local' on a TPU VM, a TPU's name on Google Cloud, or grpc://HOST:PORT.", **DEVICES)
flags.DEFINE_enum("precision", "float32", list(configs.PRECISIONS), "Precision of the training.", **DEVICES)
flags.DEFINE_enum("jit", "auto", ["auto", "on", "off"], "Compile with XLA; auto: on a single GPU only.", **DEVICES)
flags.DEFINE_bool("deterministic", False, "Give bit-identical results on every run; slower.", **DEVICES)
app.require_unless("list_options", ("data_dir", "checkpoint_dir"), FLAGS)


def main() -> int:
    """Train the network that the flags name; return the exit code."""
    _check_network_flags()
    config = _make_config()
    if FLAGS.list_options:
        print(*configs.assignments(config), sep="\n")
        return app.EXIT_DONE
    _check_folders(config)
    runtime.load_tensorflow(FLAGS.device)
    from kits_tf.training import run, state

    masks = None if FLAGS.stage == "kidney" else _absolute(_kidney_masks())
    settings = state.Settings(FLAGS.seed, FLAGS.precision, masks, pretrained=_absolute(FLAGS.pretrained))
    machine = run.Machine(FLAGS.strategy, FLAGS.tpu, FLAGS.jit, FLAGS.deterministic, FLAGS.tensorboard)
    report = functools.partial(print, flush=True)
    try:
        done = run.run(config, FLAGS.data_dir, FLAGS.checkpoint_dir, settings, machine, report)
    except state.TrainingError as error:
        app.complain("kits-train", error)
        return app.EXIT_SOME_FAILED
    return app.EXIT_DONE if done else app.EXIT_TERMINATED


def _check_network_flags() -> None:
    """Raise UsageError for flags that do not go together."""
    if FLAGS.stage == "kidney" and FLAGS.plane is None:
        raise UsageError("plane", f"must be one of {', '.join(configs.PLANES)} with --stage=kidney")
    if FLAGS.stage == "tumor" and FLAGS.plane is not None:
        raise UsageError("plane", "is for --stage=kidney only; the tumor network is three-dimensional")
    if FLAGS.stage == "kidney" and FLAGS.kidney_masks is not None:
        raise UsageError("kidney_masks", "is for --stage=tumor only")
    if FLAGS.tpu is not None and FLAGS.strategy not in ("tpu", "auto"):
        raise UsageError("tpu", "is for --strategy=tpu only")
    if FLAGS.device != "auto" and FLAGS.strategy not in ("auto", "one"):
        raise UsageError("device", f"must be auto with --strategy={FLAGS.strategy}, got {FLAGS.device}")


def _make_config() -> NetworkConfig:
    """Return the preset's config with --set and the flags of single options applied."""
    preset = configs.preset(FLAGS.preset, FLAGS.stage, FLAGS.plane)
    assignments = [f"{name}={FLAGS[name].value!r}" for name in OVERRIDES if FLAGS[name].value is not None]
    for assignment in assignments:
        try:
            configs.override(preset, [assignment])
        except UsageError as error:
            raise UsageError(assignment.partition("=")[0], error.reason) from None
    config = configs.override(preset, [*FLAGS.set, *assignments])
    configs.check_sizes(config)
    return config


def _check_folders(config: NetworkConfig) -> None:
    """Raise UsageError for folders that cannot be used, before TensorFlow is loaded."""
    if FLAGS.pretrained is not None:
        checkpoint.find(FLAGS.pretrained)
    if FLAGS.stage == "tumor" and _kidney_masks() != "labels" and not pathlib.Path(_kidney_masks()).is_dir():
        if FLAGS.kidney_masks:
            raise UsageError("kidney_masks", f"must be 'labels' or a folder, got {FLAGS.kidney_masks}")
        what = f"is required, as there are no predicted kidneys in {_kidney_masks()}"
        raise UsageError("kidney_masks", f"{what}: a folder of predictions, or labels; kits-recipe predicts them")
    if "://" not in FLAGS.data_dir:  # cloud storage is read later
        check_prepared(FLAGS.data_dir)
    app.check_output_folder("checkpoint_dir", FLAGS.checkpoint_dir)
    for name in checkpoint.network_names():
        path = pathlib.Path(FLAGS.checkpoint_dir, name, checkpoint.CONFIG_NAME)
        if name == checkpoint.network_name(config) or not path.is_file():
            continue
        if different := checkpoint.shared_difference(config, configs.load(path)):
            raise UsageError("checkpoint_dir", f"{different} in {path}")


def check_prepared(folder: str) -> None:
    """Raise UsageError unless a folder was made by kits-prepare."""
    if not pathlib.Path(folder, "dataset.json").is_file():
        raise UsageError("data_dir", f"{folder} has no dataset.json; must be a folder made by kits-prepare")


def _kidney_masks() -> str:
    """Return "labels" or the folder of predictions that the tumor network learns from."""
    return FLAGS.kidney_masks or str(pathlib.Path(FLAGS.checkpoint_dir, checkpoint.KIDNEYS_NAME))


def _absolute(name: str | None) -> str | None:
    """Return the absolute path of a folder; other names, such as that of released weights, are returned unchanged."""
    return str(pathlib.Path(name).resolve()) if name and pathlib.Path(name).is_dir() else name


def run() -> None:
    """Run the console command kits-train."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
