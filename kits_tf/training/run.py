"""A whole training run in a network's folder, started or resumed."""

from __future__ import annotations

import contextlib
import dataclasses
import filecmp
import importlib.util
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from kits_tf import config as configs
from kits_tf import files
from kits_tf.checkpoint import WEIGHTS_NAME, load_weights, network_name
from kits_tf.config import NetworkConfig
from kits_tf.data.records import read_record
from kits_tf.data.stage_inputs import read_sample
from kits_tf.errors import InputError, UsageError, one_line
from kits_tf.progress import counted
from kits_tf.training import callbacks, data, loop, strategies
from kits_tf.training import state as states
from kits_tf.training.state import Settings, TrainingError, TrainingState
from kits_tf.training.validation import BEST_NAME, Validation

Report = Callable[[str], None]

LOST_WORKER = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError, tf.errors.CancelledError)
DISK_FULL = "No space left on device"
READING = "IteratorGetNext"  # the operation that fails where a record cannot be read


@dataclasses.dataclass(frozen=True)
class Machine:
    """What may differ from one start of a run to the next."""

    strategy: str = "auto"  # a name of `strategies.make_strategy`
    tpu: str | None = None  # a TPU's name
    jit: str = "auto"  # "auto", "on" or "off"
    deterministic: bool = False  # give the same bits on every run, slower
    tensorboard: bool = False  # write for TensorBoard, if it is installed


def run(
    config: NetworkConfig,
    data_dir: str | os.PathLike,
    checkpoint_dir: str | os.PathLike,
    settings: Settings,
    machine: Machine | None = None,
    report: Report = print,
) -> bool:
    """Train a network, or resume an earlier run.

    Args:
        config: The network's config.
        data_dir: A prepared folder.
        checkpoint_dir: The folder of all networks; this one gets a folder in it.
        settings: What the run depends on besides the config.
        machine: Devices, and how they are used.
        report: Called with lines for the user.

    Returns:
        Whether training is over; False when SIGTERM, or a signal to another worker, stopped it.

    Raises:
        KeyboardInterrupt: Ctrl-C stopped it; the message says where it resumes.
        UsageError, InputError: Flags, data or an existing folder cannot be used.
        TrainingError: A loss is not finite, another worker is gone, memory is exhausted or a record cannot be read.
    """
    machine = machine or Machine()
    folder = pathlib.Path(checkpoint_dir) / network_name(config)
    settings = dataclasses.replace(settings, data=data.digest(data_dir, settings.kidney_masks))
    states.check_folder(folder, config, settings)
    loop.learning_rate_schedule(config)  # raises for a warmup with schedule=step, before anything is written
    configure_process(settings, machine)
    strategy = strategies.make_strategy(machine.strategy, machine.tpu)
    jit = strategies.uses_xla(machine.jit, config, strategy)
    is_new = not states.saved_states(folder)
    start = states.find_pretrained(settings.pretrained, config, report) if settings.pretrained and is_new else None
    sources = data.training_sources(config, data_dir, folder, settings.kidney_masks or "labels", report)
    with explained_errors(folder, config, sources):
        trainer = loop.Trainer(config, strategy, jit)
        state = restore(trainer, folder, start)
        validation = make_validation(trainer, state, data_dir, settings, report)
        done = loop.is_over(config, state.step, validation)
        done = done or train(trainer, state, validation, sources, settings, machine, report)
    if done:
        finish(folder, config, strategies.worker_of(strategy), report)
    return done


def configure_process(settings: Settings, machine: Machine) -> None:
    """Set seeds, precision and determinism of this process, before a network is built."""
    if settings.precision == "mixed_float16" and not tf.config.get_visible_devices("GPU"):
        raise UsageError("precision", "mixed_float16 needs a GPU; on a CPU use float32 or mixed_bfloat16")
    keras.utils.set_random_seed(settings.seed)
    keras.mixed_precision.set_dtype_policy(settings.precision)
    if machine.deterministic:
        tf.config.experimental.enable_op_determinism()


def restore(trainer: loop.Trainer, folder: pathlib.Path, pretrained: pathlib.Path | None) -> TrainingState:
    """Return the state of a run: restored, or new with pretrained weights if there are any."""
    network = states.float32_network(trainer.config)
    if pretrained:
        load_weights(pretrained, network)
        trainer.start_from(network.get_weights())
    parts: dict[str, Any] = {"model": trainer.model, "optimizer": trainer.optimizer}
    if trainer.averages:
        parts["averages"] = trainer.averages
    state = TrainingState(folder, parts, network, strategies.worker_of(trainer.strategy).is_chief)
    state.restore()
    [mean] = trainer.agree(state.step)
    if trainer.agree(abs(state.step - mean) > 0.5) != [0]:
        raise TrainingError(f"this worker resumes at step {state.step}, others elsewhere; share one --checkpoint_dir")
    return state


def make_validation(
    trainer: loop.Trainer, state: TrainingState, data_dir: str | os.PathLike, settings: Settings, report: Report
) -> Validation | None:
    """Return the validation; None if the config or the data have none."""
    if not trainer.config.validate_every:
        return None
    records = data.split_records(data_dir, "validation")
    if not records:
        report(f"{data_dir} has no validation case; validate_every has no effect and the last weights are kept")
        return None
    return Validation(trainer.config, state, records, settings.kidney_masks, strategies.worker_of(trainer.strategy))


