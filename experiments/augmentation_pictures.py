"""Contact sheets of the augmentation: what the networks of both stages see as it is, under each option, under all.

    kits-simulate --output_dir=build/simulations --num_cases=1 --size=256 --slices=64
    python experiments/augmentation_pictures.py --data_dir=build/simulations

Draws the first case of a folder in the KiTS19 layout, the label as a line. `docs/pictures/augmentation_2d.png`
has three samples of an axial slice for each option, `augmentation_3d.png` one sample of a kidney's cube, cut through
its middle in the axial, the coronal and the sagittal plane.
"""

import argparse
import dataclasses
import itertools
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

STILL = dict.fromkeys(
    ("max_rotation_degrees", "max_scaling", "max_shift_hu", "max_intensity_scaling", "max_noise_hu"), 0.0
)
OPTIONS = {
    "none": {},
    "rotation": {"max_rotation_degrees": 30.0},
    "scaling": {"max_scaling": 0.3},
    "elastic": {"max_elastic_mm": 20.0},
    "shift": {"max_shift_hu": 80.0},
    "intensity scaling": {"max_intensity_scaling": 0.1},
    "gamma": {"max_gamma": 1.0},
    "noise": {"max_noise_hu": 80.0},
    "blur": {"max_blur_mm": 4.0},
    "low resolution": {"max_coarsening": 5.0},
}
EVERYTHING = {key: value / 2 for options in OPTIONS.values() for key, value in options.items()}
COLUMNS = 3  # pictures of each option
GRID = 96  # of the cube
WINDOW_HU = (-160, 240)
MARGIN_MM = 25.0  # shown around the kidneys of a slice
LEAST_CHANGE_HU = 10.0


def main():
    """Draws both sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=pathlib.Path, required=True)
    parser.add_argument("--output_dir", type=pathlib.Path, default=ROOT / "docs" / "pictures")
    arguments = parser.parse_args()
    from kits_tf.config import preset
    from kits_tf.data import kits19
    from kits_tf.io.volume import read_labels, read_volume

    case = kits19.find_cases(arguments.data_dir)[0]
    volume, (labels, _) = read_volume(case.image), read_labels(case.label)
    config = dataclasses.replace(preset("paper", "kidney", "axial"), **STILL)
    hu, label = largest_slice(volume, labels)
    draw_sheet(arguments.output_dir / "augmentation_2d.png", hu, label, volume.spacing_mm[1:], config)
    config = dataclasses.replace(preset("paper", "tumor"), **STILL, grid=GRID)
    draw_sheet(arguments.output_dir / "augmentation_3d.png", *largest_cube(volume, labels, config), config)


def largest_slice(volume, labels):
    """(HU, label) [height, width] of the axial slice with the most kidney."""
    index = int((labels > 0).sum(axis=(1, 2)).argmax())
    return volume.hu[index], labels[index] > 0


def largest_cube(volume, labels, config):
    """(HU, label, spacing_mm) of the cube around the kidney with the largest tumor."""
    from kits_tf import laterality
    from kits_tf.data.records import from_volume
    from kits_tf.data.stage_inputs import cube_spacing_mm, kidney_cube

    record = from_volume(volume, labels, "")
    side_map = laterality.kidney_sides(
        record.label > 0, record.spacing_mm, record.middle_column - record.box.columns[0]
    )
    kidney = max(laterality.kidneys(side_map), key=lambda kidney: (record.label[kidney.box] == 2).sum())
    cube = kidney_cube(record, kidney, side_map[kidney.box] == kidney.side, config)
    return cube["image"], cube["label"], cube_spacing_mm(record, kidney, config)


def draw_sheet(path, hu, label, spacing_mm, config):
    """Draws what each option makes of an image [height, width] or [slices, rows, columns]."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = OPTIONS | {"everything": EVERYTHING}
    lines, height = -(-len(rows) // 2), 2.0 if hu.ndim == 3 else 1.4
    figure, axes = plt.subplots(lines, 2 * COLUMNS, figsize=(12, height * lines), facecolor="white")
    for axis in axes.flat:
        axis.axis("off")
    for number, (name, options) in enumerate(rows.items()):
        changed = dataclasses.replace(config, **options)
        first = number % 2 * COLUMNS
        for column, picture in enumerate(pictures(hu, label, spacing_mm, number, changed)):
            draw(axes[number // 2, first + column], *picture)
        axes[number // 2, first].set_title(name, fontsize=9, loc="left")
    figure.tight_layout(pad=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    plt.close(figure)
    print(path)


def pictures(hu, label, spacing_mm, number, config):
    """COLUMNS pictures, (HU, label, aspect) each: samples of a slice, or the middle planes of one sample of a cube.

    Blur and low resolution leave half of the samples alone; those are passed over.
    """
    draws = (sample(hu, label, spacing_mm, (number, seed), config) for seed in range(20))
    found = (drawn for drawn in draws if number == 0 or abs(drawn[0] - hu).max() > LEAST_CHANGE_HU)
    if hu.ndim == 3:
        cube, mask = next(found)
        return [(cube.take(GRID // 2, axis), mask.take(GRID // 2, axis), 1.0) for axis in range(3)]
    window = around(label, MARGIN_MM / spacing_mm[0])
    samples = itertools.islice(found, COLUMNS)
    return [(image[window], mask[window], spacing_mm[0] / spacing_mm[1]) for image, mask in samples]


def around(label, margin):
    """The part of a slice around its label, as slices."""
    import numpy as np

    places = np.argwhere(label)
    low, high = np.maximum(places.min(axis=0) - margin, 0), places.max(axis=0) + margin
    return tuple(slice(int(first), int(last)) for first, last in zip(low, high, strict=True))


def sample(hu, label, spacing_mm, seed, config):
    """One sample as (HU, label)."""
    import numpy as np
    import tensorflow as tf

    from kits_tf import geometry
    from kits_tf.arrays import NumPy as xp
    from kits_tf.pipelines.augment import augment

    image = tf.constant(geometry.scale(xp, hu, config.clip_hu))[..., None]
    target = tf.constant(label.astype(np.float32))[..., None], 0.0
    image, [target] = augment(image, [target], tf.constant(spacing_mm, tf.float32), tf.constant(seed), config)
    low, high = config.clip_hu
    return image.numpy()[..., 0] * (high - low) + low, target.numpy()[..., 0]


def draw(axis, hu, label, aspect):
    """Draws one picture, in a window for soft tissue."""
    axis.imshow(hu, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], aspect=float(aspect))
    if label.max() > 0.5:
        axis.contour(label, levels=[0.5], colors="tab:orange", linewidths=0.8)


if __name__ == "__main__":
    main()
