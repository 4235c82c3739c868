"""Simulated CTs from organ maps: a map is drawn, deformed, given HU and masses, and scanned."""

import dataclasses
import functools

import numpy as np
import scipy.ndimage

from kits_tf.simulation.anatomy import masses, outside
from kits_tf.simulation.anatomy.appearance import Appearance
from kits_tf.simulation.anatomy.deformation import Deformation
from kits_tf.simulation.anatomy.insides import Insides
from kits_tf.simulation.anatomy.legend import read_legend
from kits_tf.simulation.anatomy.organ_map import build_map
from kits_tf.simulation.anatomy.scanning import fitted, random_scanner
from kits_tf.simulation.anatomy.structures import HARD, INDEX, KIDNEYS, indices
from kits_tf.simulation.phantom.canvas import Canvas
from kits_tf.simulation.phantom.grid import Grid
from kits_tf.simulation.phantom.materials import PHASES, mixed_rng
from kits_tf.simulation.phantom.protocol import Protocol
from kits_tf.simulation.phantom.simulation import (
    ANATOMY,
    HALO_SLICES,
    MATERIALS,
    NOISE,
    PROTOCOL,
    SCANNER,
    choose_phase,
    chunk_grid,
    chunks,
    draw_textures,
    first_slice_mm,
    kits19_affine,
)

MASSES = NOISE + 1  # the purpose of one more generator
SURVEY_MM = 4.0  # grid on which a deformed patient is looked over before the scan is planned


@dataclasses.dataclass(frozen=True)
class Sources:
    """The organ maps to simulate from.

    Attributes:
        maps: paths of label maps, of which each case draws one.
        legend: path of their legend.
        cts: for each map the path of its CT, which tells fat from muscle where no label does; empty for none.
    """

    maps: tuple
    legend: str
    cts: tuple = ()


@functools.lru_cache(maxsize=2)
def loaded(path, legend, ct):
    """The `OrganMap` of a file, kept for the cases that follow."""
    return build_map(path, read_legend(legend), ct)


def simulate(
    sources, seed, case_index, size=512, slices=None, phases=None, pixel_spacing_mm=None, slice_spacing_mm=None
):
    """One simulated CT with its labels. The same arguments give the same case, to the bit.

    Args:
        sources: the `Sources`.
        seed, case_index and what follows: as for `phantom.simulate`; slices that are drawn end where the map does.

    Returns:
        (hu, labels, spacing_mm, affine), as `phantom.simulate`.

    Raises:
        InputError: an unusable map, legend or CT.
    """
    key = (seed, case_index)
    rng = mixed_rng(*key, ANATOMY)
    chosen = int(rng.integers(len(sources.maps)))
    organs = loaded(sources.maps[chosen], sources.legend, sources.cts[chosen] if sources.cts else None)
    protocol = Protocol.draw(mixed_rng(*key, PROTOCOL), size, slices, pixel_spacing_mm, slice_spacing_mm)
    phases = tuple(phases or PHASES)
    look = Appearance(mixed_rng(*key, MATERIALS), phases[choose_phase(key, len(phases))])
    patient = draw_patient(rng, mixed_rng(*key, MASSES), organs, look)
    length_mm = patient.bounds[1][0] - patient.bounds[0][0]
    protocol = fitted(protocol, length_mm, slices is None, slice_spacing_mm is None)
    scanner = random_scanner(mixed_rng(*key, SCANNER), protocol.spacing_mm, (*key, NOISE))
    hu, labels = scan(patient, organs, look, scanner, protocol.shape, place(patient, protocol, rng), key)
    return hu, labels, protocol.spacing_mm, kits19_affine(protocol.spacing_mm)


@dataclasses.dataclass
class Patient:
    """A map made somebody else's.

    Attributes:
        deformation: a `Deformation`.
        insides: an `Insides`.
        around: list of `Layer` beneath the body: table and arms.
        masses: list of `Layer` over it.
        bounds: (low, high) mm of the box that the map fills.
        body: (low, high) mm of the box around the trunk.
        kidney_ends_mm: (first, last) z of the kidneys.
    """

    deformation: Deformation
    insides: Insides
    around: list
    masses: list
    bounds: tuple
    body: tuple
    kidney_ends_mm: tuple


def draw_patient(rng, masses_rng, organs, look):
    """A random patient from a map; `masses_rng` draws what grows in it."""
    deformation = Deformation(rng, organs)
    insides = Insides.draw(rng, deformation.bounds)
    surfaces, _, _ = survey(deformation, insides, organs)
    tumors = masses.draw_tumors(masses_rng, surfaces)
    for mass in tumors:
        if mass.radius > masses.PUSHING_MM:
            deformation.push(mass.centre, mass.radius)
    surfaces, body, elsewhere = survey(deformation, insides, organs)
    contrast = look.materials.phase != PHASES[0]
    layers = masses.elsewhere_layers(masses_rng, elsewhere, contrast)
    layers += masses.cyst_layers(masses_rng, surfaces)
    layers += masses.stone_layers(masses_rng, surfaces, look.calculus)
    layers += masses.tumor_layers(masses_rng, tumors, look.materials)
    around = outside.table_layers(rng, body[1][1]) + outside.arm_layers(rng, body)
    z = np.concatenate([points[:, 0] for _, points in surfaces] or [np.zeros(1)])
    return Patient(deformation, insides, around, layers, deformation.bounds, body, (z.min(), z.max()))


