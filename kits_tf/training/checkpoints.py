"""The training state on disk: model, optimizer, averaged weights and step, the last three of them.

What else a run depends on is not state: every random draw is a function of the seed and the step, the learning rate of
the step, and the best score stands in `validation.csv`.
"""

import pathlib
import re
import sys
import tempfile

import tensorflow as tf

from kits_tf.errors import InputError

KEPT = 3
STATE_FOLDER = "state"


class Checkpoints:
    """Saves and restores the training state in `folder`/state.

    Args:
        folder: the network's own folder.
        parts: what to save, by name: the model, its optimizer, ...
        chief: whether this process writes the shared files. All workers must call `save` since variables that are
            kept on each replica are read together; the others write to a temporary folder.
    """

    def __init__(self, folder, parts, chief=True):
        self._folder = pathlib.Path(folder) / STATE_FOLDER
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._checkpoint = tf.train.Checkpoint(**parts, step=self._step)
        self._scratch = None if chief else tempfile.TemporaryDirectory()
        if chief:
            self._folder.mkdir(parents=True, exist_ok=True)  # or TensorFlow would, with an error of its own kind
        target = self._folder if chief else self._scratch.name
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(target), max_to_keep=KEPT, checkpoint_name="step"
        )

    def save(self, step):
        """Writes the state after `step` steps.

        Raises:
            InputError: the disk is full, or the folder cannot be written to; the states before are still there.
        """
        self._step.assign(step)
        try:
            if self._scratch is None:
                set_aside(self._folder, step)
            self._manager.save(checkpoint_number=step)
        except (OSError, tf.errors.OpError) as error:
            remove_unfinished(self._folder, step)
            raise InputError(self._folder, f"step {step} cannot be written ({reason(error)})") from None

    def restore(self):
        """Restores the newest state that can be read.

        Returns:
            The number of steps that are done; 0 if there is no state.

        Raises:
            InputError: there are states, but none can be read, or the newest is of another network.
        """
        saved = saved_states(self._folder)
        for _, path in reversed(saved):
            try:
                self._checkpoint.restore(str(path)).assert_existing_objects_matched()
                return int(self._step.numpy())
            except (AssertionError, ValueError):  # readable, but other variables or other shapes
                what = "is the state of another network or of other options; takes another --checkpoint_dir"
                raise InputError(path, what) from None
            except Exception as error:  # a damaged file makes TensorFlow's reader raise errors of many kinds
                print(f"warning: {path} is skipped: {reason(error)}", file=sys.stderr, flush=True)
        if saved:
            raise InputError(self._folder, "no saved state can be read; move the folder away to start")
        return 0


def reason(error):
    """What an error says in a line, cut where it is long; HDF5 hides the system's own words in the middle of its."""
    system = re.search(r"error message = '([^']*)'", str(error))
    return system[1] if system else (str(error).splitlines() or ["unreadable"])[0][:200]


def saved_states(folder):
    """(step, path without suffix) of every state in a folder, the oldest first."""
    paths = pathlib.Path(folder).glob("step-*.index")
    found = [(re.fullmatch(r"step-(\d+)\.index", path.name), path.with_suffix("")) for path in paths]
    return sorted((int(match.group(1)), path) for match, path in found if match)


def set_aside(folder, step):
    """Renames states of later steps, which were skipped: they are of another course, should they be readable again."""
    for later, path in saved_states(folder):
        if later > step:
            for part in path.parent.glob(f"{path.name}.*"):
                part.rename(part.with_name(f"skipped-{part.name}"))


def remove_unfinished(folder, step):
    """Removes what a failed save of a step has left."""
    for path in pathlib.Path(folder).glob(f"step-{step}[._]*"):
        if path.is_file():
            path.unlink()
