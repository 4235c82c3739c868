"""`validation.csv`: one row a validation. It is the record that the best weights and early stopping go by."""

import pathlib

import numpy as np

from kits_tf.training.history import History, read_rows

NAME = "validation.csv"


def mean_of(cases):
    """The mean Dice of {case id: Dice}, to six digits."""
    return round(float(np.mean(list(cases.values()))), 6)


class Scores:
    """The mean Dice of each validation up to a step.

    Args:
        folder: the network's own folder.
        step: the last step that is done; what was found beyond it is forgotten, as it will be found again.
        chief: whether this process writes the file.

    Attributes:
        means: {step: mean Dice, to six digits}.
    """

    def __init__(self, folder, step, chief=True):
        path = pathlib.Path(folder) / NAME
        _, rows = read_rows(path)
        self.means = {int(row[0]): float(row[1]) for row in rows if int(row[0]) <= step}
        self._history = History(path, step) if chief else None

    def add(self, step, name, cases):
        """Notes a validation.

        Args:
            step: steps that are done.
            name: of the score.
            cases: {case id: Dice}.
        """
        self.means[step] = mean_of(cases)
        if self._history is not None:
            self._history.append([{"step": step, name: self.means[step], **cases}])

    def is_better(self, cases):
        """Whether the mean over `cases`, {case id: Dice}, is better than that of all validations so far."""
        return self.best is None or mean_of(cases) > self.means[self.best]

    @property
    def best(self):
        """The step of the best validation, the earlier of equal ones; None before the first."""
        return max(self.means, key=lambda step: (self.means[step], -step), default=None)

    def since_best(self):
        """Validations after the best."""
        return sum(step > self.best for step in self.means)
