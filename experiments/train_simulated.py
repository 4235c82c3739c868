"""Makes the weights in checkpoints/simulated: CTs simulated from organ label maps, then the four networks.

    python experiments/train_simulated.py --anatomy=organs.nii.gz --legend=organs.json --anatomy_ct=imaging.nii.gz

Several maps may be given with commas. Two groups of cases, one of fine and one of coarse pixels, so that the working
grid is reached from both sides; all phases, so that a quarter is unenhanced. The tumor network learns on kidneys that
the kidney networks found, in cases that those have never seen. --num_cases scales everything; more flags for
kits-train follow after --. Hardware meant: two CPU cores, an hour and a half, most of it in the kidney networks.
`real_ct.py` scores the result on a real CT.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import four_networks  # noqa: E402

SEED = 3107
NUM_CASES = 640
KIDNEY_STEPS, TUMOR_STEPS = 6000, 2000


def recipe(anatomy, num_cases):
    """The `Recipe` of weights from organ maps.

    Args:
        anatomy: the flags of kits-phantom that name the maps.
        num_cases: how many simulations, at least 5.
    """
    fine = num_cases * 5 // 8
    common = [*anatomy, f"--seed={SEED}", "--slice_spacing_mm=2.0,5.0"]
    return four_networks.Recipe(
        simulations=(
            [*common, "--size=256", "--pixel_spacing_mm=1.3,1.9", f"--num_cases={fine}"],
            [*common, "--size=160", "--pixel_spacing_mm=2.2,3.1", f"--first_case={fine}"]
            + [f"--num_cases={num_cases - fine}"],
        ),
        # Of five cases in turn three are the kidney networks' and two, new to these, the tumor network's.
        cases={"kidney": spread(num_cases, range(0, 3)), "tumor": spread(num_cases, range(3, 5))},
        options={"kidney": [f"--set=num_steps={KIDNEY_STEPS}"], "tumor": [f"--set=num_steps={TUMOR_STEPS}"]},
    )


def spread(num_cases, remainders):
    """The case numbers that leave one of some remainders when divided by 5, as the commands take them."""
    return ",".join(str(number) for number in range(num_cases) if number % 5 in remainders)


def main():
    """Runs every part in turn."""
    parser = four_networks.parser("simulated", __doc__.splitlines()[0])
    parser.add_argument("--anatomy", required=True, help="organ label maps, with commas")
    parser.add_argument("--legend", required=True, help="their legend")
    parser.add_argument("--anatomy_ct", help="their CTs, with commas")
    parser.add_argument("--num_cases", type=int, default=NUM_CASES)
    arguments = parser.parse_args()
    anatomy = [f"--anatomy={arguments.anatomy}", f"--legend={arguments.legend}"]
    if arguments.anatomy_ct:
        anatomy.append(f"--anatomy_ct={arguments.anatomy_ct}")
    plan = recipe(anatomy, arguments.num_cases)
    networks = arguments.networks.split(",")
    four_networks.make(plan, arguments.work_dir, arguments.output_dir, networks, arguments.options)


if __name__ == "__main__":
    main()
