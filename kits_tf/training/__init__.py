"""Training of one network at a time, under every tf.distribute strategy, with exact resume."""
