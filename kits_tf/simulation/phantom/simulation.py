"""Simulated CTs: a random patient, scanned."""

import dataclasses

import numpy as np

from kits_tf.simulation.phantom.anatomy import draw_patient
from kits_tf.simulation.phantom.canvas import Canvas
from kits_tf.simulation.phantom.fields import Field
from kits_tf.simulation.phantom.grid import Grid
from kits_tf.simulation.phantom.imaging import Scanner
from kits_tf.simulation.phantom.materials import PHASES, Materials, mixed_rng
from kits_tf.simulation.phantom.protocol import Protocol

CHUNK_VOXELS = 3_000_000  # painted at a time; bounds the memory of float32 arrays
SPARE_MM = 6.0  # least distance of whole kidneys from the first and last slice
HALO_SLICES = 1  # painted beyond a chunk's ends, for the share of partly covered voxels

# What each generator of a case is for: (seed, case, purpose) makes it, so that no draw shifts another's.
PROTOCOL, MATERIALS, ANATOMY, SCANNER, TEXTURE, NOISE = range(6)


def simulate(seed, case_index, size=512, slices=None, phases=None, pixel_spacing_mm=None, slice_spacing_mm=None):
    """One simulated CT with its labels. The same arguments give the same case, to the bit.

    Args:
        seed: seed of the whole set.
        case_index: number of the case within it.
        size: rows and columns; below 512 the field of view is kept and pixels grow.
        slices: number of slices; drawn as in KiTS19 by default.
        phases: contrast phases to draw from, names of `materials.PHASES`; all by default.
        pixel_spacing_mm, slice_spacing_mm: (low, high) of the written voxels in mm; as in KiTS19 by default.

    Returns:
        (hu, labels, spacing_mm, affine): int16 and uint8 [slices, rows, columns], axes (I, P, L); spacing (slice, row,
        column); float64 [4, 4] from voxel to RAS mm.
    """
    case = draw_case(seed, case_index, size, slices, phases, pixel_spacing_mm, slice_spacing_mm)
    hu, labels, _ = render(case.layers, case.materials, case.scanner, case.shape, case.origin_mm, case.key)
    return hu, labels, case.scanner.spacing_mm, kits19_affine(case.scanner.spacing_mm)


@dataclasses.dataclass(frozen=True)
class SimulatedCase:
    """All that defines one CT before it is rendered; see `render` for the parts."""

    layers: list
    materials: Materials
    scanner: Scanner
    shape: tuple
    origin_mm: tuple
    key: tuple


def draw_case(seed, case_index, size, slices, phases, pixel_spacing_mm, slice_spacing_mm):
    """Draws a patient and how they are scanned; arguments as for `simulate`."""
    key = (seed, case_index)
    phases = tuple(phases or PHASES)
    materials = Materials(mixed_rng(*key, MATERIALS), phases[choose_phase(key, len(phases))])
    protocol = Protocol.draw(mixed_rng(*key, PROTOCOL), size, slices, pixel_spacing_mm, slice_spacing_mm)
    rng = mixed_rng(*key, ANATOMY)
    field_of_view = protocol.spacing_mm[2] * size
    half_width = float(np.clip(field_of_view / 2 / rng.uniform(1.02, 1.28), 138, 232))
    patient = draw_patient(rng, materials, half_width)
    scanner = Scanner.draw(mixed_rng(*key, SCANNER), protocol.spacing_mm, (*key, NOISE))
    return SimulatedCase(patient.layers, materials, scanner, protocol.shape, place(patient, protocol, rng), key)


def choose_phase(key, count):
    """Which of `count` phases a case has."""
    return int(mixed_rng(*key, MATERIALS, 1).integers(count))


