"""Makes the weights in checkpoints/simulated: CTs simulated from organ label maps, then the four networks.

    python experiments/train_simulated.py --anatomy=organs.nii.gz --legend=organs.json --anatomy_ct=imaging.nii.gz

Several maps may be given with commas. The simulations are the training suite of `simulation_suites.py`, in all
phases, so that a quarter is unenhanced. The tumor network learns on kidneys that the kidney networks found, in cases
that those have never seen; it starts from that of `simulated`. --num_cases scales everything; more flags for
kits-train follow after --. Hardware meant: two CPU cores that multiply bfloat16 (AVX-512), an hour and a quarter.
`real_ct.py` scores the result on a real CT, `held_out_simulations.py` on simulations.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import four_networks  # noqa: E402
import simulation_suites  # noqa: E402

NUM_CASES = 480
KIDNEY_STEPS, TUMOR_STEPS = 8000, 900
# From random weights, at the preset's rate, 2000 steps ended in a network that finds no tumor anywhere.
TUMOR_START = ["--pretrained=simulated", "--learning_rate=0.003", "--set=clip_norm=1"]
PRECISION = "--precision=mixed_bfloat16"  # pays where each network has one core, and in 3D


def recipe(anatomy, num_cases):
    """The `Recipe` of weights from organ maps.

    Args:
        anatomy: the flags of kits-simulate that name the maps.
        num_cases: how many simulations, at least 5.
    """
    return four_networks.Recipe(
        simulations=simulation_suites.training(anatomy, num_cases),
        # Of five cases in turn three are the kidney networks' and two, new to these, the tumor network's.
        cases={"kidney": spread(num_cases, range(0, 3)), "tumor": spread(num_cases, range(3, 5))},
        options={
            "kidney": [f"--set=num_steps={KIDNEY_STEPS}", PRECISION],
            "tumor": [f"--set=num_steps={TUMOR_STEPS}", PRECISION, *TUMOR_START],
        },
    )


def spread(num_cases, remainders):
    """The case numbers that leave one of some remainders when divided by 5, as the commands take them."""
    return ",".join(str(number) for number in range(num_cases) if number % 5 in remainders)


def main():
    """Runs every part in turn."""
    parser = four_networks.parser("simulated", __doc__.splitlines()[0])
    simulation_suites.add_anatomy(parser)
    parser.add_argument("--num_cases", type=int, default=NUM_CASES)
    arguments = parser.parse_args()
    plan = recipe(simulation_suites.anatomy_flags(arguments), arguments.num_cases)
    networks = arguments.networks.split(",")
    four_networks.make(plan, arguments.work_dir, arguments.output_dir, networks, arguments.options)


if __name__ == "__main__":
    main()
