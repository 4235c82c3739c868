"""Trains all four networks in the paper's order, the tumor's on predicted kidneys; run again, it goes on.

The commands are those of kits-train and kits-predict; --print_only shows them, to be run one by one or on several
machines that share the folders. --parts runs some of them here.
"""

import pathlib
import shlex
import subprocess
import sys

from absl import flags

from kits_tf import checkpoint
from kits_tf import config as configs
from kits_tf.cli import app
from kits_tf.cli.train import LARGEST_SEED
from kits_tf.config import check_sizes
from kits_tf.errors import UsageError

FLAGS = flags.FlagValues()
PARTS = (*configs.PLANES, "kidneys", "tumor")
KIDNEY_FLAGS, TUMOR_FLAGS = ("set", "kidney_set"), ("set", "tumor_set")
FOLDS_FLAGS = (*KIDNEY_FLAGS, "fold_set")

flags.DEFINE_string("data_dir", None, "A folder made by kits-prepare.", required=True, flag_values=FLAGS)
flags.DEFINE_string("checkpoint_dir", None, "Folder of the four networks.", required=True, flag_values=FLAGS)
flags.DEFINE_enum("preset", "paper", list(configs.PRESETS), "Options to start from.", flag_values=FLAGS)
flags.DEFINE_multi_string("set", [], "KEY=VALUE for all networks, as in kits-train; repeatable.", flag_values=FLAGS)
flags.DEFINE_multi_string("kidney_set", [], "KEY=VALUE for the kidney networks alone.", flag_values=FLAGS)
flags.DEFINE_multi_string("fold_set", [], "KEY=VALUE for the folds' kidney networks alone.", flag_values=FLAGS)
flags.DEFINE_multi_string("tumor_set", [], "KEY=VALUE for the tumor network alone.", flag_values=FLAGS)
flags.DEFINE_string(
    "kidney_masks", "out_of_fold", "What the tumor network sees as kidney: 'out_of_fold' predictions, 'labels', or a "
    "folder of prediction_NNNNN.nii.gz.", flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "pretrained", None, "Start all networks from those of a checkpoint folder, or of released weights by name.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_integer("num_folds", 5, "Folds of the out-of-fold predictions.", lower_bound=2, flag_values=FLAGS)
flags.DEFINE_integer(
    "fold", None, "Cross-validation: this fold of kits-prepare --num_folds is for validation.", lower_bound=0,
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_list("parts", list(PARTS), "What to run here, with commas.", flag_values=FLAGS)
flags.DEFINE_bool(
    "print_only", False, "Print the commands and run none; makes the folds' views of --data_dir, which they read, in "
    "--checkpoint_dir.", flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_integer(
    "seed", 0, "Of weights, order and augmentation.", lower_bound=0, upper_bound=LARGEST_SEED, flag_values=FLAGS
)
flags.DEFINE_enum(
    "strategy", "auto", ["auto", "one", "mirrored"], "How the devices of this machine share the work.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_enum(
    "precision", "float32", ["float32", "mixed_bfloat16", "mixed_float16"], "Of the training.", flag_values=FLAGS
)
flags.DEFINE_bool("deterministic", False, "The same bits on every run, slower.", flag_values=FLAGS)
flags.DEFINE_enum(
    "engine", "auto", ["auto", "tensorflow", "openvino"], "What finds the training cases' kidneys.", flag_values=FLAGS
)

flags.register_validator(
    "parts",
    lambda parts: parts and set(parts) <= set(PARTS),
    message=f"takes some of {','.join(PARTS)}",
    flag_values=FLAGS,
)


def main():
    """Runs the recipe's commands; returns the exit code of the one that failed, else 0."""
    check_folders()
    options = make_options()
    from kits_tf.training import recipe

    steps = [step for step in recipe.steps(options) if step.part in FLAGS.parts]
    if not steps:
        takes = "there are none to find; takes a plane or tumor"
        raise UsageError("parts", f"kidneys goes with --kidney_masks=out_of_fold, else {takes}")
    for number, step in enumerate(steps, 1):
        if FLAGS.print_only:
            print(shlex.join(step.words))
            continue
        print(f"[{number}/{len(steps)}] {step.name}", flush=True)
        if step.part == "kidneys":
            recipe.forget_outdated(step)
        try:
            code = run_command(step.words)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted in {step.name}; the same command goes on there") from None
        if code:
            app.complain("kits-recipe", f"{step.name} ended with exit code {code}; the same command goes on there")
            return code
    return 0


def run_command(words):
    """Runs one of this package's commands in a process of its own; returns its exit code."""
    module = words[0].replace("kits-", "kits_tf.cli.")
    process = subprocess.Popen([sys.executable, "-m", module, *words[1:]])
    try:
        return process.wait()
    except BaseException:
        process.terminate()  # it saves first
        process.wait()
        raise


def check_folders():
    """Raises UsageError for folders that cannot be used."""
    if not (pathlib.Path(FLAGS.data_dir) / "dataset.json").is_file():
        takes = "takes a local folder made by kits-prepare"
        raise UsageError("data_dir", f"{FLAGS.data_dir} holds no dataset.json; {takes}")
    if pathlib.Path(FLAGS.checkpoint_dir).is_file():
        raise UsageError("checkpoint_dir", f"{FLAGS.checkpoint_dir} is a file; takes a folder")
    if FLAGS.pretrained is not None:
        checkpoint.find(FLAGS.pretrained)
    if FLAGS.kidney_masks not in ("out_of_fold", "labels") and not pathlib.Path(FLAGS.kidney_masks).is_dir():
        raise UsageError("kidney_masks", f"{FLAGS.kidney_masks}: takes out_of_fold, labels or a folder")


def check_config(preset, names):
    """Raises UsageError where flags make no config of a preset, naming the first of them that brings it about."""
    problem = problem_of(preset, names)
    if problem is not None:
        count = next(n for n in range(1, len(names) + 1) if problem_of(preset, names[:n]) == problem)
        raise UsageError(names[count - 1], problem)


def problem_of(preset, names):
    """What is wrong with the config that flags make of a preset, or None."""
    try:
        check_sizes(configs.override(preset, assignments(names)))
    except UsageError as error:
        return str(error.reason)
    return None


def assignments(names):
    """The KEY=VALUE of several flags, in their order."""
    return [assignment for name in names for assignment in FLAGS[name].value]


def make_options():
    """The recipe's Options, every --set checked before anything runs."""
    from kits_tf.training.recipe import Options

    for plane in configs.PLANES:
        for names in (KIDNEY_FLAGS, FOLDS_FLAGS):
            check_config(configs.preset(FLAGS.preset, "kidney", plane), names)
    check_config(configs.preset(FLAGS.preset, "tumor"), TUMOR_FLAGS)
    common = [f"--preset={FLAGS.preset}", f"--seed={FLAGS.seed}", f"--strategy={FLAGS.strategy}"]
    common += [f"--precision={FLAGS.precision}", *(["--deterministic"] if FLAGS.deterministic else [])]
    common += [f"--pretrained={FLAGS.pretrained}"] if FLAGS.pretrained is not None else []
    kidney, folds, tumor = (
        (*common, *(f"--set={assignment}" for assignment in assignments(names)))
        for names in (KIDNEY_FLAGS, FOLDS_FLAGS, TUMOR_FLAGS)
    )
    return Options(
        pathlib.Path(FLAGS.data_dir),
        pathlib.Path(FLAGS.checkpoint_dir),
        FLAGS.kidney_masks,
        FLAGS.num_folds,
        FLAGS.fold,
        kidney,
        folds,
        tumor,
        (f"--engine={FLAGS.engine}",),
    )


def run():
    """The console command kits-recipe."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
