"""Simulated CTs from organ label maps: real shapes, moved and deformed, in random intensities."""

from kits_tf.simulation.anatomy.legend import read_legend
from kits_tf.simulation.anatomy.organ_map import check_ct, read_organs
from kits_tf.simulation.anatomy.simulation import Sources, simulate

__all__ = ["Sources", "check_ct", "read_legend", "read_organs", "simulate"]
