"""Contact sheets of CTs for the documents, at a window of -160 to 240 HU with labels outlined.

Needs the `report` extra (matplotlib).
"""

import io

import numpy as np

WINDOW_HU = (-160, 240)
KIDNEY_COLOR, TUMOR_COLOR = "#35d04f", "#ff4536"
VIEWS = ("widest kidney", "middle of the tumor", "coronal", "sagittal")


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