def place(patient, protocol, rng):
    """Patient mm (z, y, x) of the first voxel: the trunk in the middle of the field of view, kidneys inside."""
    _, rows, columns = protocol.shape
    _, dy, dx = protocol.spacing_mm
    top = first_slice_mm(protocol, patient.kidney_ends_mm)
    frame = patient.frame
    centre_y = frame.centre_y + (frame.posterior + frame.fat_mm[2] - frame.anterior - frame.fat_mm[1]) / 2
    centre_y += rng.normal(8, 7)
    return (top, centre_y - (rows - 1) / 2 * dy, rng.normal(0, 5) - (columns - 1) / 2 * dx)


def first_slice_mm(protocol, kidney_ends_mm):
    """z in mm of the first slice, for kidneys that reach from the first to the last of two z."""
    extent = (protocol.shape[0] - 1) * protocol.spacing_mm[0]
    first, last = kidney_ends_mm
    top = (first + last) / 2 - extent * protocol.above_share
    if protocol.whole_kidneys and last - first + 2 * SPARE_MM < extent:
        top = float(np.clip(top, last + SPARE_MM - extent, first - SPARE_MM))
    return top


def render(layers, materials, scanner, shape, origin_mm, key, given_labels=None, with_tissues=False):
    """Paints and scans a volume in chunks of slices.

    Args:
        layers: list of `Layer` in painting order.
        shape: (slices, rows, columns).
        origin_mm: patient mm of voxel (0, 0, 0).
        key: integers that seed the textures.
        given_labels: uint8 of `shape`, when labels are known and not painted.
        with_tissues: whether to keep which of `materials.TISSUES` each voxel is.

    Returns:
        (hu int16, labels uint8, tissues uint8 or None), each of `shape`; labels are `given_labels` where those are.
    """
    textures = draw_textures(key)
    hu = np.empty(shape, np.int16)
    labels = np.empty(shape, np.uint8) if given_labels is None else given_labels
    tissues = np.empty(shape, np.uint8) if with_tissues else None
    body_centre = [-o / s for o, s in zip(origin_mm[1:], scanner.spacing_mm[1:], strict=True)]
    for start, stop in chunks(shape):
        grid = chunk_grid(shape, scanner.spacing_mm, origin_mm, start, stop)
        canvas = Canvas(grid, materials, textures, scanner.thickness_mm)
        if given_labels is not None:
            rows = np.clip(np.arange(start - HALO_SLICES, stop + HALO_SLICES), 0, shape[0] - 1)
            canvas.labels[...] = given_labels[rows]
        for layer in layers:
            canvas.paint(layer)
        keep = slice(HALO_SLICES, HALO_SLICES + stop - start)
        hu[start:stop] = scanner.acquire(canvas.hu[keep], start, body_centre)
        if given_labels is None:
            labels[start:stop] = canvas.labels[keep]
        if with_tissues:
            tissues[start:stop] = canvas.tissues[keep]
    return hu, labels, tissues


def draw_textures(key):
    """The (coarse, fine) fields of variation within tissues."""
    rng = mixed_rng(*key, TEXTURE)
    bounds = (np.array([-450.0, -300.0, -300.0]), np.array([450.0, 300.0, 300.0]))
    return Field.noise(rng, bounds, 22), Field.noise(rng, bounds, 4.5)


def chunks(shape):
    """(start, stop) of each chunk of slices."""
    count = max(1, CHUNK_VOXELS // (shape[1] * shape[2]))
    return [(start, min(start + count, shape[0])) for start in range(0, shape[0], count)]


def chunk_grid(shape, spacing_mm, origin_mm, start, stop):
    """The grid of slices start - halo to stop + halo."""
    count = (stop - start + 2 * HALO_SLICES, *shape[1:])
    return Grid.regular(count, spacing_mm, origin_mm, start - HALO_SLICES)


def kits19_affine(spacing_mm):
    """Voxel (slice, row, column) to RAS mm for axes (I, P, L), as KiTS19 stores it."""
    slice_mm, row_mm, column_mm = spacing_mm
    affine = np.zeros((4, 4))
    affine[0, 2], affine[1, 1], affine[2, 0], affine[3, 3] = -column_mm, -row_mm, -slice_mm, 1
    return affine
