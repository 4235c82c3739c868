"""Makes the weights in checkpoints/phantom: simulated CTs, three kidney networks, their kidneys, the tumor network.

    python experiments/train_phantom.py --work_dir=build/phantom

The phantoms are the training suite of `phantom_suites.py`; seeds are fixed. In the paper's order, the tumor network
learns on kidneys that the kidney networks found, in 192 cases that those have never seen; of the 288 that they
learned from it takes the labels' kidneys. Every part resumes where an earlier run stopped. The result, `config.json`
and `model.weights.h5` of each network, is copied to --output_dir; what each part took, by the clock and in seconds of
CPU, is printed and written to `seconds.json` in --work_dir. Hardware meant: two CPU cores, 45 minutes. The scores in
its model card are made by `score_phantom_weights.py`; see `checkpoints/phantom/MODEL_CARD.md`.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import four_networks  # noqa: E402
import phantom_suites  # noqa: E402

# The kidneys that are found for the tumor network are as faulty as a patient's, for these cases are new.
RECIPE = four_networks.Recipe(
    simulations=(phantom_suites.TRAINING.flags,),
    cases={"kidney": "0-287", "tumor": f"288-{phantom_suites.TRAINING.num_cases - 1}"},
)


def main():
    """Runs every part in turn."""
    arguments = four_networks.parser("phantom", __doc__.splitlines()[0]).parse_args()
    networks = arguments.networks.split(",")
    four_networks.make(RECIPE, arguments.work_dir, arguments.output_dir, networks, arguments.options)


if __name__ == "__main__":
    main()
