"""Makes simulated CTs of the abdomen in the KiTS19 layout: random, around real labels, or from organ label maps."""

import contextlib
import os
import pathlib
import re
import sys

from absl import flags

from kits_tf.cli import app
from kits_tf.errors import InputError, UsageError

FLAGS = flags.FlagValues()
PHASES = ("unenhanced", "corticomedullary", "nephrographic", "excretory")
LARGEST_SIZE, LARGEST_SLICES = 2048, 2048

flags.DEFINE_string("output_dir", None, "Folder to write the cases to.", required=True, flag_values=FLAGS)
flags.DEFINE_integer("num_cases", None, "How many cases to make.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("first_case", 0, "Number of the first of them.", lower_bound=0, upper_bound=99999,
                     flag_values=FLAGS)  # fmt: skip
flags.DEFINE_string("cases", "", "Case numbers and ranges to make, e.g. 0-9,160.", flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "Seed; each case depends on it and its own number alone.", lower_bound=0,
                     flag_values=FLAGS)  # fmt: skip
flags.DEFINE_string("masks_dir", None, "Folder of KiTS19-layout labels to simulate imaging around; grid, affine and "
                    "case ids are kept.", flag_values=FLAGS)  # fmt: skip
flags.DEFINE_list("anatomy", None, "Organ label maps to make patients from, each case of one of them.",
                  flag_values=FLAGS)  # fmt: skip
flags.DEFINE_string("legend", None, "JSON legend of the --anatomy maps: label to organ name.", flag_values=FLAGS)
flags.DEFINE_list("anatomy_ct", None, "The CT of each --anatomy map, on its grid, which tells fat from muscle where "
                  "no label does; without it their shape is guessed.", flag_values=FLAGS)  # fmt: skip
flags.DEFINE_integer("size", 512, "Rows and columns; below 512 the field of view is kept.", lower_bound=32,
                     upper_bound=LARGEST_SIZE, flag_values=FLAGS)  # fmt: skip
flags.DEFINE_integer("slices", None, "Slices; drawn as in KiTS19 by default.", lower_bound=1,
                     upper_bound=LARGEST_SLICES, flag_values=FLAGS)  # fmt: skip
flags.DEFINE_list("phases", list(PHASES), f"Contrast phases to draw from: {', '.join(PHASES)}.", flag_values=FLAGS)
flags.DEFINE_string("pixel_spacing_mm", None, "Range LO,HI of the written pixel spacing; as in KiTS19 by default.",
                    flag_values=FLAGS)  # fmt: skip
flags.DEFINE_string("slice_spacing_mm", None, "Range LO,HI of the slice spacing; as in KiTS19 by default.",
                    flag_values=FLAGS)  # fmt: skip
flags.DEFINE_integer("processes", None, "Processes at work; one for each core by default.", lower_bound=1,
                     flag_values=FLAGS)  # fmt: skip

RANGE = re.compile(r"(\d+\.?\d*|\.\d+),(\d+\.?\d*|\.\d+)")


@flags.validator("phases", message=f"takes a comma list of {', '.join(PHASES)}", flag_values=FLAGS)
def phases_are_known(phases):
    """Whether all are phases and there is one."""
    return bool(phases) and set(phases) <= set(PHASES)


def is_range(text):
    """Whether a spacing flag is unset or LO,HI in mm with 0.1 <= LO <= HI <= 20."""
    if text is None:
        return True
    match = RANGE.fullmatch(text.replace(" ", ""))
    return bool(match) and 0.1 <= float(match[1]) <= float(match[2]) <= 20


for spacing_flag in ("pixel_spacing_mm", "slice_spacing_mm"):
    flags.register_validator(
        spacing_flag, is_range, message="takes LO,HI in mm, such as 0.7,0.9, within 0.1 and 20", flag_values=FLAGS
    )


