"""What was recorded beside a prediction becomes a table that reads as text."""

from kits_tf import __version__
from kits_tf.report import provenance


def test_what_is_recorded_is_told_under_readable_names():
    summary = {
        "engine": "openvino",
        "input": "<b>",
        "shape": [88, 512, 512],
        "seconds": {"read": 0.0651, "total": 2.9},
        "peak_memory_mb": 12289.3,
        "region_of_interest": ["left", "right"],
        "kidney_ml": 9,
    }
    text = provenance.table(summary)
    rows = [
        ("input", "&lt;b&gt;"),
        ("voxels (slices, rows, columns)", "88 x 512 x 512"),
        ("engine", "openvino"),
        ("time, s", "read 0.0651, total 2.9"),
        ("peak memory, MB", "12289"),
        ("region of interest", "left, right"),
    ]
    places = [text.index(f'<td class="text">{name}</td><td') for name, _ in rows]
    assert places == sorted(places)
    assert all(value in text for _, value in rows) and "kidney" not in text
    assert __version__ in text


def test_nothing_recorded_is_said():
    assert "Not recorded" in provenance.table(None) and __version__ in provenance.table(None)
