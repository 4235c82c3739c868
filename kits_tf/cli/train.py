"""Trains one network on prepared data; run again, it resumes."""

import dataclasses
import pathlib

from absl import flags

from kits_tf import checkpoint, runtime
from kits_tf import config as configs
from kits_tf.cli import app
from kits_tf.config import check_sizes
from kits_tf.errors import InputError, UsageError

FLAGS = flags.FlagValues()
LARGEST_SEED = 2**32 - 1  # that NumPy takes
OVERRIDES = ("num_steps", "batch_size", "base_filters", "learning_rate")

flags.DEFINE_enum("stage", None, ["kidney", "tumor"], "Which network.", required=True, flag_values=FLAGS)
flags.DEFINE_enum("plane", None, list(configs.PLANES), "The kidney network's plane.", flag_values=FLAGS)
flags.DEFINE_string("data_dir", None, "A folder made by kits-prepare.", required=True, flag_values=FLAGS)
flags.DEFINE_string(
    "checkpoint_dir", None, "Folder of the networks; this one's own is made in it.", required=True, flag_values=FLAGS
)
flags.DEFINE_enum("preset", "paper", list(configs.PRESETS), "Options to start from.", flag_values=FLAGS)
flags.DEFINE_multi_string("set", [], "KEY=VALUE: any option of the network's config; repeatable.", flag_values=FLAGS)
flags.DEFINE_string(
    "kidney_masks", None, "What the tumor network sees as kidney: 'labels' (the default), or a folder of "
    "prediction_NNNNN.nii.gz.", flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "pretrained", None, "Start from the weights of a checkpoint folder, or of released weights by name, of the same "
    "architecture; random by default.", flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_integer("num_steps", None, "Steps of the whole run.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("batch_size", None, "Samples of a step, over all devices.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("base_filters", None, "Width of the network.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_float("learning_rate", None, "The highest learning rate.", flag_values=FLAGS)
flags.DEFINE_integer(
    "seed", 0, "Of weights, order and augmentation.", lower_bound=0, upper_bound=LARGEST_SEED, flag_values=FLAGS
)
flags.DEFINE_enum(
    "strategy", "auto", ["auto", "one", "mirrored", "multi_worker", "tpu"], "How devices share the work.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "tpu", None, "A TPU for --strategy=tpu: 'local' on a TPU VM, its name on Google Cloud, or grpc://HOST:PORT.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_bool("deterministic", False, "The same bits on every run, slower.", flag_values=FLAGS)
flags.DEFINE_enum("jit", "auto", ["auto", "on", "off"], "Compilation by XLA; auto: on one GPU.", flag_values=FLAGS)
flags.DEFINE_enum(
    "precision", "float32", ["float32", "mixed_bfloat16", "mixed_float16"], "Of the computations.", flag_values=FLAGS
)
flags.DEFINE_bool("tensorboard", True, "Write for TensorBoard too, where it is installed.", flag_values=FLAGS)


def main():
    """Trains the network that the flags name; returns the exit code."""
    check_flags()
    config = make_config()
    check_siblings(config)
    runtime.load_tensorflow()
    from kits_tf.training import run, settings

    depends_on = settings.Settings(FLAGS.seed, FLAGS.precision, kidney_masks(), pretrained=pretrained())
    machine = settings.Machine(FLAGS.strategy, FLAGS.tpu, FLAGS.jit, FLAGS.deterministic, FLAGS.tensorboard)
    try:
        done = run.run(config, FLAGS.data_dir, FLAGS.checkpoint_dir, depends_on, machine, report)
    except run.TrainingError as error:
        app.complain("kits-train", error)
        return app.EXIT_SOME_FAILED
    return app.EXIT_DONE if done else app.EXIT_TERMINATED


def check_flags():
    """Raises UsageError for flags that do not go together and folders that cannot be used."""
    if FLAGS.stage == "kidney" and FLAGS.plane is None:
        raise UsageError("plane", f"takes {', '.join(configs.PLANES)}; --stage=kidney needs it")
    if FLAGS.stage == "tumor" and FLAGS.plane is not None:
        raise UsageError("plane", "goes with --stage=kidney alone; the tumor network is three-dimensional")
    if FLAGS.stage == "kidney" and FLAGS.kidney_masks is not None:
        raise UsageError("kidney_masks", "goes with --stage=tumor alone")
    if FLAGS.kidney_masks not in (None, "labels") and not pathlib.Path(FLAGS.kidney_masks).is_dir():
        raise UsageError("kidney_masks", f"{FLAGS.kidney_masks}: no such folder; takes 'labels' or a folder")
    if FLAGS.tpu is not None and FLAGS.strategy not in ("tpu", "auto"):
        raise UsageError("tpu", "goes with --strategy=tpu alone")
    check_data_dir()
    if pathlib.Path(FLAGS.checkpoint_dir).is_file():
        raise UsageError("checkpoint_dir", f"{FLAGS.checkpoint_dir} is a file; takes a folder")


def check_data_dir():
    """Raises UsageError for a local folder that is not there or was not prepared; an address is read later."""
    if "://" in FLAGS.data_dir:
        return
    if not pathlib.Path(FLAGS.data_dir).is_dir():
        raise UsageError("data_dir", f"{FLAGS.data_dir}: no such folder")
    if not (pathlib.Path(FLAGS.data_dir) / "dataset.json").is_file():
        raise UsageError("data_dir", f"{FLAGS.data_dir} holds no dataset.json; takes a folder made by kits-prepare")


def make_config():
    """The config of the preset with --set and the flags of single options applied; UsageError where it cannot work."""
    preset = configs.preset(FLAGS.preset, FLAGS.stage, FLAGS.plane)
    changes = {name: FLAGS[name].value for name in OVERRIDES if FLAGS[name].value is not None}
    for name, value in changes.items():
        try:
            dataclasses.replace(preset, **{name: value})
        except ValueError as error:
            raise UsageError(name, str(error)) from None
    flags = [f"{name}={value!r}" for name, value in changes.items()]
    config = configs.override(preset, [*FLAGS["set"].value, *flags])  # together: some go by each other
    check_sizes(config)
    return config


def check_siblings(config):
    """Raises UsageError where a network would not go with those that are in the checkpoint folder already."""
    folder, own = pathlib.Path(FLAGS.checkpoint_dir), checkpoint.network_name(config)
    paths = {name: folder / name / checkpoint.CONFIG_NAME for name in checkpoint.network_names() if name != own}
    siblings = {name: configs.load(path) for name, path in paths.items() if path.is_file()}
    try:
        checkpoint.check_shares(folder, siblings | {own: config})
    except InputError as error:
        raise UsageError("checkpoint_dir", f"{FLAGS.checkpoint_dir}: {own}: {error.reason}") from None


def kidney_masks():
    """ "labels" or the absolute folder for the tumor network; None for a kidney network."""
    if FLAGS.stage == "kidney":
        return None
    masks = FLAGS.kidney_masks or "labels"
    return masks if masks == "labels" else str(pathlib.Path(masks).resolve())


def pretrained():
    """The released weights, or the absolute folder, that training starts from; None for random weights."""
    if FLAGS.pretrained is None:
        return None
    checkpoint.find(FLAGS.pretrained)
    folder = pathlib.Path(FLAGS.pretrained)
    return str(folder.resolve()) if folder.is_dir() else FLAGS.pretrained


def report(line):
    """Prints a line at once, also into a log."""
    print(line, flush=True)


def run():
    """The console command kits-train."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