def train(
    trainer: loop.Trainer,
    state: TrainingState,
    validation: Validation | None,
    sources: list[Any],
    settings: Settings,
    machine: Machine,
    report: Report,
) -> bool:
    """Train from the restored state on; return whether training is over."""
    iterator = data.distributed(trainer.strategy, trainer.config, sources, settings.seed, state.step)
    chosen: list[keras.callbacks.Callback] = []
    if strategies.worker_of(trainer.strategy).is_chief:
        states.write_settings(state.folder, trainer.config, settings)
        chosen = make_callbacks(state, trainer.config, machine, report)
    report(describe_start(trainer, state, len(sources), settings))
    if device_name(trainer.strategy).startswith("CPU") and is_wide(trainer.config):
        hint = "use a GPU, --preset=small or a smaller --base_filters"
        report(f"warning: networks as wide as the paper's train for days to months on a CPU; {hint}")
    callback_list = keras.callbacks.CallbackList(chosen)
    callback_list.on_train_begin()
    try:
        done = loop.train(trainer, iterator, state, validation, callback_list)
    except KeyboardInterrupt:
        what = f"interrupted; {state.folder}: {describe_saved(state.step)}; the same command resumes"
        raise KeyboardInterrupt(what) from None
    finally:
        callback_list.on_train_end()
    if not done:
        report(f"{state.folder}: stopped; {describe_saved(state.step)}; the same command resumes")
    return done


def make_callbacks(state: TrainingState, config: NetworkConfig, machine: Machine, report: Report) -> list[Any]:
    """Return the callbacks of the chief."""
    progress = callbacks.ProgressLogger(network_name(config), config.num_steps)
    chosen = [callbacks.HistoryLogger(state.folder, state.step), progress]
    if machine.tensorboard and importlib.util.find_spec("tensorboard"):
        chosen.append(callbacks.TensorBoardLogger(state.folder))
    elif machine.tensorboard:
        report("nothing is written for TensorBoard: install the extra `tensorboard`, or set --notensorboard")
    return chosen


def finish(folder: pathlib.Path, config: NetworkConfig, worker: strategies.Worker, report: Report) -> None:
    """Replace the weights by the best ones if the config keeps them, and draw the curves, unless this is done."""
    if not worker.is_chief:
        return
    best, kept = folder / BEST_NAME, folder / WEIGHTS_NAME
    if config.keep == "best" and best.is_file() and not filecmp.cmp(best, kept, shallow=False):
        with files.replacing(kept) as temporary:
            shutil.copyfile(best, temporary)
    if not callbacks.draw_curves(folder):
        report("curves.png needs matplotlib: install the extra `report`")
    report(f"{network_name(config)}: training is complete")


@contextlib.contextmanager
def explained_errors(folder: pathlib.Path, config: NetworkConfig, sources: list[Any]) -> Iterator[None]:
    """Convert errors with a cause outside the program to a TrainingError with a one-line message."""
    try:
        yield
        return
    except TrainingError as error:
        hint = "; a lower --learning_rate or --set=clip_norm=1 may help" if "finite" in str(error) else ""
        what = f"{error}{hint}"
    except tf.errors.ResourceExhaustedError as error:
        what = "memory is exhausted; use a smaller --batch_size or --set=accumulation=N, and another --checkpoint_dir"
        what = DISK_FULL if DISK_FULL in str(error) else what
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
        if READING not in str(error):
            raise
        what = f"{find_damaged(sources, config.stage) or one_line(error)}; run kits-prepare again"
    except LOST_WORKER as error:
        if "TF_CONFIG" not in os.environ:
            raise
        what = f"another worker is gone ({one_line(error)}); the same command on every worker resumes"
    last = max((step for step, _ in states.saved_states(folder)), default=0)
    raise TrainingError(f"{folder}: {what}; {describe_saved(last)}")


def find_damaged(sources: list[Any], stage: str) -> str | None:
    """Return "FILE: reason" for the first source that cannot be read, or None."""
    for source in sources:
        try:
            read_record(source) if stage == "kidney" else read_sample(str(source["path"]), with_distance=False)
        except (InputError, tf.errors.OpError) as error:
            return one_line(error) if isinstance(error, InputError) else f"{source['path']}: {one_line(error)}"
    return None


def describe_start(trainer: loop.Trainer, state: TrainingState, num_sources: int, settings: Settings) -> str:
    """Return a one-line description of the training that is about to start."""
    config, masks = trainer.config, settings.kidney_masks or "labels"
    kidneys = counted(num_sources, "kidney") + (" of the labels" if masks == "labels" else f" predicted in {masks}")
    sources = counted(num_sources, "case") if config.stage == "kidney" else kidneys
    fresh = f"starts from {settings.pretrained}" if settings.pretrained else "starts"
    start = f"resumes at step {state.step}" if state.step else fresh
    steps = f"{counted(config.num_steps, 'step')} of {counted(config.batch_size, 'sample')} from {sources}"
    size = f"{trainer.model.count_params() / 1e6:.3g} million parameters"
    device = device_name(trainer.strategy)
    return f"{network_name(config)}: {start}, {steps}; {size} in {settings.precision} on {device}"


def device_name(strategy: tf.distribute.Strategy) -> str:
    """Return what a strategy trains on, such as "2 x NVIDIA H100" or "CPU with 2 cores"."""
    gpus = tf.config.get_visible_devices("GPU")
    if isinstance(strategy, tf.distribute.TPUStrategy):
        name = "TPU"
    elif gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    else:
        name = f"CPU with {counted(len(os.sched_getaffinity(0)), 'core')}"
    return name if strategy.num_replicas_in_sync == 1 else f"{strategy.num_replicas_in_sync} x {name}"


def is_wide(config: NetworkConfig) -> bool:
    """Return whether a network is at least as wide as the paper's."""
    return config.base_filters >= configs.preset("paper", config.stage, getattr(config, "plane", None)).base_filters


def describe_saved(step: int) -> str:
    """Return the last saved step in words."""
    return f"saved at step {step}" if step else "nothing is saved yet"
