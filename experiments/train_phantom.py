"""Makes the weights in checkpoints/phantom: simulated CTs, three kidney networks, their kidneys, the tumor network.

    python experiments/train_phantom.py --work_dir=build/phantom

The phantoms are the training suite of `phantom_suites.py`; seeds are fixed. In the paper's order, the tumor network
learns on kidneys that the kidney networks found: in the cases that those learned from and, a fourth, in new ones. Each
network is trained again from where the first training ended: the kidney networks, twice, under wider looks, the tumor
network, three times, in the phases with contrast alone, as most tumors look like kidney without. It learns on
kidneys as they were found after the first refining.
Every part resumes where an earlier run stopped. The result, `config.json` and `model.weights.h5` of each network, is
copied to --output_dir; what each part took, by the clock and in seconds of CPU, is printed and written to
`seconds.json` in --work_dir. Hardware meant: two CPU cores that multiply bfloat16 (AVX-512), six hours; with
`--short`, which takes fewer phantoms and fewer steps and scores lower, 45 minutes. The model card,
`checkpoints/phantom/MODEL_CARD.md`, has the scores, made by `score_phantom_weights.py`.
"""

import dataclasses
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import four_networks  # noqa: E402
import phantom_suites  # noqa: E402

PRECISION = "--precision=mixed_bfloat16"  # pays where each network has one core, and in 3D
# Wider than the preset's: the test suite has a contrast phase that training never sees.
LOOKS = ("--set=max_intensity_scaling=0.2", "--set=max_shift_hu=25", "--set=max_gamma=0.3")
WIDER_LOOKS = ("--set=max_intensity_scaling=0.4", "--set=max_shift_hu=40", "--set=max_gamma=0.5")
STEADY = ("--set=warmup_steps=100", "--set=clip_norm=1")
TUMOR_REFINING = (PRECISION, *LOOKS, *STEADY)
LONG = four_networks.Recipe(
    simulations=(phantom_suites.TRAINING.flags,),
    cases={
        "kidney": "0-359",
        "tumor": "0-479",
        "tumor_refined": phantom_suites.TRAINING.cases_in(("corticomedullary", "excretory")),
    },
    options={
        "kidney": [PRECISION, *LOOKS, "--set=num_steps=9000"],
        "tumor": [PRECISION, *LOOKS, "--set=num_steps=5000", *STEADY],
    },
    tumor_kidneys=1,
    refining={
        "kidney": [
            [PRECISION, *WIDER_LOOKS, "--set=num_steps=4000", "--set=learning_rate=0.004"],
            [PRECISION, *WIDER_LOOKS, "--set=num_steps=6000", "--set=learning_rate=0.005", "--seed=2"],
        ],
        "tumor": [
            # Other seeds: other draws of the same cases.
            [*TUMOR_REFINING, "--set=num_steps=6000", "--set=learning_rate=0.006"],
            [*TUMOR_REFINING, "--set=num_steps=8500", "--set=learning_rate=0.006", "--seed=2"],
            [*TUMOR_REFINING, "--set=num_steps=3600", "--set=learning_rate=0.003", "--seed=3"],
        ],
    },
)
SHORT = four_networks.Recipe(
    simulations=(dataclasses.replace(phantom_suites.TRAINING, num_cases=300).flags,),
    cases={"kidney": "0-199", "tumor": "0-299"},
    options={"kidney": [PRECISION], "tumor": [PRECISION]},
)


def main():
    """Runs every part in turn."""
    parser = four_networks.parser("phantom", __doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="the recipe of 45 minutes")
    arguments = parser.parse_args()
    recipe, networks = SHORT if arguments.short else LONG, arguments.networks.split(",")
    four_networks.make(recipe, arguments.work_dir, arguments.output_dir, networks, arguments.options)


if __name__ == "__main__":
    main()
