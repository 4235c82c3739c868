"""Simulate a CT from an organ map: draw the map, deform it, give it HU and lesions, and scan it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.ndimage

from kits_tf.config import PHASES
from kits_tf.simulation import lesions
from kits_tf.simulation.appearance import Appearance
from kits_tf.simulation.canvas import Canvas, Layer
from kits_tf.simulation.deformation import Deformation
from kits_tf.simulation.fields import Bounds, Field, Grid, Vector, random_generator
from kits_tf.simulation.interior import Interior
from kits_tf.simulation.organ_map import Anatomy, bundled_anatomies, draw_anatomy, load
from kits_tf.simulation.refinement import OrganMap
from kits_tf.simulation.scanner import FULL_SIZE, Protocol, Range, Scanner
from kits_tf.simulation.shapes import arch, capsule
from kits_tf.simulation.structures import INDEX, KIDNEYS, LESION_FREE, are

CHUNK_VOXELS = 3_000_000  # painted at a time; bounds the memory of float32 arrays
HALO_SLICES = 1  # painted beyond a chunk's ends, for partial volume
SURVEY_MM = 4.0  # grid on which a deformed patient is examined before the scan is planned
TEXTURE_BOX = np.array([-450.0, -300.0, -300.0]), np.array([450.0, 300.0, 300.0])

# (seed, case, purpose) seeds a generator for each purpose, so that draws for one do not shift those for another.
PROTOCOL, APPEARANCE, PATIENT, SCANNER, TEXTURE, NOISE, LESIONS = range(7)


class SimulatedCase(NamedTuple):
    """A simulated CT."""

    hu: np.ndarray  # int16 [slices, rows, columns], axes (I, P, L)
    labels: np.ndarray  # uint8 of the same shape: 0 background, 1 kidney, 2 tumor
    spacing_mm: tuple[float, float, float]  # (slice, row, column)


def simulate(
    seed: int,
    case_index: int,
    anatomies: Sequence[Anatomy] = (),
    *,
    size: int = FULL_SIZE,
    slices: int | None = None,
    phases: Sequence[str] = PHASES,
    pixel_spacing_mm: Range | None = None,
    slice_spacing_mm: Range | None = None,
) -> SimulatedCase:
    """Return a simulated CT with its labels; equal arguments give an equal case, to the bit.

    Args:
        seed: Seed of the whole set.
        case_index: Number of the case within it.
        anatomies: Organ maps, one of which is drawn; the bundled ones by default.
        size: Rows and columns; below 512 the field of view stays, so that pixels grow.
        slices: Number of slices; drawn by default, at most to the end of the map.
        phases: Contrast phases, one of which is drawn.
        pixel_spacing_mm: (low, high) of a uniform draw; by default KiTS19's range and wider.
        slice_spacing_mm: Likewise.

    Raises:
        InputError: An unusable map, legend or CT.

    Example:
        >>> case = simulate(seed=0, case_index=2, size=32, slices=4)
        >>> case.hu.shape, case.hu.dtype, case.labels.dtype
        ((4, 32, 32), dtype('int16'), dtype('uint8'))
    """
    key = (seed, case_index)
    rng = random_generator(*key, PATIENT)
    anatomies = anatomies or bundled_anatomies()
    organs = load(anatomies[draw_anatomy(rng, anatomies)])
    phase = phases[int(random_generator(*key, APPEARANCE, 1).integers(len(phases)))]
    look = Appearance(random_generator(*key, APPEARANCE), phase)
    patient = Patient.draw(rng, random_generator(*key, LESIONS), organs, look)
    map_mm = float(np.ptp(patient.deformation.bounds, axis=0)[0])
    protocol_rng = random_generator(*key, PROTOCOL)
    protocol = Protocol.draw(protocol_rng, map_mm, size, slices, pixel_spacing_mm, slice_spacing_mm)
    scanner = Scanner.draw(random_generator(*key, SCANNER), protocol.spacing_mm, (*key, NOISE))
    origin_mm = patient.first_voxel_mm(rng, protocol)
    texture_rng = random_generator(*key, TEXTURE)
    textures = Field.noise(texture_rng, TEXTURE_BOX, 22), Field.noise(texture_rng, TEXTURE_BOX, 4.5)
    hu, labels = _scan(patient, scanner, protocol.shape, origin_mm, textures)
    return SimulatedCase(hu, labels, protocol.spacing_mm)


@dataclasses.dataclass
class Patient:
    """A random patient made from a map."""

    organs: OrganMap
    look: Appearance
    deformation: Deformation
    interior: Interior
    around: list[Layer]  # painted before the body: table and arms
    masses: list[Layer]  # painted after it: lesions
    body: Bounds  # of the trunk, mm (z, y, x)
    kidney_ends_mm: tuple[float, float]  # first and last z

    @classmethod
    def draw(
        cls, rng: np.random.Generator, lesions_rng: np.random.Generator, organs: OrganMap, look: Appearance
    ) -> Patient:
        """Return a random patient; `lesions_rng` draws the lesions."""
        deformation = Deformation(rng, organs)
        interior = Interior(rng, deformation.bounds)
        surfaces, *_ = _survey(deformation, interior, organs)
        tumors = lesions.draw_tumors(lesions_rng, surfaces)
        for tumor in tumors:
            if tumor.radius > lesions.PUSHING_MM:
                deformation.push(tumor.centre, tumor.radius)
        surfaces, body, elsewhere = _survey(deformation, interior, organs)
        masses = lesions.elsewhere_layers(lesions_rng, elsewhere, look)
        masses += lesions.cyst_layers(lesions_rng, surfaces)
        masses += lesions.stone_layers(lesions_rng, surfaces, look)
        masses += [layer for tumor in tumors for layer in lesions.tumor_layers(lesions_rng, tumor, look)]
        around = _table_layers(rng, body) + _arm_layers(rng, body, look)
        z = np.concatenate([points[:, 0] for _, points in surfaces] or [np.zeros(1)])
        return cls(organs, look, deformation, interior, around, masses, body, (z.min(), z.max()))

    def first_voxel_mm(self, rng: np.random.Generator, protocol: Protocol) -> tuple[float, float, float]:
        """Return the mm (z, y, x) of the first voxel: the trunk about in the middle, kidneys and map within."""
        slices, rows, columns = protocol.shape
        dz, dy, dx = protocol.spacing_mm
        (first, *_), (last, *_) = self.deformation.bounds
        last -= (slices - 1) * dz
        top = np.clip(protocol.first_slice_mm(self.kidney_ends_mm), min(first, last), max(first, last))
        _, y, x = (self.body[0] + self.body[1]) / 2 + rng.normal(0, 15, 3)
        return float(top), y - (rows - 1) / 2 * dy, x - (columns - 1) / 2 * dx

    def paint(self, canvas: Canvas, scanner: Scanner) -> None:
        """Paint table, arms, body and lesions."""
        for layer in self.around:
            canvas.paint(layer)
        structures, depths = _look_up(self.deformation, self.organs, canvas.grid)
        skin = self.interior.apply(structures, depths)
        body = self.look.means[structures]
        body += canvas.coarse * self.look.coarse[structures]
        body += canvas.fine * self.look.fine[structures]
        self.interior.paint(body, structures, depths, canvas, self.look)
        body[skin] = self.look.skin
        np.copyto(canvas.hu, body, where=structures != INDEX["air"])
        canvas.labels[are(structures, KIDNEYS)] = 1
        # Structures have no implicit surface to compute partial volume from: neighbouring slices are mixed instead.
        share = min(0.25 * scanner.thickness_mm / scanner.spacing_mm[0], 0.5) / 2
        weights = [share, 1 - 2 * share, share]
        scipy.ndimage.correlate1d(canvas.hu, weights, axis=0, output=canvas.hu, mode="nearest")
        hard = are(structures, LESION_FREE)
        before = canvas.hu[hard]
        for layer in self.masses:
            canvas.paint(layer)
        canvas.hu[hard] = before
        canvas.labels[hard] = 0


def _survey(
    deformation: Deformation, interior: Interior, organs: OrganMap
) -> tuple[lesions.Surfaces, Bounds, np.ndarray]:
    """Return, from a coarse grid, the kidneys' surfaces, the trunk's box and points for lesions elsewhere in it."""
    low, high = deformation.bounds
    grid = Grid.regular(np.ceil((high - low) / SURVEY_MM).astype(int) + 1, (SURVEY_MM,) * 3, low)
    structures, depths = _look_up(deformation, organs, grid)
    interior.apply(structures, depths)

    def points(mask: np.ndarray) -> np.ndarray:
        return np.argwhere(mask) * SURVEY_MM + low

    kidneys = [kidney for name in KIDNEYS if (kidney := structures == INDEX[name]).any()]
    surfaces = [(points(k).mean(axis=0), points(k & ~scipy.ndimage.binary_erosion(k))) for k in kidneys]
    trunk = points(structures != INDEX["air"])
    elsewhere = points(~are(structures, (*LESION_FREE, *KIDNEYS)))
    return surfaces, (trunk.min(axis=0), trunk.max(axis=0)), elsewhere


def _look_up(deformation: Deformation, organs: OrganMap, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return (structures uint8, depths int8) at a grid's voxels."""
    voxels = deformation.voxels(grid, organs)
    return organs.structures.ravel()[voxels], organs.depths.ravel()[voxels]


