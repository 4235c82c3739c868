"""A whole training run in a network's own folder, begun or continued."""

import dataclasses
import json
import pathlib

import keras
import tensorflow as tf

from kits_tf import config as configs
from kits_tf import files
from kits_tf.checkpoint import CONFIG_NAME, load_weights, network_name
from kits_tf.errors import UsageError
from kits_tf.training import board, curves, data, faults, loop, pretrained, strategies
from kits_tf.training.checkpoints import STATE_FOLDER, Checkpoints, reason, saved_states
from kits_tf.training.history import History, LossRows
from kits_tf.training.keeper import Keeper
from kits_tf.training.plain_copy import PlainCopy
from kits_tf.training.progress import Progress
from kits_tf.training.settings import SETTINGS_NAME, Machine, check_folder
from kits_tf.training.validation import Validation

ONE_MACHINE = Machine()

# What other workers see when one of them ends.
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError, tf.errors.CancelledError)


class TrainingError(Exception):
    """Training ended before its time, through no fault of the flags or the data; says what to do."""


def run(config, data_dir, checkpoint_dir, settings, machine=ONE_MACHINE, report=print):
    """Trains a network, or continues where an earlier run stopped.

    Args:
        config: a KidneyConfig or TumorConfig.
        data_dir: a prepared folder.
        checkpoint_dir: the folder of all networks; this one's own is in it.
        settings: a Settings.
        machine: a Machine.
        report: called with lines for a person.

    Returns:
        True when training is over, False when SIGTERM, or a signal to another worker, asked to stop.

    Raises:
        KeyboardInterrupt: Ctrl-C asked to stop; says where the run goes on.
        UsageError, InputError: flags, data or an existing folder that do not fit.
        TrainingError: the loss is no longer a number, another worker is gone, memory does not suffice, or a record
            cannot be read.
    """
    folder = pathlib.Path(checkpoint_dir) / network_name(config)
    settings = dataclasses.replace(settings, data=data.digest(data_dir, settings.kidney_masks))
    check_folder(folder, config, settings)
    prepare_process(settings, machine.deterministic)
    strategy = strategies.make_strategy(machine.strategy, machine.tpu)
    jit = strategies.compiles(machine.jit, config, strategy)
    begins = settings.pretrained and not saved_states(folder / STATE_FOLDER)
    start = pretrained.find(settings.pretrained, config, report) if begins else None
    sources = data.training_sources(config, data_dir, folder, settings.kidney_masks, report)
    trainer = loop.Trainer(config, strategy, jit)
    copy = PlainCopy(config)
    if start:
        load_weights(start, copy.model)
        trainer.average.start_from(copy.model.get_weights())
    worker, workers = strategies.worker_of(strategy)
    parts = {"model": trainer.model, "optimizer": trainer.optimizer}
    parts |= {"average": trainer.average} if config.average_decay else {}
    checkpoints = Checkpoints(folder, parts, chief=worker == 0)
    step = checkpoints.restore()
    check_agreement(trainer, folder, step)
    validation = make_validation(config, copy.model, data_dir, settings.kidney_masks, report)
    keeper = Keeper(folder, trainer, copy, checkpoints, step, validation, worker, workers)
    if keeper.is_over(step) and not keeper.is_due(step):
        finish(keeper, folder, worker, report)
        early = "" if step >= config.num_steps else ", no better validation came for long enough"
        report(f"{network_name(config)}: all {step} steps are done{early}")
        return True
    iterator = data.distributed(strategy, config, sources, settings.seed, step)
    try:
        if worker == 0:
            configs.save(config, folder / CONFIG_NAME)
            files.write_text(folder / SETTINGS_NAME, json.dumps(dataclasses.asdict(settings), indent=2) + "\n")
            keeper.watchers += watchers(config, sources, folder, settings, machine, copy, step, report)
        report(opening_line(config, strategy, sources, step, settings.pretrained))
        done = loop.train(trainer, iterator, step, keeper)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {goes_on(folder, keeper.saved)}") from None
    except loop.LossError as error:
        raise TrainingError(explain(error, config, sources, settings.seed, folder, workers)) from None
    except LOST as error:
        if workers == 1:
            raise
        raise TrainingError(lost(folder, error)) from None
    except faults.FAULTS as error:
        what = faults.explain(error, config, data_dir, sources)
        if what is None:
            raise
        raise TrainingError(f"{folder}: {what}; {last_state(folder)} is the last good one") from None
    finally:
        keeper.close()
    if done:
        finish(keeper, folder, worker, report)
    else:
        report(f"{network_name(config)}: stopped; {goes_on(folder, keeper.saved)}")
    return done


