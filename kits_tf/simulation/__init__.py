"""Simulated CTs with kidneys and tumors, made from organ label maps."""

from kits_tf.simulation.case import SimulatedCase, simulate
from kits_tf.simulation.organ_map import Anatomy, bundled_anatomies

__all__ = ["Anatomy", "SimulatedCase", "bundled_anatomies", "simulate"]
