"""What the benchmarks of prediction share: simulated CTs of any length, checkpoints of any width, runs of a child."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from experiments.commands import command
from experiments.documents import ROOT
from kits_tf import config as configs
from kits_tf.checkpoint import CONFIG_NAME, WEIGHTS_NAME
from kits_tf.config import PLANES, preset
from kits_tf.io.volume import Volume, read_labels, read_volume, write_labels, write_volume

CHILD = pathlib.Path(__file__).with_name("predict_child.py")
SOURCE_SLICES = 108  # a median case of KiTS19
IMAGE, LABEL = "imaging.nii.gz", "segmentation.nii.gz"


def simulated_ct(folder, slices=SOURCE_SLICES, size=512):
    """A simulated CT with its labels in `folder/case_00000`; returns that folder.

    A longer or shorter one is the one of 108 slices cut, or put behind itself again and again, every other time upside
    down; its kidneys are those of the first 108.
    """
    case = pathlib.Path(folder) / "case_00000"
    if not (case / LABEL).is_file():
        command("simulate", f"--output_dir={folder}", "--cases=0", "--seed=5", f"--size={size}",
                f"--slices={SOURCE_SLICES}")  # fmt: skip
    if slices == SOURCE_SLICES:
        return case
    other = pathlib.Path(folder) / f"{slices}" / "case_00000"
    if not (other / LABEL).is_file():
        volume, labels = read_volume(case / IMAGE), read_labels(case / LABEL)[0]
        numbers = np.arange(slices) % (2 * SOURCE_SLICES)
        numbers = np.minimum(numbers, 2 * SOURCE_SLICES - 1 - numbers)
        start = 0 if slices > SOURCE_SLICES else int(np.argmax(labels.any(axis=(1, 2)))) + 5
        longer = Volume(volume.hu[(start + numbers) % SOURCE_SLICES], volume.spacing_mm)
        write_volume(longer, other / IMAGE)
        kidneys = np.zeros(longer.shape, np.uint8)
        kept = min(slices, SOURCE_SLICES - start)
        kidneys[:kept] = labels[start : start + kept]
        write_labels(kidneys, longer, other / LABEL)
    return other


def random_checkpoint(folder, width, preset_name="best"):
    """A checkpoint of random weights, base width `width` and half of it in 3D; returns its folder."""
    folder = pathlib.Path(folder) / f"{preset_name}_{width}"
    if (folder / "tumor" / WEIGHTS_NAME).is_file():
        return folder
    import keras

    from kits_tf import models

    keras.utils.set_random_seed(0)
    networks = {f"kidney_{plane}": preset(preset_name, "kidney", plane) for plane in PLANES}
    networks["tumor"] = preset(preset_name, "tumor")
    for name, config in networks.items():
        config = dataclasses.replace(config, base_filters=width // 2 if name == "tumor" else width)
        (folder / name).mkdir(parents=True, exist_ok=True)
        configs.save(config, folder / name / CONFIG_NAME)
        models.build(config).save_weights(folder / name / WEIGHTS_NAME)
    return folder


def segment_apart(case, checkpoint, output_dir, package=ROOT, **options):
    """Segments a CT in a process of its own, its kidneys given to stage 2; returns what `predict_child` says.

    Args:
        case: a case folder.
        checkpoint: folder.
        output_dir: where labels go.
        package: the checkout whose `kits_tf` is used.
        **options: `--engine` and `--precision` of the child.
    """
    flags = [f"--{name}={value}" for name, value in options.items()]
    environment = os.environ | {"PYTHONPATH": str(package), "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    places = [str(pathlib.Path(path).resolve()) for path in (case, checkpoint, output_dir)]
    line = [sys.executable, str(CHILD), *places, *flags]
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=package)
    return json.loads(done.stdout.splitlines()[-1])
