"""What looks on while a network is trained."""


class Watcher:
    """Is told of losses and scores; does nothing with them by itself."""

    def losses(self, step, names, values):
        """The losses of the steps after `step`: their names, and float32 [steps, names]."""

    def scores(self, step, name, scores):
        """A validation after `step` steps: what its score is called, and all `Scores` up to here."""

    def saved(self, step):
        """The state after `step` steps is saved, its weights in the PlainCopy."""

    def close(self):
        """The run ends here."""