def main():
    """Makes the cases that the flags ask for; returns the exit code."""
    refuse_idle_flags()
    numbers = masked_numbers() if FLAGS.masks_dir is not None else random_numbers()
    organs = organ_sources() if FLAGS.anatomy is not None else None
    from kits_tf.progress import progress
    from kits_tf.simulation.phantom import cases

    app.check_output_folder("output_dir", FLAGS.output_dir)
    pathlib.Path(FLAGS.output_dir).mkdir(parents=True, exist_ok=True)
    options = {"phases": tuple(FLAGS.phases)}
    if FLAGS.masks_dir is None:
        options |= {
            "size": FLAGS.size,
            "slices": FLAGS.slices,
            "pixel_spacing_mm": read_range(FLAGS.pixel_spacing_mm),
            "slice_spacing_mm": read_range(FLAGS.slice_spacing_mm),
        }
    request = cases.Request(FLAGS.output_dir, FLAGS.seed, options, FLAGS.masks_dir, organs)
    processes = FLAGS.processes or usable_cores()
    failures = 0
    for _, reason in progress(cases.make_cases(request, numbers, processes), "Simulating", total=len(numbers)):
        if reason is not None:
            failures += 1
            print(" ".join(reason.split()), file=sys.stderr, flush=True)
    print(f"{len(numbers) - failures} of {len(numbers)} cases in {FLAGS.output_dir}")
    return 1 if failures else 0


def refuse_idle_flags():
    """A flag that would do nothing beside --masks_dir or --cases, or without --anatomy, is an error."""
    if FLAGS.anatomy is None:
        for name in ("legend", "anatomy_ct"):
            if FLAGS[name].present:
                raise UsageError(name, "does nothing without --anatomy")
    if FLAGS.masks_dir is not None:
        for name in ("anatomy", "num_cases", "size", "slices", "pixel_spacing_mm", "slice_spacing_mm", "first_case"):
            if FLAGS[name].present:
                raise UsageError(name, "does nothing beside --masks_dir, whose labels give the grid and the cases")
    if FLAGS.cases:
        for name in ("num_cases", "first_case"):
            if FLAGS[name].present:
                raise UsageError(name, "does nothing beside --cases")


def random_numbers():
    """The numbers of the random cases to make."""
    from kits_tf.data import kits19

    if FLAGS.cases:
        return kits19.parse_cases(FLAGS.cases)
    if FLAGS.num_cases is None:
        raise UsageError("num_cases", "takes how many cases to make; or name them with --cases, or give --masks_dir")
    if FLAGS.first_case + FLAGS.num_cases > 100_000:
        raise UsageError("num_cases", "takes what keeps case numbers below 100000")
    return list(range(FLAGS.first_case, FLAGS.first_case + FLAGS.num_cases))


def masked_numbers():
    """The numbers of the label volumes in --masks_dir that --cases names."""
    from kits_tf.data import kits19

    if not pathlib.Path(FLAGS.masks_dir).is_dir():
        raise UsageError("masks_dir", f"{FLAGS.masks_dir}: no such folder")
    if pathlib.Path(FLAGS.masks_dir).resolve() == pathlib.Path(FLAGS.output_dir).resolve():
        raise UsageError("output_dir", "takes another folder than --masks_dir")
    found = [case for case in kits19.find_cases(FLAGS.masks_dir) if case.label]
    if not found:
        raise UsageError("masks_dir", f"{FLAGS.masks_dir} holds no case_NNNNN/segmentation.nii.gz")
    numbers = [case.number for case in kits19.select_cases(found, FLAGS.cases)]
    if not numbers:
        raise UsageError("cases", f"{FLAGS.cases!r} names no case of {FLAGS.masks_dir}")
    return numbers


def organ_sources():
    """The checked organ maps of --anatomy, an `anatomy.Sources`."""
    if FLAGS.legend is None:
        raise UsageError("legend", "takes the JSON legend of the --anatomy maps")
    cts = FLAGS.anatomy_ct or []
    if not FLAGS.anatomy:
        raise UsageError("anatomy", "takes at least one organ label map")
    if cts and len(cts) != len(FLAGS.anatomy):
        raise UsageError("anatomy_ct", f"takes one CT for each of the {len(FLAGS.anatomy)} --anatomy maps")
    from kits_tf.simulation import anatomy

    with as_usage("legend"):
        legend = anatomy.read_legend(FLAGS.legend)
    for number, path in enumerate(FLAGS.anatomy):
        with as_usage("anatomy"):
            organs = anatomy.read_organs(path, legend)
        with as_usage("anatomy_ct"):
            anatomy.check_ct(organs, cts[number] if cts else None)
    return anatomy.Sources(tuple(FLAGS.anatomy), FLAGS.legend, tuple(cts))


@contextlib.contextmanager
def as_usage(flag):
    """Turns an input that cannot be used into an error of the flag that named it."""
    try:
        yield
    except InputError as error:
        raise UsageError(flag, error) from None


def read_range(text):
    """(low, high) of a spacing flag, None where it is unset."""
    return None if text is None else tuple(float(part) for part in text.split(","))


def usable_cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run():
    """The console command kits-phantom."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
