"""The paper's training as commands: three planes, kidneys of the training cases, then the tumor.

A tumor network should be trained on kidneys such as it will be given. Those that a kidney network predicts in its own
training cases are too good, so the training cases are divided into folds, and the kidneys of each fold are predicted
by networks that were trained on the other folds. These networks are saved in `folds/K`, the kidneys in `kidneys`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import pandas as pd

from kits_tf import config as configs
from kits_tf import files
from kits_tf.checkpoint import (
    CONFIG_NAME,
    HISTORY_NAME,
    KIDNEYS_NAME,
    VALIDATION_NAME,
    WEIGHTS_NAME,
    network_names,
)
from kits_tf.config import PLANES
from kits_tf.data.records import INDEX_NAME, read_index
from kits_tf.data.splits import fold_cases
from kits_tf.data.stage_inputs import mask_path
from kits_tf.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Step:
    """One command of the recipe."""

    name: str  # such as "kidney_axial" or "folds/0/kidney_axial"
    part: str  # a plane, "kidneys" or "tumor"; the planes' steps are independent of each other
    words: tuple[str, ...]  # the command and its flags


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the recipe."""

    data_dir: pathlib.Path  # a prepared folder
    checkpoint_dir: pathlib.Path  # of the four networks
    kidney_masks: str = "out_of_fold"  # or "labels" or a folder of predictions
    num_folds: int = 5  # of the out-of-fold predictions
    fold: int | None = None  # for cross-validation, the fold of `dataset.json` that validates
    kidney: tuple[str, ...] = ()  # further flags of kits-train for the kidney networks
    folds: tuple[str, ...] = ()  # likewise for the kidney networks of the folds
    tumor: tuple[str, ...] = ()  # likewise for the tumor network
    predict: tuple[str, ...] = ()  # further flags of kits-predict


def steps(options: Options) -> list[Step]:
    """Return the commands in the order in which they must run; check the folds."""
    data_dir = _view_of_fold(options)
    found = _train_planes("", data_dir, options.checkpoint_dir, options.kidney)
    masks = options.kidney_masks
    if masks == "out_of_fold":
        found += _out_of_fold(options, data_dir)
        masks = str(options.checkpoint_dir / KIDNEYS_NAME)
    flags = ("--stage=tumor", f"--kidney_masks={masks}", *_folders(data_dir, options.checkpoint_dir))
    return [*found, Step("tumor", "tumor", ("kits-train", *flags, *options.tumor))]


def _out_of_fold(options: Options, data_dir: pathlib.Path) -> list[Step]:
    """Return the steps that predict the kidneys of all cases by networks that were not trained on them."""
    split = {case["id"]: case["split"] for case in read_index(data_dir)["cases"]}
    training = sorted(name for name, own in split.items() if own == "training")
    if len(training) < options.num_folds:
        what = f"must be at most the number of training cases, {len(training)}, got {options.num_folds}"
        raise UsageError("num_folds", f"{what}; --kidney_masks=labels needs no folds")
    folds = fold_cases(training, options.num_folds, 0, seed=0)
    trained, predicted = [], []
    for fold in range(options.num_folds):
        folder = options.checkpoint_dir / "folds" / str(fold)
        left_out = {name for name in training if folds[name] == fold}
        rest = write_view(data_dir, folder / "training", {name: split[name] for name in split if name not in left_out})
        held_out = write_view(data_dir, folder / "held_out", dict.fromkeys(left_out, "test"))
        trained += _train_planes(f"folds/{fold}/", rest, folder, options.folds)
        predicted.append(_predict(f"folds/{fold}/kidneys", held_out, folder, options))
    unseen = {name: own for name, own in split.items() if own == "validation"}
    if unseen:
        view = write_view(data_dir, options.checkpoint_dir / "folds" / "validation", unseen)
        predicted.append(_predict("validation/kidneys", view, options.checkpoint_dir, options))
    return trained + predicted


def _train_planes(prefix: str, data_dir: pathlib.Path, folder: pathlib.Path, more: tuple[str, ...]) -> list[Step]:
    """Return the steps that train the three planes' networks into a folder."""
    words, flags = ("kits-train", "--stage=kidney"), (*_folders(data_dir, folder), *more)
    return [Step(f"{prefix}kidney_{plane}", plane, (*words, f"--plane={plane}", *flags)) for plane in PLANES]