def finish(keeper, folder, worker, report):
    """Puts the weights that stay in place, and draws the curves where that has not been done."""
    keeper.finish()
    if worker == 0 and not curves.is_drawn(folder) and not curves.draw(folder):
        report("curves.png takes matplotlib: install this package's extra `report`")


def check_agreement(trainer, folder, step):
    """Raises TrainingError, on every worker, where they do not all continue at the same step."""
    try:
        [mean] = trainer.agree(float(step))
        [apart] = trainer.agree(float(abs(step - mean) > 0.5))
    except LOST as error:
        raise TrainingError(lost(folder, error)) from None
    if apart > 0:
        what = f"this worker continues at step {step}, others elsewhere; all workers take one shared --checkpoint_dir"
        raise TrainingError(f"{folder}: {what}")


def make_validation(config, model, data_dir, kidney_masks, report):
    """The Validation that the config asks for, or None."""
    if not config.validate_every:
        return None
    records = data.split_records(data_dir, "validation")
    if not records:
        report(f"{data_dir} holds no validation case; validate_every is left alone, and the last weights are kept")
        return None
    return Validation(config, model, records, kidney_masks)


def watchers(config, sources, folder, settings, machine, copy, step, report):
    """What writes and shows the losses and scores of a run."""
    found = [LossRows(History(folder / curves.LOSSES, step), config)]
    found.append(Progress(network_name(config), step, config.num_steps))
    if machine.tensorboard and not board.is_installed():
        report("nothing is written for TensorBoard: install this package's extra `tensorboard`, or --notensorboard")
    elif machine.tensorboard:
        description = {"config": dataclasses.asdict(config), "run": dataclasses.asdict(settings)}
        sample = next(iter(data.batches(config, sources, settings.seed, 0, tf.distribute.InputContext())))
        found.append(board.Board(folder, step, description, sample, copy))
    return found


def explain(error, config, sources, seed, folder, workers):
    """What a LossError means for the one who reads it, in a line."""
    cases = ", ".join(data.cases_of_step(config, sources, seed, error.step, workers))
    advice = "in another --checkpoint_dir, a lower --learning_rate or --set=clip_norm=1 may help"
    return f"{folder}: {error}, on {cases}; {last_state(folder)} is the last good one; {advice}"


def lost(folder, error):
    """What it means that another worker has ended, in a line."""
    what = "another worker is gone; the same command, started on every worker again, continues"
    return f"{folder}: {what} from {last_state(folder)} ({reason(error)})"


def goes_on(folder, step):
    """Where a run that was stopped continues, in words."""
    if not step:
        return "nothing is saved yet, and the same command starts anew"
    return f"{folder} is saved at step {step}, and the same command goes on there"


def last_state(folder):
    """The newest saved state in words."""
    saved = saved_states(folder / STATE_FOLDER)
    return f"state {saved[-1][1]}" if saved else "the start (no state is saved yet)"


def opening_line(config, strategy, sources, step, pretrained=None):
    """What is about to be trained, in a line."""
    kind = "cases" if config.stage == "kidney" else "kidneys"
    replicas = strategy.num_replicas_in_sync
    where = f"{replicas} replicas" if replicas > 1 else "one device"
    start = f"starts from {pretrained}" if pretrained else "starts"
    begins = f"continues at step {step}" if step else start
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