def _table_layers(rng: np.random.Generator, body: Bounds) -> list[Layer]:
    """Return the curved table top under a body, a shell around a light core; empty in one scan of ten."""
    if rng.uniform() >= 0.9:
        return []
    half_thickness, shell = rng.uniform(6, 14), rng.uniform(1.2, 2.2)
    bottom = body[1][1] + rng.uniform(0, 10) + 2 * half_thickness
    radius, half_width = rng.uniform(320, 600), rng.uniform(190, 240)
    core = arch(bottom - shell, radius, half_width - shell, half_thickness - shell)
    return [
        Layer(arch(bottom, radius, half_width, half_thickness), "table_shell", rng.uniform(-220, 20)),
        Layer(core, "table_core", rng.uniform(-960, -900)),
    ]


def _arm_layers(rng: np.random.Generator, body: Bounds, look: Appearance) -> list[Layer]:
    """Return the arms beside a body, in one scan of seven."""
    if rng.uniform() > 0.14:
        return []
    layers = []
    cortex_hu, marrow_hu = rng.uniform(420, 750), rng.uniform(120, 260)
    (top, front, right), (bottom, back, left) = body
    for side, edge in ((-1, right), (1, left)):
        radius = rng.uniform(28, 45)
        y = rng.uniform(0.4, 0.8) * (back - front) + front
        x = edge + side * (radius + rng.uniform(0, 15))
        course = np.array([[top - 20, y, x], [bottom + 20, y + rng.normal(0, 15), x + rng.normal(0, 10)]])
        arm = capsule(course, [radius, radius * rng.uniform(0.6, 0.9)])
        bone = capsule(course, [rng.uniform(8, 12)] * 2)
        layers += [
            Layer(arm, "fat", look.mean("fat")),
            Layer(arm.offset(-rng.uniform(3, 12)), "muscle", look.mean("muscle")),
            Layer(bone, "cortical_bone", cortex_hu),
            Layer(bone.offset(-3), "bone", marrow_hu),
        ]
    return layers


