"""What options of prediction may be, for flags and arguments alike; without NumPy, which `--help` need not load."""

STAGES = ("both", "kidney", "tumor")
FUSION = ("union", "majority", "mean")
TTA = ("none", "shift", "flip")
