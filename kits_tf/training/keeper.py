"""What the loop hands over between its calls: rows and states to keep, validations to run, progress to show."""

import filecmp
import pathlib
import shutil
import time

from kits_tf import files
from kits_tf.checkpoint import WEIGHTS_NAME
from kits_tf.training.scores import Scores
from kits_tf.training.validation import StopError

BEST_NAME = "best.weights.h5"
SAVE_SECONDS = 120.0


class Keeper:
    """Keeps a run on disk and shows it; see `loop.train` for the order of the calls.

    Args:
        folder: the network's own folder.
        trainer: a Trainer.
        copy: a PlainCopy.
        checkpoints: a Checkpoints.
        step: the last step that is done.
        validation: a Validation, or None.
        worker, workers: this process is `worker` (from 0) of `workers`; worker 0 writes the files.

    Attributes:
        saved: the step of the state saved last.
        scores: the Scores of the validations.
        watchers: list of `Watcher`, which write and show the losses and scores.
    """

    def __init__(self, folder, trainer, copy, checkpoints, step, validation=None, worker=0, workers=1):
        self._folder = pathlib.Path(folder)
        self._config = trainer.config
        self._trainer = trainer
        self._copy = copy
        self._checkpoints = checkpoints
        self._validation = validation
        self._worker, self._workers = worker, workers
        self.watchers = []
        self.saved, self._saved_at = step, time.monotonic()
        self.scores = Scores(folder, step, chief=worker == 0)

    def note(self, step, names, values):
        """Keeps and shows the losses of the steps after `step`; arguments as `Trainer.run` returns them."""
        for watcher in self.watchers:
            watcher.losses(step, names, values)

    def unsaved_seconds(self):
        """Time since the state was saved."""
        return time.monotonic() - self._saved_at

    def next_look(self, step):
        """The step up to which the loop may run on without asking."""
        every, total = self._config.validate_every, self._config.num_steps
        return min(total, (step // every + 1) * every) if self._validation and every else total

    def is_over(self, step):
        """Whether all steps are done, or validation has not become better for too long."""
        patience = self._config.patience
        return step >= self._config.num_steps or bool(patience and self.scores.since_best() >= patience)

    def is_due(self, step):
        """Whether a validation is to be run at a step and has not been carried to its end."""
        return bool(self._validation) and 0 < step == self.next_look(step - 1) and step not in self.scores.means

    def resume(self, step, termination):
        """Makes up for a validation that a stop cut short; returns whether it was cut short again."""
        return self.is_due(step) and self.keep(step, False, 0.0, termination)

    def keep(self, step, asked, unsaved, termination):
        """Validates and saves where it is time.

        Args:
            step: steps that are done.
            asked: whether some worker was asked to stop.
            unsaved: seconds since the state was saved.
            termination: a Termination, which may ask while a validation runs.

        Returns:
            Whether to stop before the end.
        """
        validated = not asked and self.is_due(step)
        if validated:
            asked = not self._validate(step, termination)
        if step > self.saved and (asked or validated or self.is_over(step) or unsaved > SAVE_SECONDS):
            self._save(step)
        return asked

    def finish(self):
        """Puts the weights that stay in place: the best ones if the config asks for them and there are some."""
        best, kept = self._folder / BEST_NAME, self._folder / WEIGHTS_NAME
        wanted = self._worker == 0 and self._config.keep == "best" and best.is_file()
        if wanted and not filecmp.cmp(best, kept, shallow=False):
            with files.replacing(kept) as temporary:
                shutil.copyfile(best, temporary)

    def close(self):
        """Ends what shows the run."""
        for watcher in self.watchers:
            watcher.close()

    def _validate(self, step, termination):
        """Runs a validation; returns False where it was cut short."""
        self._copy.take(self._trainer.average, step)
        try:
            shares = self._validation.scores(self._worker, self._workers, lambda: termination.asked)
        except StopError:
            shares = [0.0] * len(self._validation.cases)
        stopped, *means = self._trainer.agree(termination.asked, *shares)
        if stopped:
            return False
        found = {case: mean * self._workers for case, mean in zip(self._validation.cases, means, strict=True)}
        if self.scores.is_better(found) and self._worker == 0:
            self._copy.save(self._folder / BEST_NAME)
        self.scores.add(step, self._validation.name, found)  # last: where the row is, the weights are
        for watcher in self.watchers:
            watcher.scores(step, self._validation.name, self.scores)
        return True

    def _save(self, step):
        """Saves the weights and the state; all workers together, as what is kept on each replica is read together.

        The state comes last: where it is, the weights are of its step.
        """
        self._copy.take(self._trainer.average, step)
        if self._worker == 0:
            self._copy.save(self._folder / WEIGHTS_NAME)
        self._checkpoints.save(step)
        for watcher in self.watchers:
            watcher.saved(step)
        self.saved, self._saved_at = step, time.monotonic()
