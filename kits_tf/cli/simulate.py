"""Make simulated CTs with kidneys and tumors from organ label maps, in the KiTS19 layout.

Example:
    kits-simulate --output_dir=ct --num_cases=2
"""

import functools
import os
import pathlib
import re
from typing import Any

from absl import flags

from kits_tf.cli import app
from kits_tf.config import PHASES
from kits_tf.errors import InputError, UsageError
from kits_tf.progress import counted, progress

FLAGS = flags.FlagValues()
RANGE = re.compile(r"(\d+\.?\d*|\.\d+),(\d+\.?\d*|\.\d+)")

CASES, SCAN, MAPS = (app.group(FLAGS, name) for name in ("Cases", "Scan", "Organ maps"))
flags.DEFINE_string("output_dir", None, "Folder for the cases; complete ones are kept.", required=True, **CASES)
flags.DEFINE_integer(
    "num_cases", None, "Number of cases, counted from 0.", lower_bound=1, upper_bound=100_000, **CASES
)
flags.DEFINE_string("cases", "", "Cases instead of --num_cases, such as 0-9,160.", **CASES)
flags.DEFINE_integer("seed", 0, "Seed; a case depends only on it and its own number.", lower_bound=0, **CASES)
flags.DEFINE_integer("workers", None, "Cases simulated at once; default: one per core.", lower_bound=1, **CASES)
flags.DEFINE_alias("processes", "workers", **CASES)
flags.DEFINE_integer(
    "size", 512, "Rows and columns; fewer than 512 make pixels larger.", lower_bound=32, upper_bound=2048, **SCAN
)
flags.DEFINE_integer(
    "slices", None, "Number of slices; default: drawn for each case.", lower_bound=1, upper_bound=2048, **SCAN
)
flags.DEFINE_list("phases", list(PHASES), "Contrast phases to draw from.", **SCAN)
flags.DEFINE_string(
    "pixel_spacing_mm", None, "Range LO,HI to draw pixel spacings from; default: KiTS19's and wider.", **SCAN
)
flags.DEFINE_string(
    "slice_spacing_mm", None, "Range LO,HI to draw slice spacings from; default: KiTS19's and wider.", **SCAN
)
flags.DEFINE_list("anatomy", None, "Organ label maps; each case draws one. Default: the bundled maps.", **MAPS)
flags.DEFINE_string("legend", None, "JSON file that maps the labels of --anatomy to organ names.", **MAPS)
flags.DEFINE_list("anatomy_ct", None, "The CT of each --anatomy map, to tell unlabelled tissues apart.", **MAPS)


def main() -> int:
    """Make the cases; return the exit code."""
    if not FLAGS.phases or not set(FLAGS.phases) <= set(PHASES):
        raise UsageError("phases", f"must be a comma list of {', '.join(PHASES)}")
    options: dict[str, Any] = {"size": FLAGS.size, "slices": FLAGS.slices, "phases": tuple(FLAGS.phases)}
    options |= {flag: _range(flag) for flag in ("pixel_spacing_mm", "slice_spacing_mm")}
    numbers = _case_numbers()
    options["anatomies"] = _anatomies()
    app.check_output_folder("output_dir", FLAGS.output_dir)
    from kits_tf import runtime

    folder = pathlib.Path(FLAGS.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    work = functools.partial(_make, folder, FLAGS.seed, options)
    failures = 0
    reasons = runtime.in_processes(work, numbers, FLAGS.workers or len(os.sched_getaffinity(0)))
    for reason in progress(reasons, "Simulating", total=len(numbers)):
        if reason is not None:
            failures += 1
            app.complain("kits-simulate", reason)
    print(f"{len(numbers) - failures} of {counted(len(numbers), 'case')} in {folder}")
    return app.EXIT_SOME_FAILED if failures else app.EXIT_DONE


def _range(flag: str) -> tuple[float, float] | None:
    """Return (low, high) of a spacing flag, None if it is unset."""
    text = FLAGS[flag].value
    if text is None:
        return None
    match = RANGE.fullmatch(text.replace(" ", ""))
    if not match or not 0.1 <= float(match[1]) <= float(match[2]) <= 20:
        raise UsageError(flag, f"must be LO,HI in mm from 0.1 to 20, such as 0.7,0.9, got {text!r}")
    return float(match[1]), float(match[2])


def _case_numbers() -> list[int]:
    """Return the numbers of the cases to make."""
    from kits_tf.data import kits19

    if bool(FLAGS.cases) == (FLAGS.num_cases is not None):
        raise UsageError("num_cases", "either this flag or --cases is required, not both")
    return kits19.parse_cases(FLAGS.cases) if FLAGS.cases else list(range(FLAGS.num_cases))


def _anatomies() -> tuple[Any, ...]:
    """Return the checked `Anatomy` of each --anatomy map; empty for the bundled ones."""
    maps, cts = FLAGS.anatomy or [], FLAGS.anatomy_ct or []
    for flag in ("legend", "anatomy_ct"):
        if FLAGS[flag].present and not maps:
            raise UsageError(flag, "needs --anatomy, with one or more organ label maps")
    if not maps:
        return ()
    if FLAGS.legend is None:
        raise UsageError("legend", "is required with --anatomy")
    if len(cts) not in (0, len(maps)):
        raise UsageError("anatomy_ct", f"must be one CT for each of the {len(maps)} --anatomy maps")
    from kits_tf.simulation import Anatomy

    anatomies = tuple(map(Anatomy, maps, [FLAGS.legend] * len(maps), cts or [None] * len(maps)))
    for anatomy in anatomies:
        anatomy.check()
    return anatomies


def _make(folder: pathlib.Path, seed: int, options: dict[str, Any], number: int) -> str | None:
    """Write one case unless it exists; return the reason of a failure, else None."""
    from kits_tf import simulation
    from kits_tf.data import kits19
    from kits_tf.io import volume

    case = folder / kits19.case_name(number)
    image, label = case / kits19.IMAGE_NAME, case / kits19.LABEL_NAME
    if image.is_file() and label.is_file():
        return None
    try:
        hu, labels, spacing_mm = simulation.simulate(seed, number, **options)
        ct = volume.Volume(hu, spacing_mm)
        volume.write_volume(ct, image)
        volume.write_labels(labels, ct, label)
    except InputError as error:
        return str(error)
    except OSError as error:
        return f"{case}: {error.strerror}"
    return None


def run() -> None:
    """Run kits-simulate."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
