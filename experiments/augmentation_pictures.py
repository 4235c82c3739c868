"""A contact sheet of the augmentation: one axial slab through a kidney as it is, under each option, and under all.

    kits-phantom --output_dir=build/phantoms --num_cases=1 --size=256 --slices=64
    python experiments/augmentation_pictures.py --data_dir=build/phantoms

Writes `docs/pictures/augmentation.png` from the first case of a folder in the KiTS19 layout; the label is drawn as a
line.
"""

import argparse
import dataclasses
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

STILL = {
    "max_rotation_degrees": 0.0, "max_scaling": 0.0, "max_shift_hu": 0.0, "max_intensity_scaling": 0.0,
    "max_noise_hu": 0.0,
}  # fmt: skip
OPTIONS = {
    "none": {},
    "rotation": {"max_rotation_degrees": 20.0},
    "scaling": {"max_scaling": 0.2},
    "elastic": {"max_elastic_mm": 12.0},
    "shift": {"max_shift_hu": 60.0},
    "intensity scaling": {"max_intensity_scaling": 0.1},
    "gamma": {"max_gamma": 0.5},
    "noise": {"max_noise_hu": 60.0},
    "blur": {"max_blur_mm": 2.5},
    "low resolution": {"max_coarsening": 3.0},
}
COLUMNS = 3  # samples of each option


def main():
    """Draws the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs" / "pictures" / "augmentation.png")
    arguments = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from kits_tf.config import preset
    from kits_tf.dataset import kits19
    from kits_tf.volume import read_labels, read_volume

    case = kits19.find_cases(arguments.data_dir)[0]
    volume, (labels, _) = read_volume(case.image), read_labels(case.label)
    index = int((labels > 0).sum(axis=(1, 2)).argmax())
    image, label = volume.hu[index], labels[index] > 0
    config = dataclasses.replace(preset("paper", "kidney", "axial"), **STILL)
    everything = {"everything": {key: value / 2 for options in OPTIONS.values() for key, value in options.items()}}
    rows = OPTIONS | everything
    figure, axes = plt.subplots(len(rows) // 2 + len(rows) % 2, 2 * COLUMNS, figsize=(12, 2 * (len(rows) // 2 + 1)))
    for axis in axes.flat:
        axis.axis("off")
    for number, (name, options) in enumerate(rows.items()):
        for column in range(COLUMNS):
            axis = axes[number // 2, number % 2 * COLUMNS + column]
            changed = dataclasses.replace(config, **options)
            draw(axis, image, label, volume.spacing_mm[1:], (number, column), changed)
            axis.set_title(name if column == 0 else "", fontsize=9, loc="left")
    figure.tight_layout(pad=0.3)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.output, dpi=80)
    print(arguments.output)


def draw(axis, image, label, pixel_mm, seed, config):
    """Draws one sample, in a window for soft tissue."""
    import numpy as np
    import tensorflow as tf

    from kits_tf import geometry
    from kits_tf.arrays import NumPy as xp
    from kits_tf.pipelines.augmentation import augment

    scaled = tf.constant(geometry.scale(xp, image, config.clip_hu))[..., None]
    mask = tf.constant(label.astype(np.float32))[..., None]
    found, [mask] = augment(scaled, [(mask, 0.0)], tf.constant(pixel_mm, tf.float32), tf.constant(seed), config)
    hu = found.numpy()[..., 0] * (config.clip_high_hu - config.clip_low_hu) + config.clip_low_hu
    axis.imshow(hu, cmap="gray", vmin=-160, vmax=240, aspect=float(pixel_mm[0] / pixel_mm[1]))
    axis.contour(mask.numpy()[..., 0], levels=[0.5], colors="tab:orange", linewidths=0.8)


if __name__ == "__main__":
    main()
