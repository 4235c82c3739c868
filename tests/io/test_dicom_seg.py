"""A DICOM SEG holds the labels voxel for voxel, coded, in the CT's frame of reference; read back by pydicom alone."""

import numpy as np
import pytest

highdicom = pytest.importorskip("highdicom")
pydicom = pytest.importorskip("pydicom")

from kits_tf import read_volume  # noqa: E402
from kits_tf.io.dicom import COPIED_TO_SEG  # noqa: E402
from kits_tf.io.dicom_folder import find_series  # noqa: E402
from kits_tf.io.dicom_seg import write_segmentation  # noqa: E402
from tests.io.dicom_files import PATIENT_ID, images, write  # noqa: E402
from tests.tiny import small_ct  # noqa: E402

SHAPE = (6, 20, 24)
TURNED = (0, 1, 0, 0, 0, -1)


def planted_labels(shape):
    """Random labels, with empty slices at both ends and in the middle of the tumor."""
    labels = np.random.default_rng(3).choice(3, shape, p=[0.7, 0.2, 0.1]).astype(np.uint8)
    labels[0] = labels[-1] = 0
    labels[2][labels[2] == 2] = 1
    return labels


def frames(segmentation):
    """{(segment, image that it was derived from): bool [rows, columns]} of a DICOM SEG, bit by bit."""
    bits = np.unpackbits(np.frombuffer(segmentation.PixelData, np.uint8), bitorder="little")
    size = segmentation.Rows * segmentation.Columns
    found = {}
    for number, frame in enumerate(segmentation.PerFrameFunctionalGroupsSequence):
        segment = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        image = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        plane = bits[number * size : (number + 1) * size].reshape(segmentation.Rows, segmentation.Columns)
        found[segment, image] = plane.astype(bool)
    return found


def segmented(tmp_path, made, labels=None, folder="ct"):
    """The DICOM SEG of labels, written for a series of images."""
    (series,) = find_series(write(made, tmp_path / folder))
    labels = planted_labels(SHAPE) if labels is None else labels
    write_segmentation(labels, series, tmp_path / "labels.dcm")
    return pydicom.dcmread(tmp_path / "labels.dcm")


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), TURNED], ids=["axial", "sagittal"])
def test_every_voxel_is_in_the_frame_of_its_own_image(tmp_path, orientation):
    made = images(small_ct(SHAPE), orientation=orientation)
    volume = read_volume(write(made, tmp_path / "same"))
    labels = planted_labels(volume.shape)
    found = frames(segmented(tmp_path, made, labels))
    to_index = np.linalg.inv(volume.affine)
    row, column = np.array(orientation[:3]) * 0.7, np.array(orientation[3:]) * 0.8
    for image in made:
        i, j = np.indices((image.Rows, image.Columns))
        lps = np.array(image.ImagePositionPatient) + j[..., None] * row + i[..., None] * column
        ras = np.concatenate([lps * (-1, -1, 1), np.ones((*i.shape, 1))], axis=-1)
        index = np.rint(ras @ to_index.T)[..., :3].astype(int)
        expected = labels[tuple(np.moveaxis(index, -1, 0))]
        for segment in (1, 2):
            mask = found.get((segment, image.SOPInstanceUID), np.zeros(expected.shape, bool))
            np.testing.assert_array_equal(mask, expected == segment)


def test_segments_are_coded_and_the_patient_is_the_cts(tmp_path):
    made = images(small_ct(SHAPE))
    written = segmented(tmp_path, made)
    kinds = [segment.SegmentedPropertyTypeCodeSequence[0] for segment in written.SegmentSequence]
    assert [segment.SegmentLabel for segment in written.SegmentSequence] == ["Kidney", "Tumor"]
    assert [f"{kind.CodingSchemeDesignator} {kind.CodeValue}" for kind in kinds] == ["SCT 64033007", "SCT 108369006"]
    for key in ("FrameOfReferenceUID", "StudyInstanceUID", "PatientID"):
        assert written[key].value == made[0][key].value
    assert written.PatientID == PATIENT_ID
    assert written.Modality == "SEG" and written.SeriesInstanceUID != made[0].SeriesInstanceUID
    empty = segmented(tmp_path, images(small_ct(SHAPE)), np.zeros(SHAPE, np.uint8), "empty")
    assert len(empty.SegmentSequence) == 2 and not any(mask.any() for mask in frames(empty).values())


@pytest.mark.parametrize("claimed", [0, 0.0001, 2.5, None])
def test_distances_are_those_of_the_positions(tmp_path, claimed):
    made = images(small_ct(SHAPE))
    for image in made:
        image.SpacingBetweenSlices = claimed
    labels = planted_labels(SHAPE)
    segmented(tmp_path, made, labels)
    volume = highdicom.seg.segread(tmp_path / "labels.dcm").get_volume(combine_segments=True)
    assert volume.spacing == pytest.approx((3.0, 0.8, 0.7))
    assert np.count_nonzero(volume.array) == np.count_nonzero(labels)


@pytest.mark.parametrize("key", COPIED_TO_SEG)
@pytest.mark.parametrize("is_empty", [True, False])
def test_missing_elements_are_filled(tmp_path, key, is_empty):
    made = images(small_ct(SHAPE))
    for image in made:
        setattr(image, key, None) if is_empty else delattr(image, key)
    written = segmented(tmp_path, made)
    assert written.StudyInstanceUID and written.FrameOfReferenceUID
    assert key in written or key == "SliceThickness"
