"""Small KiTS19-layout folders and prepared folders with known content, for tests of data and training."""

import numpy as np

from kits_tf import geometry
from kits_tf.data import kits19, prepare, records, splits
from kits_tf.io import volume
from tests.tiny import blobs, small_ct


def labels(shape=(12, 60, 80), number=0):
    """Labels of `small_ct`'s two blobs: 1 inside both, 2 in the upper half of the one on the patient's left.

    A number of the case above 0 moves one kidney voxel to a place of its own, so that no two cases have one label.
    """
    found = blobs(shape).astype(np.uint8)
    found[: shape[0] // 2, :, (shape[2] + 1) // 2 :] *= 2
    if number:
        found[tuple(np.argwhere(found == 1)[0])] = 0
        found[0, 10, 30 + number] = 1
    return found


def write_case(folder, number, shape=(12, 60, 80), spacing_mm=(5.0, 4.0, 4.0)):
    """Writes one case; returns its folder. Kidneys are over 50 ml each, so that none is dropped as a speck."""
    case = folder / kits19.case_name(number)
    case.mkdir(parents=True)
    ct = volume.Volume(small_ct(shape, number), spacing_mm)
    volume.write_volume(ct, case / kits19.IMAGE_NAME)
    volume.write_labels(labels(shape, number), ct, case / kits19.LABEL_NAME)
    return case


def prepared_folder(folder, count=3, num_test=0, num_validation=0):
    """Writes `count` cases, prepares them and returns the prepared folder."""
    for number in range(count):
        write_case(folder / "raw", number)
    cases = kits19.find_cases(folder / "raw")
    assert prepare.prepare(cases, folder / "prepared", splits.Split(num_validation, num_test)) == []
    return folder / "prepared"


def write_record(path, image, label, full_shape=None, corner=(0, 0), spacing_mm=(3.0, 1.0, 1.0)):
    """Writes a record of given arrays whose body box begins at `corner` (row, column) of `full_shape`."""
    rows, columns = ((first, first + size) for first, size in zip(corner, image.shape[1:], strict=True))
    record = records.Record(
        image=image,
        label=label,
        full_shape=full_shape or image.shape,
        box=geometry.BodyBox(rows, columns),
        spacing_mm=spacing_mm,
        affine=volume.working_affine(spacing_mm),
        orientation="IPL",
    )
    records.write_record(record, path)
    return path
