"""Inputs of the benchmarks: simulated CTs of any length, random weights of any width, random training batches."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
from typing import Any

import numpy as np

from experiments import common
from kits_tf import config as configs
from kits_tf.checkpoint import CONFIG_NAME, WEIGHTS_NAME
from kits_tf.config import PLANES, preset
from kits_tf.data.kits19 import IMAGE_NAME, LABEL_NAME
from kits_tf.io.volume import Volume, read_labels, read_volume, write_labels, write_volume

CASE = "case_00000"
SOURCE_SLICES = 108  # a median case of KiTS19


def simulated_ct(slices: int, size: int = 512) -> pathlib.Path:
    """Return a folder in the KiTS19 layout with one simulated CT, made if it is missing.

    Shorter CTs are cut from the CT of 108 slices; longer ones repeat it, every other time upside down, with labels in
    the first 108 slices only.
    """
    source, folder = (common.BUILD / "ct" / f"{count}x{size}" for count in (SOURCE_SLICES, slices))
    flags = "--cases=0", "--seed=5", f"--size={size}", f"--slices={SOURCE_SLICES}"
    common.command("simulate", f"--output_dir={source}", *flags)
    case, target = source / CASE, folder / CASE
    if not (target / LABEL_NAME).is_file():
        volume, labels = read_volume(case / IMAGE_NAME), read_labels(case / LABEL_NAME)[0]
        numbers = np.arange(slices) % (2 * SOURCE_SLICES)
        numbers = np.minimum(numbers, 2 * SOURCE_SLICES - 1 - numbers)
        start = 0 if slices > SOURCE_SLICES else int(np.argmax(labels.any(axis=(1, 2)))) + 5
        ct = Volume(volume.hu[(start + numbers) % SOURCE_SLICES], volume.spacing_mm)
        kidneys = np.zeros(ct.shape, np.uint8)
        kept = min(slices, SOURCE_SLICES - start)
        kidneys[:kept] = labels[start : start + kept]
        write_volume(ct, target / IMAGE_NAME)
        write_labels(kidneys, ct, target / LABEL_NAME)
    return folder


def random_checkpoint(width: int) -> pathlib.Path:
    """Return a checkpoint of preset `best` with random weights, made if missing; `width` base filters, half in 3D."""
    folder = common.BUILD / f"best_{width}"
    if (folder / "tumor" / WEIGHTS_NAME).is_file():
        return folder
    import keras

    from kits_tf import models

    keras.utils.set_random_seed(0)
    networks = {f"kidney_{plane}": preset("best", "kidney", plane) for plane in PLANES}
    networks["tumor"] = preset("best", "tumor")
    for name, config in networks.items():
        config = dataclasses.replace(config, base_filters=max(1, width // 2) if name == "tumor" else width)
        (folder / name).mkdir(parents=True, exist_ok=True)
        configs.save(config, folder / name / CONFIG_NAME)
        models.build(config).save_weights(folder / name / WEIGHTS_NAME)
    return folder


def segment(cases: pathlib.Path, checkpoint: pathlib.Path, *flags: str) -> dict[str, Any]:
    """Segment one CT by both stages with kits-predict, the labelled kidneys given to stage 2; return the figures.

    With random weights stage 1 finds no usable kidneys. Each stage is a process; reading counts once.
    """
    out = common.BUILD / "segmented"
    shutil.rmtree(out, ignore_errors=True)
    common_flags = f"--input={cases}", f"--checkpoint_dir={checkpoint}", *flags
    sidecars, runs = [], []
    for stage, more in (("kidney", []), ("tumor", [f"--kidney_masks={cases}"])):
        folders = f"--output_dir={out / stage}", f"--stage={stage}"
        runs.append(common.command("predict", *common_flags, *folders, *more))
        [path] = (out / stage).glob("*.json")
        sidecars.append(json.loads(path.read_text()))
    kidney, tumor = (sidecar["seconds"] for sidecar in sidecars)
    return {
        "engine": sidecars[0]["engine"],
        "load_seconds": round(runs[0].seconds - kidney["total"], 2),
        "segment_seconds": round(kidney["total"] + tumor["tumor"], 2),
        "stages": kidney | {"tumor": tumor["tumor"]},
        "kidney_ml": sidecars[1]["kidney_ml"],
        "peak_mb": max(run.peak_mb for run in runs),
    }


def random_batch(config: configs.KidneyConfig) -> dict[str, np.ndarray]:
    """Return a training batch of a kidney network."""
    draw = np.random.default_rng(0)
    slab = draw.random((config.batch_size, *configs.patch_size(config), 3), np.float32)
    return {"slab": slab, "label": (slab[..., :1] > 0.9).astype(np.float32)}
