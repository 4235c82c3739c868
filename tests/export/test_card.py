"""Proves that a card suffices: who follows it with the exported networks, NumPy and SciPy alone, gets the labels."""

import re

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from kits_tf import checkpoint
from kits_tf.export import formats
from kits_tf.inference.segmenter import load_segmenter
from tests.tiny import small_ct

SPACING_MM = (4.0, 3.0, 3.0)


def test_links_lead_out_of_the_repository():
    """The card lies in the folder of a model, where the weights' own card would link to nothing."""
    source = checkpoint.find(checkpoint.DEFAULT)
    text = formats.card("tumor", source, checkpoint.load_configs(source, checkpoint.network_names()), "onnx")
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert len(links) > 5 and all(link.startswith("https://") for link in links)


def resampled(x, axis, centres, step):
    """Linear interpolation at centres, averaged over max(0, step - 1) voxels, with zeros beyond the axis."""
    x = np.pad(np.moveaxis(np.asarray(x, float), axis, 0), [(1, 1), (0, 0), (0, 0)])
    total = np.concatenate([np.zeros_like(x[:1]), np.cumsum((x[1:] + x[:-1]) / 2, axis=0)])
    width, centres = max(0.0, step - 1), np.asarray(centres) + 1

    def parts(t):
        t = np.clip(t, 0, len(x) - 1)
        before = np.minimum(t.astype(int), len(x) - 2)
        return before, (t - before)[:, None, None]

    def integral(t):
        before, u = parts(t)
        return total[before] + x[before] * u + (x[before + 1] - x[before]) * u**2 / 2

    before, u = parts(centres)
    found = x[before] * (1 - u) + x[before + 1] * u
    if width:
        found = (integral(centres + width / 2) - integral(centres - width / 2)) / width
    return np.moveaxis(found, 0, axis)


def resized(x, shape):
    """Other voxels over the same length, with normalised weights."""
    for axis, size in enumerate(shape):
        step = x.shape[axis] / size
        centres = (np.arange(size) + 0.5) * step - 0.5
        weights = resampled(np.ones((x.shape[axis], 1, 1)), 0, centres, step)
        x = resampled(x, axis, centres, step) / np.moveaxis(weights, 0, axis)
    return x


def scaled(hu, config):
    low, high = config.clip_low_hu, config.clip_high_hu
    return ((np.clip(hu, low, high) - low) / (high - low)).astype(np.float32)


def body(hu, config):
    """The body's box as slices of rows and columns: squares that fit are what an opening leaves."""
    square = np.ones([max(1, round(15 / mm)) for mm in SPACING_MM[1:]])
    if config.body_box and (squares := ndimage.binary_opening((hu > -300).mean(axis=0) >= 0.05, square)).any():
        return ndimage.find_objects(squares.astype(int))[0]
    return slice(0, hu.shape[1]), slice(0, hu.shape[2])


def working(hu, spacing_mm, config):
    """The CT on the working grid."""
    wanted = (config.slice_mm, config.inplane_mm, config.inplane_mm)
    sizes = zip(hu.shape, spacing_mm, wanted, strict=True)
    shape = [max(1, round(size * spacing / mm)) if mm else size for size, spacing, mm in sizes]
    return resized(np.clip(hu, -1024, 2125), shape)


def searched(run, config, slabs, kept=slice(None)):
    """The probability of a half's slabs in the columns kept: zeros where the search finds nothing on either side."""
    found = run(slabs)[:, :, kept]
    has_kidney = [(slab > 0.5).any() for slab in found]
    for first in range(0, len(slabs), config.search_step):
        last = min(first + config.search_step, len(slabs) - 1)
        if not has_kidney[first] and not has_kidney[last]:
            found[first + 1 : last] = 0
    return found


def plane_probability(run, config, volume):
    """A kidney network's probability on its working grid."""
    axis = ("axial", "coronal", "sagittal").index(config.plane)
    slices = np.moveaxis(volume, axis, 0)
    index = np.arange(len(slices))
    slabs = np.stack([slices[np.clip(index + step, 0, len(slices) - 1)] for step in (-1, 0, 1)], axis=-1)
    slabs, middle = scaled(slabs, config), volume.shape[2] // 2
    if config.plane == "sagittal":
        left = slabs[middle:, :, :, ::-1] if config.mirror else slabs[middle:]
        found = np.concatenate([searched(run, config, half) for half in (slabs[:middle], left)])
    else:
        right, left = slabs[:, :, : middle + config.overlap], slabs[:, :, middle - config.overlap :]
        found_right = searched(run, config, right, slice(middle))
        if config.mirror:
            found_left = searched(run, config, left[:, :, ::-1], slice(left.shape[2] - config.overlap))[:, :, ::-1]
        else:
            found_left = searched(run, config, left, slice(config.overlap, None))
        found = np.concatenate([found_right, found_left], axis=2)
    return np.moveaxis(found, 0, axis)


def fused(planes, method):
    ordered = np.sort(planes, axis=0)
    return {"union": ordered[-1], "majority": ordered[-2], "mean": ordered.mean(axis=0)}[method]


