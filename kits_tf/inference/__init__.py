"""Prediction: engines that run networks, stage 1 by plane and its fusion, stage 2 by kidney, and the segmenter."""
