"""Simulated CTs of the abdomen with kidneys and kidney tumors, from nothing but random numbers."""

from kits_tf.simulation.phantom.materials import PHASES
from kits_tf.simulation.phantom.simulation import simulate

__all__ = ["PHASES", "simulate"]
