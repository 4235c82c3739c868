"""Training: one loop for every strategy, and what it needs to be stopped and continued at any step."""
