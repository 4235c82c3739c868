"""The sidecar files have the form that ITK-SNAP and 3D Slicer read, and the colors of the pictures."""

import re

from kits_tf.report import viewers


def test_slicer_lines_are_index_name_and_four_numbers(tmp_path):
    viewers.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kits_labels.ctbl", "kits_labels_itk_snap.txt"]
    lines = [line for line in viewers.slicer_table().splitlines() if not line.startswith("#")]
    assert lines == ["0 background 0 0 0 0", "1 kidney 86 180 233 255", "2 tumor 230 159 0 255"]


def test_snap_lines_are_seven_numbers_and_a_name_in_quotes():
    lines = [line for line in viewers.snap_descriptions().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r'(\d+ ){7}"[^"]+"', line) for line in lines)
    assert lines[1:] == ['1 86 180 233 1 1 1 "kidney"', '2 230 159 0 1 1 1 "tumor"']
