"""The scan: slices and spacings, distributed as in KiTS19, and the blur, noise and rounding of the scanner."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.fft
import scipy.ndimage

from kits_tf.simulation.fields import random_generator

Range = tuple[float, float]

# Measured in 168 KiTS19 volumes: slice spacing 0.5 to 5 mm, half of them 3 mm or less; pixels 0.44 to 1.04 mm, median
# 0.78; scanned length 145 to 755 mm, median 415, in two modes (abdomen alone, abdomen and pelvis) with a tail of whole
# trunks. The simulation adds thicker slices and smaller fields of view.
SLICE_SPACINGS_MM = (0.5, 1.0, 1.25, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0)
SLICE_SPACING_SHARES = (0.11, 0.07, 0.03, 0.05, 0.13, 0.185, 0.035, 0.32, 0.03, 0.04)
PIXEL_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
PIXEL_SPACINGS_MM = (0.43, 0.52, 0.67, 0.77, 0.87, 0.98, 1.041)
FULL_SIZE = 512  # rows and columns of KiTS19
MIN_SLICES, MAX_SLICES = 16, 1059
SPARE_MM = 6.0  # least distance of whole kidneys from the first and last slice
LENGTHS_MM = {
    "abdomen": (0.42, (95, 175), (85, 160)),
    "pelvis": (0.46, (110, 180), (230, 320)),
    "trunk": (0.09, (280, 400), (240, 330)),
    "short": (0.03, (70, 90), (68, 85)),
}
"""Share of scans, and the length above and below the middle of the kidneys."""
CUT, LARGEST_CUT = 0.15, 0.8  # share of scans that end within the kidneys, and the largest share of them cut off

NOISE_HU, GRAIN_PER_MM, STREAKS_HU = (3.0, 40.0), (0.12, 0.55), (1.0, 12.0)
STREAK_TURN = 0.25  # standard deviation of the angle between streaks and rows, radians
BLUR_MM, BLUR_PIXELS = (0.45, 0.8), (0.25, 0.75)
THICKNESS = (0.6, 1.6)  # slice thickness over slice spacing
MIN_HU, MAX_HU = -1024, 3071
CLIPPED, STORED_HU = 0.4, (1000, 2000)  # share of CTs that are clipped at lower HU, and the range of these


@dataclasses.dataclass(frozen=True)
class Protocol:
    """The volume to scan."""

    shape: tuple[int, int, int]  # (slices, rows, columns)
    spacing_mm: tuple[float, float, float]
    above_share: float  # of the scanned length, above the middle of the kidneys
    cut_share: float  # of the kidneys beyond the first slice, or the last one if negative; 0 keeps them whole

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        map_mm: float,
        size: int = FULL_SIZE,
        slices: int | None = None,
        pixel_spacing_mm: Range | None = None,
        slice_spacing_mm: Range | None = None,
    ) -> Protocol:
        """Return a random protocol for a map `map_mm` long; see `case.simulate` for the other arguments."""
        pixel_draw, slice_draw = rng.uniform(size=2)
        kind = rng.choice(list(LENGTHS_MM), p=[share for share, _, _ in LENGTHS_MM.values()])
        above, below = (rng.uniform(*limits) for limits in LENGTHS_MM[kind][1:])
        if pixel_spacing_mm is not None:
            pixel = np.interp(pixel_draw, (0, 1), pixel_spacing_mm)
        else:
            pixel = np.interp(pixel_draw, PIXEL_QUANTILES, PIXEL_SPACINGS_MM) * FULL_SIZE / size
        if slice_spacing_mm is not None:
            spacing = np.interp(slice_draw, (0, 1), slice_spacing_mm)
        elif slices is None:
            index = np.searchsorted(np.cumsum(SLICE_SPACING_SHARES), slice_draw * sum(SLICE_SPACING_SHARES))
            spacing = SLICE_SPACINGS_MM[min(index, len(SLICE_SPACINGS_MM) - 1)]
        else:
            # A given number of slices covers the kidneys if the spacings of KiTS19 allow it.
            spacing = np.clip(min(above + below, map_mm) / slices, SLICE_SPACINGS_MM[0], SLICE_SPACINGS_MM[-1])
        spacing, pixel = round(float(spacing), 4), round(float(pixel), 6)
        if slices is None:
            slices = int(np.clip(round((above + below) / spacing), MIN_SLICES, MAX_SLICES))
            slices = min(slices, max(int(map_mm / spacing), MIN_SLICES))
        cut = rng.uniform(-LARGEST_CUT, LARGEST_CUT) if rng.uniform() < CUT else 0.0
        return cls((slices, size, size), (spacing, pixel, pixel), above / (above + below), float(cut))

    def first_slice_mm(self, kidney_ends_mm: tuple[float, float]) -> float:
        """Return z in mm of the first slice, given the first and the last z of the kidneys."""
        extent = (self.shape[0] - 1) * self.spacing_mm[0]
        first, last = kidney_ends_mm
        if self.cut_share > 0:
            return first + self.cut_share * (last - first)
        if self.cut_share < 0:
            return last + self.cut_share * (last - first) - extent
        top = (first + last) / 2 - extent * self.above_share
        if last - first + 2 * SPARE_MM < extent:
            top = float(np.clip(top, last + SPARE_MM - extent, first - SPARE_MM))
        return top


@dataclasses.dataclass(frozen=True)
class Scanner:
    """The scanner's effects on the HU of a body."""

    spacing_mm: tuple[float, float, float]
    thickness_mm: float  # of slices
    blur_mm: float  # standard deviation of the in-plane point spread
    noise_hu: float  # standard deviation in the middle of the body
    grain_per_mm: float  # frequency at which the reconstruction kernel rolls off; higher means a finer grain
    streaks_hu: float  # standard deviation of straight streaks
    streak_turn: float  # their angle to the rows, radians
    circular: bool  # whether the field of view is a circle with -1024 HU around it
    max_hu: int  # where the CT is clipped
    key: tuple[int, ...]  # seeds the noise, with the slice number

    @classmethod
    def draw(cls, rng: np.random.Generator, spacing_mm: tuple[float, float, float], key: tuple[int, ...]) -> Scanner:
        """Return a random scanner for voxels of `spacing_mm`; `key` seeds its noise."""
        return cls(
            spacing_mm=spacing_mm,
            thickness_mm=spacing_mm[0] * rng.uniform(*THICKNESS),
            blur_mm=max(rng.uniform(*BLUR_MM), spacing_mm[2] * rng.uniform(*BLUR_PIXELS)),
            noise_hu=float(np.exp(rng.uniform(*np.log(NOISE_HU)))),
            grain_per_mm=float(np.exp(rng.uniform(*np.log(GRAIN_PER_MM)))),
            streaks_hu=float(np.exp(rng.uniform(*np.log(STREAKS_HU)))) if rng.uniform() < 0.5 else 0.0,
            streak_turn=rng.normal(0, STREAK_TURN),
            circular=bool(rng.uniform() < 0.3),
            max_hu=int(rng.integers(*STORED_HU)) if rng.uniform() < CLIPPED else MAX_HU,
            key=key,
        )

    def acquire(self, hu: np.ndarray, first_slice: int, body_centre: tuple[float, float]) -> np.ndarray:
        """Return the CT, int16, of noise-free slices, float32 [slices, rows, columns].

        Args:
            hu: The slices.
            first_slice: Number of the first of them in the volume.
            body_centre: (row, column) of the middle of the body, where the noise is largest.
        """
        blur = self.blur_mm / np.asarray(self.spacing_mm[1:])
        rows, columns = hu.shape[1:]
        transfer, padded = self._noise_transfer(rows, columns)
        gain = self._noise_gain(rows, columns, body_centre)
        y, x = ((np.arange(count) + 0.5) / count - 0.5 for count in (rows, columns))
        outside = y[:, None] ** 2 + x**2 > 0.25  # of the inscribed circle
        result = np.empty(hu.shape, np.int16)
        for number, plane in enumerate(hu):
            plane = scipy.ndimage.gaussian_filter(plane, blur, truncate=3, mode="nearest")
            noise = self._noise(first_slice + number, transfer, padded)[:rows, :columns]
            if self.streaks_hu:
                noise = noise + self._streaks(first_slice + number, rows, columns)
            plane += noise * gain
            if self.circular:
                plane[outside] = MIN_HU
            result[number] = np.clip(np.rint(plane), MIN_HU, self.max_hu)
        return result

    def _noise(self, slice_index: int, transfer: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return one slice of noise of unit standard deviation, float32 of `shape`."""
        white = random_generator(*self.key, slice_index).standard_normal(shape, np.float32)
        return scipy.fft.irfft2(scipy.fft.rfft2(white) * transfer, s=shape)

    def _streaks(self, slice_index: int, rows: int, columns: int) -> np.ndarray:
        """Return one slice of straight streaks in units of the noise, float32 [rows, columns]."""
        profile = random_generator(*self.key, slice_index, 1).standard_normal(rows + columns).astype(np.float32)
        profile = scipy.ndimage.gaussian_filter1d(profile, 1.0) * np.float32(1.9 * self.streaks_hu / self.noise_hu)
        across = np.arange(rows)[:, None] * np.cos(self.streak_turn) + np.arange(columns) * np.sin(self.streak_turn)
        return profile[(across.astype(np.int32)) % len(profile)]

    def _noise_transfer(self, rows: int, columns: int) -> tuple[np.ndarray, tuple[int, int]]:
        """Return the transfer of white noise to CT noise of unit variance, and the shape of its transform.

        The noise power of filtered back-projection grows with frequency (the ramp) until the kernel rolls it off.
        """
        height, width = (scipy.fft.next_fast_len(count, real=True) for count in (rows, columns))
        fy, fx = (scipy.fft.fftfreq(n, mm) for n, mm in zip((height, width), self.spacing_mm[1:], strict=True))
        frequency = np.hypot(fy[:, None], fx)
        power = (frequency + 0.03) * np.exp(-((frequency / self.grain_per_mm) ** 2))
        transfer = np.sqrt(power / power.mean())[:, : width // 2 + 1]  # `rfft2` leaves out the mirrored half
        return transfer.astype(np.float32), (height, width)

    def _noise_gain(self, rows: int, columns: int, body_centre: tuple[float, float]) -> np.ndarray:
        """Return the noise of each pixel in HU, float32 [rows, columns]: rays through the middle lose most photons."""
        y = (np.arange(rows) - body_centre[0]) * self.spacing_mm[1] / 110
        x = (np.arange(columns) - body_centre[1]) * self.spacing_mm[2] / 160
        closeness = np.exp(-(y[:, None] ** 2 + x[None, :] ** 2))
        return (self.noise_hu * (0.45 + 0.55 * closeness)).astype(np.float32)
