"""Proves the fingerprint's percentiles against NumPy's own."""

import numpy as np

from kits_tf.data import fingerprint


def test_percentiles_are_those_of_the_voxels():
    rng = np.random.default_rng(0)
    hu = rng.normal(50, 300, (6, 30, 40)).astype(np.int16)
    labels = rng.integers(0, 3, hu.shape).astype(np.uint8)
    found = fingerprint.hu_percentiles(hu, labels)
    clipped = np.clip(hu, -1024, 3071)
    regions = {"background": labels == 0, "kidney": labels == 1, "tumor": labels == 2, "foreground": labels > 0}
    for region, mask in regions.items():
        expected = np.percentile(clipped[mask], fingerprint.PERCENTILES, method="inverted_cdf")
        np.testing.assert_array_equal(found[region], expected)


def test_an_empty_region_has_none():
    found = fingerprint.hu_percentiles(np.zeros((1, 2, 2), np.int16), np.ones((1, 2, 2), np.uint8))
    assert found["tumor"] is None and found["kidney"] == [0] * 5


def test_cases_are_summed_up():
    hu = {region: [0, 1, 2, 3, 4] for region in fingerprint.REGIONS}
    entries = [
        {"shape": [n, 10, 20], "spacing_mm": [3.0, 0.5, n / 2], "kidney_ml": 100.0 * n, "tumor_ml": 5.0, "hu": hu}
        for n in (1, 2, 6)
    ]
    entries[0]["hu"] = hu | {"tumor": None, "kidney": [3, 4, 5, 6, 7]}
    found = fingerprint.fingerprint(entries)
    assert found["shape"] == [[1, 10, 20], [2, 10, 20], [6, 10, 20]]
    assert found["spacing_mm"] == [[3.0, 0.5, 0.5], [3.0, 0.5, 1.0], [3.0, 0.5, 3.0]]
    assert found["kidney_ml"] == [100.0, 200.0, 600.0]
    assert found["hu"]["tumor"] == found["hu"]["kidney"] == [0, 1, 2, 3, 4]
    assert fingerprint.fingerprint([]) == {}
