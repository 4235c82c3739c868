"""What options of prediction may be, for flags and arguments alike; without NumPy, which `--help` need not load."""

from kits_tf.config import PLANES

STAGES = ("both", "kidney", "tumor")
FUSION = ("union", "majority", "mean")
TTA = ("none", "shift", "flip")
PLANES_TAKEN = f"takes one or more of {','.join(PLANES)}, each once"


def are_planes(planes):
    """Whether these are what PLANES_TAKEN says."""
    return bool(planes) and all(plane in PLANES for plane in planes) and len(set(planes)) == len(planes)
