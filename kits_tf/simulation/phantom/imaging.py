"""The scanner: blur of the focal spot and kernel, noise with the grain of filtered back-projection, rounding."""

import dataclasses

import numpy as np
import scipy.fft
import scipy.ndimage

from kits_tf.simulation.phantom.materials import mixed_rng


@dataclasses.dataclass(frozen=True)
class Scanner:
    """How a CT is taken.

    Attributes:
        spacing_mm: (slice, row, column).
        thickness_mm: slice thickness.
        blur_mm: standard deviation of the in-plane point spread.
        noise_hu: standard deviation of the noise in the middle of the body.
        grain_per_mm: frequency at which the reconstruction kernel rolls off; higher is a sharper, finer grain.
        streaks_hu: strength of faint horizontal streaks.
        circular: voxels beyond the circle of the field of view are set to -1024.
        key: integers that with the slice number seed the noise.
    """

    spacing_mm: tuple
    thickness_mm: float
    blur_mm: float
    noise_hu: float
    grain_per_mm: float
    streaks_hu: float
    circular: bool
    key: tuple

    @classmethod
    def draw(cls, rng, spacing_mm, key):
        """A random scanner for voxels of `spacing_mm`."""
        thickness = spacing_mm[0] if spacing_mm[0] >= 2 else spacing_mm[0] * rng.uniform(1, 1.6)
        grain = rng.uniform(0.25, 0.5)
        # Thin slices are noisier, as fewer photons make them; users smooth part of that away.
        noise = rng.uniform(9, 21) * (3.0 / max(thickness, 0.5)) ** 0.3 * (grain / 0.35) ** 0.5
        # Pixels larger than the grain average some of it away.
        noise *= min(1.0, (0.9 / spacing_mm[2]) ** 0.5)
        return cls(
            spacing_mm=tuple(spacing_mm),
            thickness_mm=float(thickness),
            blur_mm=float(rng.uniform(0.45, 0.8)),
            noise_hu=float(noise),
            grain_per_mm=float(grain),
            streaks_hu=float(rng.uniform(0, 5)),
            circular=bool(rng.uniform() < 0.3),
            key=tuple(key),
        )

    def acquire(self, hu, first_slice, body_centre):
        """A CT of clean slices.

        Args:
            hu: float32 [slices, rows, columns], overwritten.
            first_slice: number of the first of them in the volume.
            body_centre: (row, column) of the middle of the body, where the noise is largest.

        Returns:
            int16 of the same shape.
        """
        blur = self.blur_mm / np.asarray(self.spacing_mm[1:])
        rows, columns = hu.shape[1:]
        filters = self.grain_filter(rows, columns)
        gain = self.noise_map(rows, columns, body_centre)
        outside = self.outside_circle(rows, columns) if self.circular else None
        result = np.empty(hu.shape, np.int16)
        for i, plane in enumerate(hu):
            plane = scipy.ndimage.gaussian_filter(plane, blur, truncate=3, mode="nearest")
            plane += self.noise(first_slice + i, rows, columns, filters) * gain
            if outside is not None:
                plane[outside] = -1024
            np.rint(plane, out=plane)
            result[i] = np.clip(plane, -1024, 3071, out=plane)
        return result

    def noise(self, slice_index, rows, columns, filters):
        """One slice of noise of unit standard deviation, float32 [rows, columns], plus its streaks."""
        rng = mixed_rng(*self.key, slice_index)
        # Rows are padded so that the transform's size is a fast one and its wrap-around stays apart.
        shape = filters[1]
        white = rng.standard_normal(shape, np.float32)
        grain = scipy.fft.irfft2(scipy.fft.rfft2(white) * filters[0], s=shape)[:rows, :columns]
        streaks = scipy.ndimage.gaussian_filter1d(rng.standard_normal(rows).astype(np.float32), 1.0)
        return grain + streaks[:, None] * np.float32(self.streaks_hu / self.noise_hu)

    def grain_filter(self, rows, columns):
        """Transfer of white noise to CT noise, scaled to keep unit variance, and the transform's shape.

        The noise power of filtered back-projection grows with frequency (the ramp) until the kernel rolls it off.
        """
        shape = tuple(scipy.fft.next_fast_len(n, real=True) for n in (rows, columns))
        fy = scipy.fft.fftfreq(shape[0], self.spacing_mm[1])[:, None]
        fx = scipy.fft.rfftfreq(shape[1], self.spacing_mm[2])[None, :]
        frequency = np.hypot(fy, fx)
        power = (frequency + 0.03) * np.exp(-((frequency / self.grain_per_mm) ** 2))
        # Mean over the whole spectrum: columns other than the first and last count twice.
        weight = np.full(power.shape[1], 2.0)
        weight[0] = 1
        if shape[1] % 2 == 0:
            weight[-1] = 1
        power /= (power * weight).sum() / (shape[0] * shape[1])
        return np.sqrt(power).astype(np.float32), shape

    def noise_map(self, rows, columns, body_centre):
        """Noise in HU by place, float32 [rows, columns]: rays through the middle of the body lose most photons."""
        y = (np.arange(rows) - body_centre[0]) * self.spacing_mm[1] / 110
        x = (np.arange(columns) - body_centre[1]) * self.spacing_mm[2] / 160
        closeness = np.exp(-(y[:, None] ** 2 + x[None, :] ** 2))
        return (self.noise_hu * (0.45 + 0.55 * closeness)).astype(np.float32)

    def outside_circle(self, rows, columns):
        """Voxels beyond the inscribed circle, bool [rows, columns]."""
        y = (np.arange(rows) + 0.5) / rows - 0.5
        x = (np.arange(columns) + 0.5) / columns - 0.5
        return y[:, None] ** 2 + x[None, :] ** 2 > 0.25
