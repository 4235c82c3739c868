"""Prediction: engines that run the networks, stage 1 by plane and its fusion, stage 2 by kidney, the segmenter."""