def _folders(data_dir: pathlib.Path, checkpoint_dir: pathlib.Path) -> tuple[str, str]:
    return f"--data_dir={data_dir}", f"--checkpoint_dir={checkpoint_dir}"


def _predict(name: str, data_dir: pathlib.Path, checkpoint_dir: pathlib.Path, options: Options) -> Step:
    """Return the step that finds the kidneys of the cases of a prepared folder."""
    output_dir = options.checkpoint_dir / KIDNEYS_NAME
    folders = f"--input={data_dir}", f"--output_dir={output_dir}", f"--checkpoint_dir={checkpoint_dir}"
    return Step(name, "kidneys", ("kits-predict", "--stage=kidney", *folders, *options.predict))


def is_outdated(step: Step) -> bool:
    """Return whether a "kidneys" step has predictions older than its networks, which were trained further."""
    flags = dict(word.removeprefix("--").split("=", 1) for word in step.words[1:])
    weights = [pathlib.Path(flags["checkpoint_dir"], name, WEIGHTS_NAME) for name in network_names("kidney")]
    newest = max((path.stat().st_mtime_ns for path in weights if path.is_file()), default=0)
    ids = [case["id"] for case in read_index(flags["input"])["cases"]]  # other steps predict into the same folder
    paths = [mask_path(flags["output_dir"], case) for case in ids]
    return any(path.stat().st_mtime_ns < newest for path in paths if path.is_file())


def summary(checkpoint_dir: pathlib.Path) -> pd.DataFrame:
    """Return a row for each network with weights: steps, mean loss of the last 100 steps, kept validation Dice."""
    rows = {}
    for name in network_names():
        folder = checkpoint_dir / name
        if not (folder / WEIGHTS_NAME).is_file() or not (folder / HISTORY_NAME).is_file():
            continue
        history = pd.read_csv(folder / HISTORY_NAME)
        rows[name] = {
            "steps": str(history["step"].iloc[-1]),
            "loss": f"{history['loss'].tail(100).mean():.4f}",
            "validation": _kept_score(folder),
            "weights": str(folder / WEIGHTS_NAME),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _kept_score(folder: pathlib.Path) -> str:
    """Return the validation Dice of the kept weights of a network and its step; a dash without validation."""
    if not (folder / VALIDATION_NAME).is_file():
        return "-"
    scores = pd.read_csv(folder / VALIDATION_NAME, index_col="step").iloc[:, 0]
    row = int(scores.argmax()) if configs.load(folder / CONFIG_NAME).keep == "best" else -1
    return f"Dice {scores.iloc[row]:.4f} at step {scores.index[row]}"


def _view_of_fold(options: Options) -> pathlib.Path:
    """Return the prepared folder to train on: as it is, or with a fold of `dataset.json` for validation."""
    if options.fold is None:
        return options.data_dir
    cases = read_index(options.data_dir)["cases"]
    folds = sorted({case["fold"] for case in cases if case.get("fold") is not None})
    if options.fold not in folds:
        known = f"it has {', '.join(map(str, folds))}" if folds else "make folds with kits-prepare --num_folds=N"
        raise UsageError("fold", f"{options.data_dir} has no fold {options.fold}; {known}")
    names = {None: "test", options.fold: "validation"}
    split = {case["id"]: names.get(case["fold"], "training") for case in cases}
    return write_view(options.data_dir, options.checkpoint_dir / "folds" / "data", split)


def write_view(data_dir: pathlib.Path, folder: pathlib.Path, split: dict[str, str]) -> pathlib.Path:
    """Write a prepared folder with links to the cases of another, under another split (by case id); return it."""
    index = read_index(data_dir)
    index["cases"] = [{**case, "split": split[case["id"]]} for case in index["cases"] if case["id"] in split]
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("cases", "working"):
        target = (data_dir / name).resolve()
        target.mkdir(exist_ok=True)
        link = folder / name
        if link.resolve() != target:  # missing, or the prepared data have moved
            with files.replacing(link) as temporary:
                os.symlink(target, temporary)
    files.update_text(folder / INDEX_NAME, json.dumps(index, indent=2) + "\n")
    return folder
