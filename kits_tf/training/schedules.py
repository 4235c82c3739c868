"""Learning rates as functions of the step."""

import math

from keras import ops, optimizers


class WarmupSchedule(optimizers.schedules.LearningRateSchedule):
    """Rises linearly over the first steps, then stays constant, falls to zero along half a cosine, or falls in steps.

    Args:
        learning_rate: the highest rate.
        warmup_steps: steps of the rise; step s of them runs at (s + 1) / warmup_steps of the highest rate.
        num_steps: steps of the whole run.
        shape: "constant", "cosine" or "step".
        decay_steps: of "step": at every multiple of it, counted from the first step, the rate is multiplied ...
        decay_factor: ... by this.
    """

    def __init__(self, learning_rate, warmup_steps, num_steps, shape, decay_steps=1, decay_factor=1.0):
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.num_steps = num_steps
        self.shape = shape
        self.decay_steps = decay_steps
        self.decay_factor = decay_factor

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = ops.minimum((step + 1.0) / max(1, self.warmup_steps), 1.0)
        if self.shape == "constant":
            return self.learning_rate * rise
        if self.shape == "step":
            return self.learning_rate * rise * self.decay_factor ** ops.floor(step / self.decay_steps)
        falling = max(1, self.num_steps - self.warmup_steps)
        share = ops.clip((step - self.warmup_steps) / falling, 0.0, 1.0)
        return self.learning_rate * rise * (1 + ops.cos(math.pi * share)) / 2

    def get_config(self):
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "num_steps": self.num_steps,
            "shape": self.shape,
            "decay_steps": self.decay_steps,
            "decay_factor": self.decay_factor,
        }


def make_schedule(config):
    """The schedule of a config."""
    return WarmupSchedule(
        config.learning_rate,
        config.warmup_steps,
        config.num_steps,
        config.schedule,
        config.decay_steps,
        config.decay_factor,
    )
