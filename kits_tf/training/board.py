"""TensorBoard: losses, scores, the configuration, and a slab with its label, prediction and reconstruction."""

import importlib.util
import json
import pathlib

import numpy as np
import tensorflow as tf

from kits_tf.training.loop import INPUTS
from kits_tf.training.watcher import Watcher

FOLDER = "tensorboard"


def is_installed():
    """Whether the package that reads and writes summaries is there."""
    return importlib.util.find_spec("tensorboard") is not None


class Board(Watcher):
    """Writes to `folder`/tensorboard.

    Args:
        folder: the network's own folder.
        step: the last step that is done.
        description: what the run depends on, as a dict of dicts.
        sample: a batch, as the network is trained on; the sample with most foreground is shown with each saved state.
        copy: the PlainCopy that the saved weights went through.
    """

    def __init__(self, folder, step, description, sample, copy):
        self._writer = tf.summary.create_file_writer(str(pathlib.Path(folder) / FOLDER))
        labels = np.asarray(sample["label"])
        shown = int(labels.reshape(len(labels), -1).sum(axis=1).argmax())
        self._sample = {name: array[shown : shown + 1] for name, array in sample.items()}
        self._copy = copy
        with self._writer.as_default(step):
            tf.summary.text("config", f"```\n{json.dumps(description, indent=2)}\n```")

    def losses(self, step, names, values):
        with self._writer.as_default():
            for name, value in zip(names, values.mean(axis=0), strict=True):
                tf.summary.scalar(f"loss/{name}", value, step + len(values))

    def scores(self, step, name, scores):
        with self._writer.as_default(step):
            tf.summary.scalar(f"validation/{name}", scores.means[step])

    def saved(self, step):
        with self._writer.as_default(step):
            tf.summary.image("input, label, prediction, reconstruction", self._picture())

    def _picture(self):
        stage = "tumor" if "image" in self._sample else "kidney"
        image = self._sample[INPUTS[stage]]
        outputs = self._copy.model(image, training=False)
        return picture(np.asarray(image), np.asarray(self._sample["label"]), outputs)

    def close(self):
        self._writer.close()


def picture(image, label, outputs):
    """The middle slice of one sample's input, label, predicted probability and reconstruction, side by side.

    Args:
        image: the network's input, [1, height, width, 3] or [1, slices, height, width, 1], in [0, 1].
        label: 0 or 1, of the same shape but with one channel.
        outputs: the network's.

    Returns:
        float32 [1, height, panels x width, 1] in [0, 1].
    """
    panels = [image, label, tf.sigmoid(outputs["logits"])]
    panels += [outputs[name] for name in ("reconstruction", "regression") if name in outputs]
    panels = [np.asarray(panel, np.float32) for panel in panels]
    panels = [panel[:, panel.shape[1] // 2] if panel.ndim == 5 else panel for panel in panels]
    panels = [panel[..., panel.shape[-1] // 2][..., None] for panel in panels]
    return np.clip(np.concatenate(panels, axis=2), 0, 1)