def survey(deformation, insides, organs):
    """Looks over a patient on a coarse grid.

    Returns:
        (surfaces, body, elsewhere): for each kidney (middle [3], surface points [count, 3]); the box (low, high)
        around the trunk; points inside it that are in no kidney, [count, 3]. All in mm (z, y, x).
    """
    low, high = deformation.bounds
    grid = Grid.regular(np.ceil((high - low) / SURVEY_MM).astype(int) + 1, (SURVEY_MM,) * 3, low)
    structures, depths = looked_up(deformation.voxels(grid, organs), organs)
    insides.settle(structures, depths)
    surfaces = []
    for name in KIDNEYS:
        kidney = structures == INDEX[name]
        if kidney.any():
            surface = kidney & ~scipy.ndimage.binary_erosion(kidney)
            surfaces.append((points_of(kidney, low).mean(axis=0), points_of(surface, low)))
    trunk = points_of(structures != INDEX["air"], low)
    soft = points_of(~np.isin(structures, indices((*HARD, *KIDNEYS))), low)
    return surfaces, (trunk.min(axis=0), trunk.max(axis=0)), soft


def points_of(mask, low_mm):
    """The mm (z, y, x) of what is true on the survey's grid, [count, 3]."""
    return np.argwhere(mask) * SURVEY_MM + low_mm


def looked_up(voxels, organs):
    """(structures uint8, depths int8) of the map at voxel numbers."""
    return organs.structures.ravel()[voxels], organs.depths.ravel()[voxels]


def place(patient, protocol, rng):
    """Patient mm (z, y, x) of the first voxel: the trunk near the middle of the image, kidneys and map within."""
    slices, rows, columns = protocol.shape
    dz, dy, dx = protocol.spacing_mm
    top = first_slice_mm(protocol, patient.kidney_ends_mm)
    first, last = patient.bounds[0][0], patient.bounds[1][0] - (slices - 1) * dz
    top = float(np.clip(top, min(first, last), max(first, last)))
    _, y, x = (patient.body[0] + patient.body[1]) / 2 + rng.normal(0, 10, 3)
    return top, y - (rows - 1) / 2 * dy, x - (columns - 1) / 2 * dx


def scan(patient, organs, look, scanner, shape, origin_mm, key):
    """Paints and scans a volume in chunks of slices: (hu int16, labels uint8), each of `shape`."""
    textures = draw_textures(key)
    hu, labels = np.empty(shape, np.int16), np.empty(shape, np.uint8)
    middle = (patient.body[0] + patient.body[1])[1:] / 2
    body_centre = [(m - o) / s for m, o, s in zip(middle, origin_mm[1:], scanner.spacing_mm[1:], strict=True)]
    for start, stop in chunks(shape):
        grid = chunk_grid(shape, scanner.spacing_mm, origin_mm, start, stop)
        canvas = Canvas(grid, look.materials, textures, scanner.thickness_mm)
        for layer in patient.around:
            canvas.paint(layer)
        paint_patient(canvas, patient, organs, look, scanner)
        keep = slice(HALO_SLICES, HALO_SLICES + stop - start)
        hu[start:stop] = scanner.acquire(canvas.hu[keep], start, body_centre)
        labels[start:stop] = canvas.labels[keep]
    return hu, labels


def paint_patient(canvas, patient, organs, look, scanner):
    """Paints body and masses onto a canvas that holds what is around them."""
    structures, depths = looked_up(patient.deformation.voxels(canvas.grid, organs), organs)
    skin = patient.insides.settle(structures, depths)
    body = look.means[structures]
    body += canvas.coarse * look.coarse[structures]
    body += canvas.fine * look.fine[structures]
    patient.insides.paint(body, canvas.grid, structures, depths, canvas.fine, look)
    body[skin] = look.skin
    np.copyto(canvas.hu, body, where=structures != INDEX["air"])
    kidney = np.isin(structures, indices(KIDNEYS))
    canvas.labels[kidney] = 1
    hard = np.isin(structures, indices(HARD))
    spread_over_slices(canvas.hu, scanner)
    before = canvas.hu[hard]
    for layer in patient.masses:
        canvas.paint(layer)
    canvas.hu[hard] = before
    canvas.labels[hard] = 0


def spread_over_slices(hu, scanner):
    """Mixes neighbouring slices as far as their thickness reaches, in place: partial volume of what has no surface."""
    share = min(0.25 * scanner.thickness_mm / scanner.spacing_mm[0], 0.5) / 2
    scipy.ndimage.correlate1d(hu, [share, 1 - 2 * share, share], axis=0, output=hu, mode="nearest")
