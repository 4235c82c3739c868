"""The paper's order for all four networks, as commands: three planes, kidneys of the training cases, then the tumor.

A tumor network should learn from kidneys as it will meet them. A kidney network's predictions on its own training
cases are too good, so the training cases are dealt to folds, and the kidneys of a fold are found by networks that were
trained without it. The folds' networks lie in `folds/K` beside the four networks, the kidneys in `kidneys`.
"""

import dataclasses
import json
import os
import pathlib

from kits_tf import files
from kits_tf.checkpoint import WEIGHTS_NAME, network_names
from kits_tf.config import PLANES
from kits_tf.data.records import INDEX_NAME, read_index
from kits_tf.data.splits import fold_cases
from kits_tf.data.stage_inputs import mask_path
from kits_tf.errors import UsageError

KIDNEYS = "kidneys"


@dataclasses.dataclass(frozen=True)
class Step:
    """One command of the recipe.

    Attributes:
        name: such as "kidney_axial" or "folds/0/kidney_axial".
        part: a plane, "kidneys" or "tumor"; the planes' steps need nothing of each other.
        words: the command and its flags.
    """

    name: str
    part: str
    words: tuple


@dataclasses.dataclass(frozen=True)
class Options:
    """What the recipe is made with.

    Attributes:
        data_dir: a prepared folder.
        checkpoint_dir: the folder of the four networks.
        kidney_masks: "out_of_fold", "labels" or a folder of predictions.
        num_folds: of the out-of-fold predictions.
        fold: cross-validation: this fold of `dataset.json` is for validation; None for the split as it is.
        kidney, folds, tumor: more flags of kits-train for the planes' networks, those of the folds, the tumor's.
        predict: more flags of kits-predict.
    """

    data_dir: pathlib.Path
    checkpoint_dir: pathlib.Path
    kidney_masks: str = "out_of_fold"
    num_folds: int = 5
    fold: int | None = None
    kidney: tuple = ()
    folds: tuple = ()
    tumor: tuple = ()
    predict: tuple = ()


def steps(options):
    """The commands in their order; a step needs what those before it leave.

    Raises:
        InputError, UsageError: the prepared folder holds no such folds, or too few training cases.
    """
    data_dir = view_of_fold(options)
    found = [
        train(f"kidney_{plane}", plane, data_dir, options.checkpoint_dir, kidney_flags(plane), options.kidney)
        for plane in PLANES
    ]
    masks = options.kidney_masks
    if masks == "out_of_fold":
        found += out_of_fold(options, data_dir)
        masks = str(options.checkpoint_dir / KIDNEYS)
    flags = ("--stage=tumor", f"--kidney_masks={masks}")
    return [*found, train("tumor", "tumor", data_dir, options.checkpoint_dir, flags, options.tumor)]


def out_of_fold(options, data_dir):
    """The steps that find the kidneys of training and validation cases by networks that have not seen them."""
    split = {case["id"]: case["split"] for case in read_index(data_dir)["cases"]}
    training = sorted(name for name, own in split.items() if own == "training")
    if len(training) < options.num_folds:
        takes = "takes no more folds than these; --kidney_masks=labels needs none"
        raise UsageError("num_folds", f"{options.num_folds} folds of {len(training)} training cases: {takes}")
    folds = fold_cases(training, options.num_folds, 0, seed=0)
    kidneys = options.checkpoint_dir / KIDNEYS
    trained, predicted = [], []
    for fold in range(options.num_folds):
        folder = options.checkpoint_dir / "folds" / str(fold)
        left_out = {name for name in training if folds[name] == fold}
        rest = write_view(data_dir, folder / "training", {name: split[name] for name in split if name not in left_out})
        held = write_view(data_dir, folder / "held_out", dict.fromkeys(left_out, "test"))
        trained += [
            train(f"folds/{fold}/kidney_{plane}", plane, rest, folder, kidney_flags(plane), options.folds)
            for plane in PLANES
        ]
        predicted.append(predict(f"folds/{fold}/kidneys", held, kidneys, folder, options.predict))
    unseen = {name: own for name, own in split.items() if own == "validation"}
    if unseen:
        view = write_view(data_dir, options.checkpoint_dir / "folds" / "validation", unseen)
        predicted.append(predict("validation/kidneys", view, kidneys, options.checkpoint_dir, options.predict))
    return trained + predicted


def kidney_flags(plane):
    """The flags that choose a plane's network."""
    return "--stage=kidney", f"--plane={plane}"


def train(name, part, data_dir, checkpoint_dir, chosen, more):
    """The step that trains one network."""
    folders = f"--data_dir={data_dir}", f"--checkpoint_dir={checkpoint_dir}"
    return Step(name, part, ("kits-train", *chosen, *folders, *more))


def predict(name, data_dir, output_dir, checkpoint_dir, more):
    """The step that finds the kidneys of the cases of a prepared folder."""
    folders = f"--input={data_dir}", f"--output_dir={output_dir}", f"--checkpoint_dir={checkpoint_dir}"
    return Step(name, "kidneys", ("kits-predict", "--stage=kidney", *folders, *more))


def forget_outdated(step):
    """Lets a step of "kidneys" find those kidneys anew that are older than its networks, which were trained on since.

    It is the JSON of a prediction that goes: kits-predict then does the case again.
    """
    pairs = (word.removeprefix("--").partition("=") for word in step.words[1:])
    flags = {name: value for name, _, value in pairs}
    checkpoint_dir, kidneys = pathlib.Path(flags["checkpoint_dir"]), pathlib.Path(flags["output_dir"])
    weights = [checkpoint_dir / name / WEIGHTS_NAME for name in network_names("kidney")]
    newest = max((path.stat().st_mtime_ns for path in weights if path.is_file()), default=0)
    for case in read_index(flags["input"])["cases"]:  # the folder holds other steps' predictions too
        path = mask_path(kidneys, case["id"]).with_suffix("").with_suffix(".json")
        if path.is_file() and path.stat().st_mtime_ns < newest:
            path.unlink()


def view_of_fold(options):
    """The prepared folder that the recipe reads: as it is, or with the folds of `dataset.json` as its split."""
    if options.fold is None:
        return options.data_dir
    cases = read_index(options.data_dir)["cases"]
    folds = {case["fold"] for case in cases if case.get("fold") is not None}
    if options.fold not in folds:
        there = f"has folds {', '.join(map(str, sorted(folds)))}" if folds else "has none; kits-prepare --num_folds=N"
        raise UsageError("fold", f"{options.fold} is no fold of {options.data_dir}, which {there}")
    names = {None: "test", options.fold: "validation"}
    split = {case["id"]: names.get(case["fold"], "training") for case in cases}
    return write_view(options.data_dir, options.checkpoint_dir / "folds" / "data", split)


def write_view(data_dir, folder, split):
    """A prepared folder with some of another's cases under another split; the records are linked, not copied.

    Args:
        data_dir: the prepared folder that holds the records.
        folder: the folder to write.
        split: {case id: "training", "validation" or "test"}; other cases are left out.

    Returns:
        `folder`.
    """
    index = read_index(data_dir)
    index["cases"] = [{**case, "split": split[case["id"]]} for case in index["cases"] if case["id"] in split]
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("cases", "working"):
        target = (data_dir / name).resolve()
        target.mkdir(exist_ok=True)
        link = folder / name
        if not link.is_symlink() or link.resolve() != target:  # none yet, or the prepared data have moved
            with files.replacing(link) as temporary:
                os.symlink(target, temporary)
    text = json.dumps(index, indent=2) + "\n"
    path = folder / INDEX_NAME
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        files.write_text(path, text)
    return folder
