"""Metrics for `compile(metrics=...)`. They import Keras alone, so that they run on each of its backends."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kits_tf")
class Dice(keras.metrics.Metric):
    """Dice of the foreground over all voxels seen since the last reset; 1 if none is foreground.

    Example:
        >>> dice = Dice()
        >>> dice.update_state([[1, 1, 0, 0]], [[5.0, -5.0, -5.0, -5.0]])
        >>> round(float(dice.result()), 4)
        0.6667
    """

    def __init__(self, name: str = "dice", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.overlap = self.add_variable((), "zeros", name="overlap")
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the foreground voxels of labels (0 or 1) and logits of the same shape; a weight may lack last axes."""
        reference = ops.cast(ops.convert_to_tensor(y_true), self.dtype)
        prediction = ops.cast(ops.convert_to_tensor(y_pred) > 0, self.dtype)
        weight = ops.cast(1.0 if sample_weight is None else sample_weight, self.dtype)
        weight = ops.reshape(weight, (*ops.shape(weight), *[1] * (len(reference.shape) - len(weight.shape))))
        self.overlap.assign_add(ops.sum(weight * reference * prediction))
        self.total.assign_add(ops.sum(weight * (reference + prediction)))

    def result(self) -> Any:
        return ops.where(self.total > 0, 2 * self.overlap / ops.maximum(self.total, 1.0), 1.0)
