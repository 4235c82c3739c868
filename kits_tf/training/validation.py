"""Validation while training: whole validation volumes through the very functions that predict, by KiTS19's Dice."""

from kits_tf.checkpoint import network_name
from kits_tf.data.records import AIR_HU, read_record, restore
from kits_tf.data.stage_inputs import case_of, check_mask, kidney_mask
from kits_tf.evaluation.metrics import dice
from kits_tf.inference.engines.tensorflow import TensorFlowEngine
from kits_tf.inference.segmenter import KIDNEY, Segmenter

FOREGROUND = {"kidney": 0, "tumor": KIDNEY}  # labels above it are the network's foreground


class StopError(Exception):
    """A validation that was not carried to its end."""


class Validation:
    """Scores a network on validation cases.

    A kidney network is scored by what its plane alone finds, components under 2 ml dropped as in prediction; the tumor
    network inside the kidneys that it also trains on: those of the labels, or of a folder of predictions.

    Args:
        config: a KidneyConfig or TumorConfig.
        model: the network to score, a keras.Model on one device.
        records: paths of prepared cases.
        kidney_masks: "labels" or a folder, for the tumor network.

    Attributes:
        name: of the score: "kidney_dice" or "tumor_dice".
        cases: the case ids.

    Raises:
        InputError: a prediction is missing in the folder.
    """

    def __init__(self, config, model, records, kidney_masks=None):
        name = network_name(config)
        self._segmenter = Segmenter(TensorFlowEngine.of_model(model, name, config), {name: config})
        self._threshold = FOREGROUND[config.stage]
        self._records = list(records)
        self._kidney_masks = kidney_masks
        self.name = f"{config.stage}_dice"
        self.cases = [case_of(path) for path in self._records]
        for case in self.cases:
            check_mask(case, kidney_masks or "labels")

    def scores(self, worker, workers, is_asked_to_stop):
        """The Dice of one worker's share of the cases.

        Args:
            worker, workers: this is the share of `worker` (from 0) of `workers`.
            is_asked_to_stop: called between two batches of slabs; if it says so, validation ends.

        Returns:
            list with a number for each case, 0 where it is another worker's.

        Raises:
            StopError: it was asked to stop.
            InputError: a record or a mask cannot be used.
        """
        return [
            self._score(path, is_asked_to_stop) if number % workers == worker else 0.0
            for number, path in enumerate(self._records)
        ]

    def _score(self, path, is_asked_to_stop):
        record = read_record(path)
        hu = restore(record.image, record, AIR_HU)
        mask = None
        if self._kidney_masks is not None:
            mask = kidney_mask(record, case_of(path), self._kidney_masks)
            mask = restore(mask, record, False)

        def progress(share):
            if is_asked_to_stop():
                raise StopError

        progress(0)
        labels = self._segmenter.run(hu, record.spacing_mm, mask, progress, box=record.box).labels
        reference = restore(record.label, record, 0)
        return dice(labels > self._threshold, reference > self._threshold)
