"""What a data set is like in numbers: spacing, size, volumes, and HU in kidney, tumor and background."""

import numpy as np

from kits_tf.io.volume import LABELS

PERCENTILES = (0.5, 5.0, 50.0, 95.0, 99.5)
REGIONS = ("background", "kidney", "tumor", "foreground")
LOWEST_HU, HIGHEST_HU = -1024, 3071


def hu_percentiles(hu, labels):
    """Percentiles of HU by region.

    Args:
        hu: int16 [slices, rows, columns], of the body box.
        labels: uint8 of its shape: 0, 1 or 2.

    Returns:
        {region: list of whole HU, one for each of PERCENTILES, or None where the region is empty}; foreground is
        kidney and tumor together. HU are clipped to [-1024, 3071].
    """
    size = HIGHEST_HU - LOWEST_HU + 1
    counts = np.zeros(LABELS * size, np.int64)
    for image, label in zip(hu, labels, strict=True):
        place = np.clip(image, LOWEST_HU, HIGHEST_HU).astype(np.int32) - LOWEST_HU
        counts += np.bincount((label.astype(np.int32) * size + place).ravel(), minlength=len(counts))
    histograms = counts.reshape(LABELS, size)
    histograms = np.concatenate([histograms, histograms[1:].sum(axis=0, keepdims=True)])
    return {region: percentiles(histogram) for region, histogram in zip(REGIONS, histograms, strict=True)}


def percentiles(histogram):
    """The HU below or at which each of PERCENTILES of a histogram's voxels lie; None where it is empty."""
    total = histogram.sum()
    if not total:
        return None
    ranks = np.ceil(np.array(PERCENTILES) / 100 * total)
    return [int(place) + LOWEST_HU for place in np.searchsorted(np.cumsum(histogram), ranks)]


def fingerprint(entries):
    """The fingerprint of cases.

    Args:
        entries: list of dicts as in `dataset.json`: "spacing_mm", "shape", "kidney_ml", "tumor_ml", "hu".

    Returns:
        dict: for spacing_mm, shape (by axis), kidney_ml and tumor_ml the least, the median and the greatest value; for
        each region of "hu" the median over cases of each percentile.
    """
    if not entries:
        return {}
    spans = {
        name: least_median_greatest([entry[name] for entry in entries])
        for name in ("shape", "spacing_mm", "kidney_ml", "tumor_ml")
    }
    hu = {region: [e["hu"][region] for e in entries if e["hu"][region]] for region in REGIONS}
    medians = {region: np.median(values, axis=0).tolist() if values else None for region, values in hu.items()}
    return spans | {"percentiles": list(PERCENTILES), "hu": medians}


def least_median_greatest(values):
    """[least, median, greatest] of numbers, or of each place in lists."""
    return [np.round(reduce(values, axis=0), 6).tolist() for reduce in (np.min, np.median, np.max)]
