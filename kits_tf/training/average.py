"""The moving average of a network's weights: steadier than the weights themselves, and what is validated and kept."""

import tensorflow as tf


class Average(tf.Module):
    """The exponential moving average of the trainable weights.

    After step t (from 1), average += (1 - d) (weight - average) with d = min(decay, (1 + t) / (10 + t)), so that the
    first weights are soon forgotten (as `tf.train.ExponentialMovingAverage` does it). Batch normalisation's moving
    statistics are averages already and stay as they are.

    Args:
        model: a built keras.Model; make the average in the scope of its strategy.
        decay: below 1; 0 for no average, the weights themselves then stand for it.
    """

    def __init__(self, model, decay):
        super().__init__()
        self._model = model
        self._decay = decay
        weights = model.trainable_variables if decay else []
        self.values = [tf.Variable(weight.numpy(), trainable=False, name="average") for weight in weights]

    def update(self, step):
        """Takes in the weights after `step` steps; called on each replica."""
        step = tf.cast(step, tf.float32)
        decay = tf.minimum(self._decay, (1 + step) / (10 + step))
        for value, weight in zip(self.values, self._model.trainable_variables if self.values else [], strict=True):
            value.assign(value + (1 - decay) * (tf.cast(weight.value, tf.float32) - value))

    def start_from(self, weights):
        """Gives the network weights, in the order of `model.get_weights`, and begins the averages there."""
        self._model.set_weights(weights)
        for value, weight in zip(self.values, self._model.trainable_variables if self.values else [], strict=True):
            value.assign(weight.numpy())

    def weights(self):
        """The network's weights with the averages in place, in the order of `model.get_weights`."""
        averages = {id(v): a for v, a in zip(self._model.trainable_variables, self.values, strict=False)}
        return [averages.get(id(variable), variable).numpy() for variable in self._model.weights]
