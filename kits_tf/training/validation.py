"""Validation during training: whole validation volumes through the functions that predict, scored by KiTS19's Dice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np

from kits_tf.checkpoint import VALIDATION_NAME, network_name
from kits_tf.config import NetworkConfig
from kits_tf.data.records import AIR_HU, case_of, read_record, restore
from kits_tf.data.stage_inputs import check_mask, kidney_mask
from kits_tf.errors import CancelledError
from kits_tf.evaluation.metrics import dice
from kits_tf.inference.engines.tensorflow import TensorFlowEngine
from kits_tf.inference.segmenter import KIDNEY, Segmenter
from kits_tf.training.callbacks import append_rows, drop_rows, rows_until
from kits_tf.training.state import TrainingState
from kits_tf.training.strategies import ALONE, Worker

BEST_NAME = "best.weights.h5"
BACKGROUND = {"kidney": 0, "tumor": KIDNEY}  # labels above it are the network's foreground


class Validation:
    """Validates a network at the steps that its config sets, and keeps the best weights.

    A kidney network is scored on its own plane, without the others; the tumor network within the kidneys that it is
    trained on.

    Args:
        config: The network's config.
        state: Holds the weights to score; writes the best ones.
        records: Paths of the validation cases.
        kidney_masks: "labels" or a folder of predictions, for the tumor network.
        worker: This process, one of those that share the cases.
    """

    def __init__(
        self,
        config: NetworkConfig,
        state: TrainingState,
        records: Sequence[str],
        kidney_masks: str | None = None,
        worker: Worker = ALONE,
    ) -> None:
        self.name = f"{config.stage}_dice"
        self._config, self._state, self._worker = config, state, worker
        self._kidney_masks = kidney_masks
        network = network_name(config)
        self._segmenter = Segmenter(TensorFlowEngine.of_model(state.network, network, config), {network: config})
        self._records = {case_of(path): path for path in records}
        for case in self._records:
            check_mask(case, kidney_masks or "labels")
        self._path = state.folder / VALIDATION_NAME
        rows = [row.split(",") for row in rows_until(self._path, state.step)]
        self.scores = {int(row[0]): float(row[1]) for row in rows}  # mean Dice by step, for early stopping
        if worker.is_chief:
            drop_rows(self._path, state.step)

    @property
    def best_step(self) -> int:
        """The step of the best score, the earlier of equal ones."""
        return max(sorted(self.scores), key=self.scores.__getitem__)

    def next_step(self, step: int) -> int:
        """Return the step of the next validation after a step."""
        every = self._config.validate_every
        return min(self._config.num_steps, (step // every + 1) * every)

    def is_due(self, step: int) -> bool:
        """Return whether the weights after a step must be validated and have not been yet."""
        return 0 < step == self.next_step(step - 1) and step not in self.scores

    def has_stalled(self) -> bool:
        """Return whether the last `patience` validations did not improve the score (early stopping)."""
        patience = self._config.patience
        return bool(patience and self.scores) and sum(step > self.best_step for step in self.scores) >= patience

    def run(
        self,
        step: int,
        agree: Callable[..., list[float]],
        is_stopped: Callable[[], bool],
        callbacks: keras.callbacks.CallbackList,
    ) -> bool:
        """Score the weights of `state.network` after `step` steps; write the score and the best weights.

        `agree` returns the means of numbers over all workers. `is_stopped` is called between batches of slabs; once it
        returns True on any worker, the validation ends on all of them and False is returned.
        """
        callbacks.on_test_begin()
        try:
            own = self.score_cases(is_stopped)
        except CancelledError:
            own = dict.fromkeys(self._records, 0.0)
        stopped, *means = agree(is_stopped(), *own.values())
        if stopped:
            return False
        cases = {case: mean * self._worker.count for case, mean in zip(own, means, strict=True)}
        score = round(float(np.mean(list(cases.values()))), 6)
        if not self.scores or score > self.scores[self.best_step]:
            self._state.save_weights(self._state.folder / BEST_NAME)  # before their row, in case of a crash
        self.scores[step] = score
        if self._worker.is_chief:
            append_rows(self._path, [{"step": step, self.name: score, **cases}])
        best = {"best": self.scores[self.best_step], "best_step": self.best_step}
        callbacks.on_test_end({"step": step, self.name: score, **best})
        return True

    def score_cases(self, is_stopped: Callable[[], bool] = lambda: False) -> dict[str, float]:
        """Return the Dice of this worker's share of the cases, 0 for those of other workers."""
        return {
            case: self._score(path, is_stopped) if number % self._worker.count == self._worker.index else 0.0
            for number, (case, path) in enumerate(self._records.items())
        }

    def _score(self, path: str, is_stopped: Callable[[], bool]) -> float:
        record = read_record(path)
        mask = None
        if self._kidney_masks is not None:
            mask = restore(kidney_mask(record, case_of(path), self._kidney_masks), record, False)

        def progress(share: float) -> None:
            if is_stopped():
                raise CancelledError

        progress(0)
        hu = restore(record.image, record, AIR_HU)
        labels = self._segmenter.run(hu, record.spacing_mm, mask=mask, progress=progress).labels
        threshold = BACKGROUND[self._config.stage]
        return dice(labels > threshold, restore(record.label, record, 0) > threshold)