def _scan(
    patient: Patient, scanner: Scanner, shape: tuple[int, int, int], origin_mm: Vector, textures: tuple[Field, Field]
) -> tuple[np.ndarray, np.ndarray]:
    """Return (hu int16, labels uint8) of `shape`, painted and scanned in chunks of slices."""
    hu, labels = np.empty(shape, np.int16), np.empty(shape, np.uint8)
    middle = (patient.body[0] + patient.body[1]) / 2
    row, column = (float((middle[i] - origin_mm[i]) / scanner.spacing_mm[i]) for i in (1, 2))
    chunk = max(1, CHUNK_VOXELS // (shape[1] * shape[2]))
    for start in range(0, shape[0], chunk):
        stop = min(start + chunk, shape[0])
        wide = (stop - start + 2 * HALO_SLICES, *shape[1:])
        grid = Grid.regular(wide, scanner.spacing_mm, origin_mm, start - HALO_SLICES)
        canvas = Canvas(grid, textures, scanner.thickness_mm, patient.look.mean("air"))
        patient.paint(canvas, scanner)
        keep = slice(HALO_SLICES, HALO_SLICES + stop - start)
        hu[start:stop] = scanner.acquire(canvas.hu[keep], start, (row, column))
        labels[start:stop] = canvas.labels[keep]
    return hu, labels
