"""Scores of predictions against references, and measurements of labels."""