def sides_of(mask, lowest, spacing_mm, middle, config):
    """Components by side: 0 dropped, 1 right, 2 left."""
    components, _ = ndimage.label(mask)
    is_left, sides = np.broadcast_to(np.arange(mask.shape[2]) >= middle, mask.shape), np.zeros(mask.shape, int)
    sizes, agreement = np.bincount(components.ravel()), {}
    on = {}  # the sides of each component that is large enough
    for number in np.flatnonzero(sizes * np.prod(spacing_mm) / 1000 >= config.min_component_ml):
        here = components == number
        columns = np.nonzero(here)[2].mean() + 0.5
        agreement[number] = (lowest[here] > 0.5).sum() * (0.1 if abs(columns - middle) * spacing_mm[2] > 110 else 1)
        if number and 0.2 < is_left[here].mean() < 0.8:
            on[number] = (1, 2)
        elif number:
            on[number] = (1,) if columns <= middle else (2,)
    for number, own in on.items():
        most = [max(agreement[other] for other, theirs in on.items() if side in theirs) for side in own]
        if agreement[number] >= min(*most, config.min_agreement * sizes[number]):
            here = components == number
            sides[here] = np.where(is_left[here], own[-1], own[0])
    return sides


def tumor_probability(run, config, hu, kidney, spacing_mm):
    """The tumor network's probability in the box of a kidney."""
    crop = np.where(kidney, scaled(hu, config), 0)
    side_mm = max(np.multiply(crop.shape, spacing_mm)) + config.margin_mm
    cube = crop
    for axis in range(3):
        step = side_mm / spacing_mm[axis] / config.grid
        centres = (np.arange(config.grid) - (config.grid - 1) / 2) * step + (crop.shape[axis] - 1) / 2
        cube = resampled(cube, axis, centres, step)
    found = np.zeros(cube.shape)
    phases = [(row, column) for row in range(2) for column in range(2)]
    views = {
        "none": [(slice(None),) * 3],
        "polyphase": [(slice(None), slice(row, None, 2), slice(column, None, 2)) for row, column in phases],
    }
    for view in views[config.blocks]:
        found[view] = run(cube[view][None, ..., None].astype(np.float32))[0]
    if config.average_mirrored:
        assert config.blocks == "none"
        found = (found + run(cube[..., ::-1][None, ..., None].astype(np.float32))[0, ..., ::-1]) / 2
    for axis in range(3):
        step = config.grid * spacing_mm[axis] / side_mm
        centres = (np.arange(crop.shape[axis]) - (crop.shape[axis] - 1) / 2) * step + (config.grid - 1) / 2
        found = resampled(found, axis, centres, step)
    return found


@pytest.fixture(scope="module")
def runs(exported_models):
    """Functions of a batch: the probability that an exported network returns, by name."""

    def run_of(name):
        serve = tf.saved_model.load(str(exported_models / name / "1")).signatures["serving_default"]
        port = "block" if name == "tumor" else "slab"
        return lambda batch: serve(**{port: tf.constant(batch)})["probability"].numpy()

    return {name: run_of(name) for name in checkpoint.network_names()}


def test_who_follows_the_card_gets_the_labels(runs, decisive_weights):
    configs = checkpoint.load_configs(decisive_weights, checkpoint.network_names())
    hu, labels = small_ct(), np.zeros((12, 60, 80), int)
    hu[:, 58:] = 200  # a table
    kidney, tumor = configs["kidney_axial"], configs["tumor"]
    rows, columns = body(hu, kidney)
    assert rows.stop <= 58
    volume = working(hu[:, rows, columns], SPACING_MM, kidney)
    planes = [plane_probability(runs[name], configs[name], volume) for name in configs if name != "tumor"]
    inside = hu[:, rows, columns].shape
    lowest = np.zeros(labels.shape)
    labels[:, rows, columns] = resized(fused(planes, kidney.fusion), inside) > 0.5
    lowest[:, rows, columns] = resized(np.min(planes, axis=0), inside)
    middle = (columns.start + columns.stop) // 2
    sides = sides_of(labels > 0, lowest, SPACING_MM, middle, tumor)
    labels = np.minimum(sides, 1)
    reach = [round(tumor.context_mm / mm) for mm in SPACING_MM]
    assert all(reach)
    for side, box in enumerate(ndimage.find_objects(sides), 1):
        if box:
            box = tuple(
                slice(max(0, part.start - more), part.stop + more) for part, more in zip(box, reach, strict=True)
            )
            here = ndimage.binary_dilation(sides[box] == side, np.ones([2 * more + 1 for more in reach]))
            here &= np.isin(sides[box], (0, side))
            probability = tumor_probability(runs["tumor"], tumor, hu[box], here, SPACING_MM)
            labels[box][here & (probability > 0.5)] = 2
    expected = load_segmenter(decisive_weights, engine="tensorflow").segment(hu, SPACING_MM)
    assert set(np.unique(expected)) == {0, 1, 2}
    assert (labels != expected).mean() < 1e-3, "but for rounding"
