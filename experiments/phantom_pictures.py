"""Contact sheets of phantoms for docs/phantoms.md, at a window of -160 to 240 HU with labels outlined.

    python experiments/phantom_pictures.py --output_dir=docs/pictures
    python experiments/phantom_pictures.py --output_dir=docs/pictures --masks_dir=KITS19_LABELS --cases=5,151,160

The first line draws random patients in each contrast phase; the second simulates imaging around real label volumes.
Needs the `report` extra (matplotlib). Two cores: about a minute for the first.
"""

import argparse
import io
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from kits_tf.data import kits19  # noqa: E402
from kits_tf.io import volume  # noqa: E402
from kits_tf.simulation.phantom import PHASES, simulate  # noqa: E402
from kits_tf.simulation.phantom.around import simulate_around  # noqa: E402

WINDOW_HU = (-160, 240)
KIDNEY_COLOR, TUMOR_COLOR = "#35d04f", "#ff4536"
SEED = 20  # of the random patients shown
VIEWS = ("widest kidney", "middle of the tumor", "coronal", "sagittal")


def main():
    """Writes the sheet that the flags ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--masks_dir")
    parser.add_argument("--cases", default="")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.masks_dir:
        cases = kits19.select_cases(kits19.find_cases(arguments.masks_dir), arguments.cases)
        draw_sheet([around_labels(case) for case in cases], folder / "phantoms_around_labels.png")
    else:
        draw_sheet([random_patient(i, phase) for i, phase in enumerate(PHASES)], folder / "phantoms.png")


def random_patient(index, phase):
    """(title, hu, labels, spacing in mm) of a random patient in a phase."""
    hu, labels, spacing_mm, _ = simulate(
        SEED, index, size=256, slices=90, phases=(phase,), slice_spacing_mm=(2.5, 4.0)
    )
    return phase, hu, labels, spacing_mm


def around_labels(case):
    """(title, hu, labels, spacing in mm) simulated around a label volume, thinned to about 1.5 x 1.5 x 2.5 mm."""
    labels, grid = volume.read_labels(case.label)
    steps = [max(1, int(round(mm / s))) for mm, s in zip((2.5, 1.5, 1.5), grid.spacing_mm, strict=True)]
    labels = np.ascontiguousarray(labels[:: steps[0], :: steps[1], :: steps[2]])
    spacing_mm = tuple(s * k for s, k in zip(grid.spacing_mm, steps, strict=True))
    return case.id, simulate_around(labels, spacing_mm, 0, case.number), labels, spacing_mm


def draw_sheet(cases, path):
    """One row a case, one column a view, saved as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(len(cases), 4, figsize=(15, 3.6 * len(cases)), squeeze=False, facecolor="black")
    for row, (title, hu, labels, spacing_mm) in zip(rows, cases, strict=True):
        for axes, name, (plane, mask, aspect) in zip(row, VIEWS, views(hu, labels, spacing_mm), strict=True):
            outlines = ((mask > 0, KIDNEY_COLOR), (mask > 1, TUMOR_COLOR))
            show(axes, plane, aspect, outlines, f"{title}: {name}")
    save_sheet(figure, path)
    print(f"{path}: {path.stat().st_size // 1024} KB")


def show(axes, plane, aspect, outlines, title, linewidth=0.7, fontsize=8):
    """Draws one plane of a CT with masks outlined, (mask, color) each."""
    axes.imshow(plane, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], aspect=aspect)
    for mask, color in outlines:
        if mask.any():
            axes.contour(mask, [0.5], colors=color, linewidths=linewidth)
    axes.set_title(title, color="white", fontsize=fontsize, pad=3)
    axes.axis("off")


def save_sheet(figure, path, colors=(KIDNEY_COLOR, TUMOR_COLOR), dpi=60):
    """Saves a figure of such planes as a PNG, and closes it."""
    from matplotlib import pyplot
    from PIL import Image

    figure.tight_layout(pad=0.3)
    sheet = io.BytesIO()
    figure.savefig(sheet, dpi=dpi, facecolor="black")
    pyplot.close(figure)
    save_in_few_colors(Image.open(sheet).convert("RGB"), path, colors)


def save_in_few_colors(image, path, colors):
    """Saves a picture in 48 greys and some colors: a PNG of every shade of noise would be twice the size."""
    from PIL import Image, ImageColor

    palette = [(round(255 * i / 47),) * 3 for i in range(48)]
    for name in colors:
        color = ImageColor.getrgb(name)
        palette += [tuple(round(share * c) for c in color) for share in (1.0, 0.75, 0.5)]
    template = Image.new("P", (1, 1))
    template.putpalette([value for color in palette for value in color])
    image.quantize(palette=template, dither=Image.Dither.NONE).save(path, optimize=True)


def views(hu, labels, spacing_mm):
    """(plane, labels of it, aspect) for each of VIEWS."""
    areas = (labels > 0).sum(axis=(1, 2))
    of_interest = labels == (2 if (labels == 2).any() else 1)
    slices, _, columns = np.nonzero(of_interest)
    row = int(np.nonzero(labels)[1].mean())
    widest, middle, column = int(areas.argmax()), int(np.median(slices)), int(np.median(columns))
    slice_mm, row_mm, column_mm = spacing_mm
    yield hu[widest], labels[widest], row_mm / column_mm
    yield hu[middle], labels[middle], row_mm / column_mm
    yield hu[:, row], labels[:, row], slice_mm / column_mm
    yield hu[:, :, column], labels[:, :, column], slice_mm / row_mm


if __name__ == "__main__":
    main()
