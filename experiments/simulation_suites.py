"""The CTs simulated from organ maps that weights learn from and are tested on, and their ranges.

The held-out suite shares no pixel spacing, no slice spacing and no seed with the training suite, whose pixels are fine
in five of eight cases and coarse in the others, so that a working grid of 2 mm is reached from both sides. Organs come
from the same maps in both: what is held out is how a body is scanned and deformed, not who it is.
"""

TRAINING_SEED, HELD_OUT_SEED = 3107, 9413
FINE = ("--size=256", "--pixel_spacing_mm=1.3,1.9")
COARSE = ("--size=160", "--pixel_spacing_mm=2.2,3.1")
SLICES = "--slice_spacing_mm=2.0,5.0"


def training(anatomy, num_cases):
    """The flags of each call of kits-simulate that makes the training suite, tuple of lists.

    Args:
        anatomy: the flags that name the organ maps.
        num_cases: how many simulations.
    """
    fine = num_cases * 5 // 8
    common = [*anatomy, f"--seed={TRAINING_SEED}", SLICES]
    return (
        [*common, *FINE, f"--cases=0-{fine - 1}"],
        [*common, *COARSE, f"--cases={fine}-{num_cases - 1}"],
    )


def held_out(anatomy, num_cases=10):
    """The flags of kits-simulate that make the held-out suite: pixels of 1.95 to 2.15 mm, slices of 5.5 to 6 mm."""
    return [
        *anatomy,
        f"--seed={HELD_OUT_SEED}",
        "--size=208",
        "--pixel_spacing_mm=1.95,2.15",
        "--slice_spacing_mm=5.5,6.0",
        f"--num_cases={num_cases}",
    ]


def anatomy_flags(arguments):
    """The flags of kits-simulate that name organ maps, from a parser that `add_anatomy` was called on."""
    flags = [f"--anatomy={arguments.anatomy}", f"--legend={arguments.legend}"]
    return flags + ([f"--anatomy_ct={arguments.anatomy_ct}"] if arguments.anatomy_ct else [])


def add_anatomy(parser):
    """Adds the flags that name organ maps to an experiment's parser."""
    parser.add_argument("--anatomy", required=True, help="organ label maps, with commas")
    parser.add_argument("--legend", required=True, help="their legend")
    parser.add_argument("--anatomy_ct", help="their CTs, with commas")
