"""Makes the weights in checkpoints/phantom: simulated CTs, three kidney networks, their kidneys, the tumor network.

    python experiments/train_phantom.py --work_dir=build/phantom

The phantoms are the training suite of `phantom_suites.py`; seeds are fixed. In the paper's order, the tumor network
learns on kidneys that the kidney networks found: in the cases that those learned from and, a third, in new ones. Every
part resumes where an earlier run stopped. The result, `config.json` and `model.weights.h5` of each network, is copied
to --output_dir; what each part took, by the clock and in seconds of CPU, is printed and written to `seconds.json` in
--work_dir. Hardware meant: two CPU cores that multiply bfloat16 (AVX-512), 45 minutes. Its model card,
`checkpoints/phantom/MODEL_CARD.md`, has the scores, made by `score_phantom_weights.py`.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import four_networks  # noqa: E402
import phantom_suites  # noqa: E402

PRECISION = ["--precision=mixed_bfloat16"]  # pays where each network has one core, and in 3D
RECIPE = four_networks.Recipe(
    simulations=(phantom_suites.TRAINING.flags,),
    cases={"kidney": "0-199", "tumor": f"0-{phantom_suites.TRAINING.num_cases - 1}"},
    options={"kidney": PRECISION, "tumor": PRECISION},
)


def main():
    """Runs every part in turn."""
    arguments = four_networks.parser("phantom", __doc__.splitlines()[0]).parse_args()
    networks = arguments.networks.split(",")
    four_networks.make(RECIPE, arguments.work_dir, arguments.output_dir, networks, arguments.options)


if __name__ == "__main__":
    main()
