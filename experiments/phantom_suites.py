"""The phantoms that released weights learn from and are tested on: the one place where their ranges are set.

The test suite shares no contrast phase, no pixel spacing, no slice spacing and no seed with the training suite. Either
is made by this file's flags:

    kits-phantom --output_dir=train $(python experiments/phantom_suites.py train)
    kits-phantom --output_dir=test $(python experiments/phantom_suites.py test)

which is the same as writing out

    kits-phantom --output_dir=train --seed=1901 --num_cases=480 --size=256 --slices=64 \
        --phases=unenhanced,corticomedullary,excretory --pixel_spacing_mm=1.4,1.7 --slice_spacing_mm=3.0,5.0
    kits-phantom --output_dir=test --seed=7702 --num_cases=10 --size=256 --slices=88 \
        --phases=nephrographic --pixel_spacing_mm=1.75,1.95 --slice_spacing_mm=2.0,2.75
"""

import dataclasses
import sys


@dataclasses.dataclass(frozen=True)
class Suite:
    """A set of phantoms.

    Attributes:
        seed: seed of the set.
        num_cases: number of cases, from case 0.
        size: rows and columns.
        slices: number of slices, so that kidneys fit and training data stay small.
        phases: contrast phases.
        pixel_spacing_mm, slice_spacing_mm: (low, high) of the voxels.
    """

    seed: int
    num_cases: int
    size: int
    slices: int
    phases: tuple
    pixel_spacing_mm: tuple
    slice_spacing_mm: tuple

    @property
    def options(self):
        """Keyword arguments of `kits_tf.simulation.phantom.simulate`, beside seed and case."""
        return {
            "size": self.size,
            "slices": self.slices,
            "phases": self.phases,
            "pixel_spacing_mm": self.pixel_spacing_mm,
            "slice_spacing_mm": self.slice_spacing_mm,
        }

    def cases_in(self, phases):
        """The cases that have one of some contrast phases, as `--cases` takes them: "1,4,5"."""
        from kits_tf.simulation.phantom.simulation import choose_phase

        drawn = [self.phases[choose_phase((self.seed, case), len(self.phases))] for case in range(self.num_cases)]
        return ",".join(str(case) for case, phase in enumerate(drawn) if phase in phases)

    @property
    def flags(self):
        """The flags of kits-phantom that make the set, list of str."""
        return [
            f"--seed={self.seed}",
            f"--num_cases={self.num_cases}",
            f"--size={self.size}",
            f"--slices={self.slices}",
            f"--phases={','.join(self.phases)}",
            f"--pixel_spacing_mm={','.join(map(str, self.pixel_spacing_mm))}",
            f"--slice_spacing_mm={','.join(map(str, self.slice_spacing_mm))}",
        ]


TRAINING = Suite(
    seed=1901,
    num_cases=480,
    size=256,
    slices=64,
    phases=("unenhanced", "corticomedullary", "excretory"),
    pixel_spacing_mm=(1.4, 1.7),
    slice_spacing_mm=(3.0, 5.0),
)

TEST = Suite(
    seed=7702,
    num_cases=10,
    size=256,
    slices=88,
    phases=("nephrographic",),
    pixel_spacing_mm=(1.75, 1.95),
    slice_spacing_mm=(2.0, 2.75),
)

VALIDATION = dataclasses.replace(TEST, seed=5803, num_cases=30)
"""As the test suite, of other patients and more of them: ten are few."""

SUITES = {"train": TRAINING, "test": TEST, "validation": VALIDATION}


def main():
    """Prints the flags of the suite named on the command line."""
    if len(sys.argv) != 2 or sys.argv[1] not in SUITES:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(SUITES)}")
    print(*SUITES[sys.argv[1]].flags)


if __name__ == "__main__":
    main()
