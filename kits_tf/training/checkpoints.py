"""The training state on disk: model, optimizer and step, the last three of them, and the weights for prediction."""

import pathlib
import re
import sys
import tempfile

import tensorflow as tf

from kits_tf import files
from kits_tf.checkpoint import WEIGHTS_NAME
from kits_tf.errors import InputError

KEPT = 3
STATE_FOLDER = "state"


class Checkpoints:
    """Saves and restores the training state in `folder`/state.

    Args:
        folder: the network's own folder.
        model: a built keras.Model.
        optimizer: its optimizer, built.
        chief: whether this process writes the shared files. All workers must call `save` since variables that are
            kept on each replica are read together; the others write to a temporary folder.
    """

    def __init__(self, folder, model, optimizer, chief=True):
        self._folder = pathlib.Path(folder)
        self._model = model
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer, step=self._step)
        self._chief = chief
        self._scratch = None if chief else tempfile.TemporaryDirectory()
        target = self._folder / STATE_FOLDER if chief else self._scratch.name
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(target), max_to_keep=KEPT, checkpoint_name="step"
        )

    def save(self, step):
        """Writes the state after `step` steps, and the weights."""
        self._step.assign(step)
        self._manager.save(checkpoint_number=step)
        if self._chief:
            with files.replacing(self._folder / WEIGHTS_NAME) as temporary:
                self._model.save_weights(temporary)

    def restore(self):
        """Restores the newest state that can be read.

        Returns:
            The number of steps that are done; 0 if there is no state.

        Raises:
            InputError: there are states, but none can be read.
        """
        saved = saved_states(self._folder / STATE_FOLDER)
        for _, path in reversed(saved):
            try:
                self._checkpoint.restore(str(path)).assert_existing_objects_matched()
                return int(self._step.numpy())
            except Exception as error:  # a damaged file makes TensorFlow's reader raise errors of many kinds
                reason = (str(error).splitlines() or ["unreadable"])[0]
                print(f"warning: {path} is skipped: {reason[:200]}", file=sys.stderr, flush=True)
        if saved:
            raise InputError(self._folder / STATE_FOLDER, "no saved state can be read; move the folder away to start")
        return 0


def saved_states(folder):
    """(step, path without suffix) of every state in a folder, the oldest first."""
    paths = pathlib.Path(folder).glob("step-*.index")
    found = [(re.fullmatch(r"step-(\d+)\.index", path.name), path.with_suffix("")) for path in paths]
    return sorted((int(match.group(1)), path) for match, path in found if match)
