"""Train all four networks in the paper's order, the tumor network on predicted kidneys. Rerun it to resume.

It runs kits-train and kits-predict. To divide the work among machines with shared folders, --print_only prints the
commands, and --parts runs some of them.

Example:
  kits-recipe --data_dir=prepared --checkpoint_dir=trained --preset=best
"""

from __future__ import annotations

import pathlib
import shlex
import subprocess
import sys
from collections.abc import Sequence

from absl import flags

from kits_tf import checkpoint
from kits_tf import config as configs
from kits_tf.cli import app
from kits_tf.cli.train import LARGEST_SEED, check_prepared
from kits_tf.errors import OptionError, UsageError

FLAGS = flags.FlagValues()
PARTS = (*configs.PLANES, "kidneys", "tumor")
KIDNEY_SETS, FOLD_SETS, TUMOR_SETS = ("set", "kidney_set"), ("set", "kidney_set", "fold_set"), ("set", "tumor_set")

DATA, NETWORKS, TRAINING, STEPS = (app.group(FLAGS, name) for name in ("Data", "Networks", "Training", "Steps"))
flags.DEFINE_string("data_dir", None, "Folder made by kits-prepare.", **DATA)
flags.DEFINE_string("checkpoint_dir", None, "Folder for the four networks.", **DATA)
flags.DEFINE_string("kidney_masks", "out_of_fold", "Kidneys to train the tumor network on: out_of_fold, labels or a "
                    "folder of predictions.", **DATA)  # fmt: skip
flags.DEFINE_integer("num_folds", 5, "Number of folds for --kidney_masks=out_of_fold.", lower_bound=2, **DATA)
flags.DEFINE_integer("fold", None, "Validation fold of kits-prepare --num_folds.", lower_bound=0, **DATA)
flags.DEFINE_enum("preset", "paper", list(configs.PRESETS), "Options to start from.", **NETWORKS)
flags.DEFINE_multi_string("set", [], "KEY=VALUE: an option of all networks, as in kits-train; repeatable.", **NETWORKS)
flags.DEFINE_multi_string("kidney_set", [], "Likewise, of the kidney networks.", **NETWORKS)
flags.DEFINE_multi_string("fold_set", [], "Likewise, of the kidney networks of the folds.", **NETWORKS)
flags.DEFINE_multi_string("tumor_set", [], "Likewise, of the tumor network.", **NETWORKS)
flags.DEFINE_bool("list_options", False, "Print the options of all networks with their values, and exit.", **NETWORKS)
flags.DEFINE_string("pretrained", None, "Checkpoint folder or released weights to start from.", **NETWORKS)
flags.DEFINE_integer("seed", 0, "Seed of weights, order and augmentation.", 0, LARGEST_SEED, **TRAINING)
app.define_device(FLAGS, "Training")
flags.DEFINE_enum(
    "strategy", "auto", ["auto", "one", "mirrored"], "Distribution of the training over devices.", **TRAINING
)
flags.DEFINE_enum("precision", "float32", list(configs.PRECISIONS), "Precision of the training.", **TRAINING)
flags.DEFINE_bool("deterministic", False, "Give bit-identical results on every run; slower.", **TRAINING)
flags.DEFINE_enum("engine", "auto", list(configs.ENGINES), "Inference engine that predicts the kidneys.", **TRAINING)
flags.DEFINE_list("parts", list(PARTS), f"Parts to run: some of {','.join(PARTS)}.", **STEPS)
flags.DEFINE_bool("print_only", False, "Only print the commands, and write the folds that they need.", **STEPS)
app.require_unless("list_options", ("data_dir", "checkpoint_dir"), FLAGS)


