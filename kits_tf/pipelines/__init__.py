"""tf.data pipelines: prepared cases to batches, each a function of the config, the seed and the step alone."""