def main() -> int:
    """Run the recipe's commands; return the exit code of the one that failed, else 0."""
    networks = _network_configs()
    if FLAGS.list_options:
        for name, config in networks.items():
            print(f"{name}:", *configs.assignments(config), sep="\n  ")
        return app.EXIT_DONE
    _check_flags()
    from kits_tf.training import recipe

    kidney, folds, tumor = (_training_flags(sets) for sets in (KIDNEY_SETS, FOLD_SETS, TUMOR_SETS))
    folders = pathlib.Path(FLAGS.data_dir), pathlib.Path(FLAGS.checkpoint_dir)
    splits = FLAGS.kidney_masks, FLAGS.num_folds, FLAGS.fold
    predict = tuple(f"--{name}={FLAGS[name].value}" for name in ("engine", "device"))
    options = recipe.Options(*folders, *splits, kidney, folds, tumor, predict)
    steps = [step for step in recipe.steps(options) if step.part in FLAGS.parts]
    if not steps:
        raise UsageError("parts", "kidneys are found with --kidney_masks=out_of_fold only")
    if FLAGS.print_only:
        print("\n".join(shlex.join(step.words) for step in steps))
        return app.EXIT_DONE
    for number, step in enumerate(steps, 1):
        print(f"[{number}/{len(steps)}] {step.name}", flush=True)
        is_outdated = step.part == "kidneys" and recipe.is_outdated(step)
        try:
            code = run_command([*step.words, "--overwrite"] if is_outdated else step.words)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted in {step.name}; the same command resumes there") from None
        if code:
            app.complain("kits-recipe", f"{step.name} ended with exit code {code}; the same command resumes there")
            return code
    table = recipe.summary(folders[1])
    if not table.empty:
        print(f"\n{table.to_string()}\n")
    if len(table) == len(networks):
        print(f"next: kits-predict --input=SCANS --output_dir=LABELS --checkpoint_dir={folders[1]}")
    return app.EXIT_DONE


def run_command(words: Sequence[str]) -> int:
    """Run a command of this package as a process; return its exit code."""
    module = words[0].replace("kits-", "kits_tf.cli.")
    process = subprocess.Popen([sys.executable, "-m", module, *words[1:]])
    try:
        return process.wait()
    except BaseException:
        process.terminate()  # it saves first
        process.wait()
        raise


def _check_flags() -> None:
    """Raise UsageError for flags that cannot be used, before anything runs."""
    if not FLAGS.parts or not set(FLAGS.parts) <= set(PARTS):
        raise UsageError("parts", f"must be some of {','.join(PARTS)}, got {','.join(FLAGS.parts)}")
    check_prepared(FLAGS.data_dir)
    app.check_output_folder("checkpoint_dir", FLAGS.checkpoint_dir)
    if FLAGS.pretrained is not None:
        checkpoint.find(FLAGS.pretrained)
    if FLAGS.kidney_masks not in ("out_of_fold", "labels") and not pathlib.Path(FLAGS.kidney_masks).is_dir():
        raise UsageError("kidney_masks", f"must be out_of_fold, labels or a folder, got {FLAGS.kidney_masks}")


def _network_configs() -> dict[str, configs.NetworkConfig]:
    """Return the configs of the four networks; raise UsageError for an unusable option."""
    found: dict[str, configs.NetworkConfig] = {}
    for plane in configs.PLANES:
        preset = configs.preset(FLAGS.preset, "kidney", plane)
        _override(preset, FOLD_SETS)
        found[f"kidney_{plane}"] = _override(preset, KIDNEY_SETS)
    return found | {"tumor": _override(configs.preset(FLAGS.preset, "tumor"), TUMOR_SETS)}


def _override(preset: configs.NetworkConfig, sets: Sequence[str]) -> configs.NetworkConfig:
    """Return a preset with the options of some flags; a UsageError names the flag with the unusable option."""
    try:
        config = configs.override(preset, [assignment for name in sets for assignment in getattr(FLAGS, name)])
        configs.check_sizes(config)
        return config
    except UsageError as error:
        option = error.reason.option if isinstance(error.reason, OptionError) else None
        holders = [name for name in sets if any(a.partition("=")[0] == option for a in getattr(FLAGS, name))]
        given = [name for name in sets if getattr(FLAGS, name)]
        raise UsageError([*sets[:1], *given, *holders][-1], error.reason) from None


def _training_flags(sets: Sequence[str]) -> tuple[str, ...]:
    """Return the flags of kits-train for networks whose options some flags set."""
    names = ("preset", "seed", "device", "strategy", "precision", "pretrained")
    common = [f"--{name}={FLAGS[name].value}" for name in names if FLAGS[name].value is not None]
    common += ["--deterministic"] * FLAGS.deterministic
    return (*common, *(f"--set={assignment}" for name in sets for assignment in getattr(FLAGS, name)))


def run() -> None:
    """Run the console command kits-recipe."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
