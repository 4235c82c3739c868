"""A series becomes the volume that was planted; every planted fault is handled or refused in one line."""

import numpy as np
import pytest

pytest.importorskip("highdicom")

from pydicom.uid import (  # noqa: E402
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from kits_tf.errors import InputError  # noqa: E402
from kits_tf.io.dicom import find_series  # noqa: E402
from kits_tf.io.dicom.reading import read_volume  # noqa: E402
from tests.io.dicom.planted import PATIENT_ID, compressed, images, write  # noqa: E402
from tests.tiny import small_ct  # noqa: E402

HU = np.maximum(small_ct((6, 20, 24)), -1024)
SPACING_MM = (3.0, 0.8, 0.7)


def read(folder):
    (series,) = find_series(folder)
    return read_volume(series)


def ras(volume, index):
    return (volume.affine @ [*index, 1])[:3]


def test_an_axial_series_is_read_as_it_was_planted(tmp_path):
    volume = read(write(images(HU), tmp_path / "ct"))
    np.testing.assert_array_equal(volume.hu, HU)
    assert volume.hu.dtype == np.int16
    assert volume.spacing_mm == pytest.approx(SPACING_MM)
    # DICOM counts towards left and posterior, NIfTI towards right and anterior
    np.testing.assert_allclose(ras(volume, (0, 0, 0)), (20, 30, 100))
    np.testing.assert_allclose(ras(volume, (5, 19, 23)), (20 - 23 * 0.7, 30 - 19 * 0.8, 100 - 5 * 3))


@pytest.mark.parametrize(
    "orientation",
    [(0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1), (-1, 0, 0, 0, 1, 0), (0, -1, 0, -1, 0, 0)],
    ids=["sagittal", "coronal", "mirrored", "turned"],
)
def test_every_voxel_lies_where_its_own_image_says(tmp_path, orientation):
    values = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    made = images(values, orientation=orientation)
    volume = read(write(made, tmp_path / "ct"))
    rotation = volume.affine[:3, :3]
    assert np.abs(rotation).argmax(axis=0).tolist() == [2, 1, 0] and (rotation[[2, 1, 0], [0, 1, 2]] < 0).all()
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    for image, plane in zip(made, values, strict=True):
        for (i, j), value in np.ndenumerate(plane):
            lps = np.array(image.ImagePositionPatient) + j * SPACING_MM[2] * row + i * SPACING_MM[1] * column
            np.testing.assert_allclose(ras(volume, np.argwhere(volume.hu == value)[0]), lps * (-1, -1, 1), atol=1e-6)


@pytest.mark.parametrize("slope, intercept", [(1, -1024), (2, -1000), (0.5, -1024), (1, -1024.5)])
def test_rescale_is_that_of_each_image(tmp_path, slope, intercept):
    made = images(HU)
    made[2].RescaleSlope, made[2].RescaleIntercept = slope, intercept
    volume = read(write(made, tmp_path / "ct"))
    np.testing.assert_allclose(volume.hu[2], (HU[2].astype(float) + 1024) * slope + intercept)
    np.testing.assert_array_equal(volume.hu[3], HU[3])
    is_whole = float(intercept).is_integer() and (volume.hu == np.rint(volume.hu)).all()
    assert volume.hu.dtype == (np.int16 if is_whole else np.float32)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEGLosslessSV1])
def test_compressed_transfer_syntaxes(tmp_path, syntax):
    made = images(HU)
    if syntax in (JPEG2000Lossless, JPEGLosslessSV1):
        folder = gdcm_compressed(write(made, tmp_path / "plain"), tmp_path / "ct", syntax)
    else:
        folder = write(compressed(made, syntax), tmp_path / "ct")
    np.testing.assert_array_equal(read(folder).hu, HU)


def gdcm_compressed(folder, target, syntax):
    """The images of a folder in a transfer syntax that GDCM alone can write."""
    import gdcm

    kinds = {JPEG2000Lossless: gdcm.TransferSyntax.JPEG2000Lossless, JPEGLosslessSV1: None}
    kinds[JPEGLosslessSV1] = gdcm.TransferSyntax.JPEGLosslessProcess14_1
    target.mkdir()
    for path in folder.iterdir():
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(kinds[syntax]))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(target / path.name))
        assert writer.Write()
    return target


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_plain_transfer_syntaxes(tmp_path, syntax):
    made = images(HU)
    for image in made:
        image.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_array_equal(read(write(made, tmp_path / "ct")).hu, HU)


def test_signed_numbers_and_an_unknown_padding(tmp_path):
    made = images(HU, intercept=0)
    for image, plane in zip(made, HU, strict=True):
        image.PixelRepresentation = 1
        image.PixelData = plane.astype("<i2").tobytes()
    np.testing.assert_array_equal(read(write(made, tmp_path / "ct")).hu, HU)


def missing(made):
    return made[:2] + made[3:]


def two_missing(made):
    return made[:1] + made[3:]


def twice(made):
    for image in made:
        image.SOPInstanceUID = generate_uid()
    again = images(HU)
    for image in again:
        image.SeriesInstanceUID = made[0].SeriesInstanceUID
    return made + again


def tilted(made):
    for number, image in enumerate(made):
        image.ImagePositionPatient[1] += number * 3.0 * np.tan(np.radians(12))
    return made


def jumping(made):
    made[3].ImagePositionPatient[0] += 4
    return made


def uneven(made):
    made[3].ImagePositionPatient[2] += 0.4
    return made


def turned(made):
    made[4].ImageOrientationPatient = [0.99, 0.14, 0, -0.14, 0.99, 0]
    return made


def without(key):
    def remove(made):
        delattr(made[1], key)
        return made

    remove.__name__ = f"without {key}"
    return remove


def changed(key, value):
    def change(made):
        setattr(made[1], key, value)
        return made

    change.__name__ = f"{key}={value}"
    return change


def cut_short(made):
    made[1].PixelData = made[1].PixelData[:100]
    return made


FAULTS = [
    (missing, "a slice is missing between"),
    (two_missing, "2 slices are missing between"),
    (twice, "two images lie at one place, 6 times over"),
    (tilted, "the gantry was tilted by 12.0 degrees"),
    (jumping, "slices are shifted against each other"),
    (uneven, "slices lie 2.60 to 3.40 mm apart"),
    (turned, "the images of the series differ in orientation"),
    (without("RescaleSlope"), "image 2 has no rescale to HU"),
    (without("RescaleIntercept"), "image 2 has no rescale to HU"),
    (without("ImagePositionPatient"), "image 2 has no position"),
    (without("ImageOrientationPatient"), "image 2 has no orientation"),
    (without("PixelSpacing"), "image 2 has no pixel spacing"),
    (without("Rows"), "image 2 has no size (Rows)"),
    (without("Columns"), "image 2 has no size (Columns)"),
    (changed("RescaleType", "US"), "image 2 is rescaled to another unit than HU"),
    (changed("PixelSpacing", [0.8, 0.9]), "differ in pixel spacing"),
    (changed("PixelSpacing", [0.0, 0.7]), "image 2 has no usable pixel spacing"),
    (changed("Columns", 23), "differ in size"),
    (cut_short, "pixels of an image cannot be decoded (Explicit VR Little Endian"),
    (lambda made: made[:1], "holds one slice"),
]


@pytest.mark.parametrize("fault, reason", FAULTS, ids=[getattr(f, "__name__", "?") for f, _ in FAULTS])
def test_a_planted_fault_is_refused_in_one_line_that_names_no_patient(tmp_path, capfd, fault, reason):
    folder = write(fault(images(HU)), tmp_path / "ct")
    with pytest.raises(InputError) as caught:
        read(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder}: ") and reason in message and "\n" not in message
    said = message + "".join(capfd.readouterr())
    assert "Mustermann" not in said and PATIENT_ID not in said


def test_rounded_positions_are_no_fault(tmp_path):
    made = images(small_ct((40, 8, 8)), spacing_mm=(1.0 / 3, 0.7, 0.7))
    for image in made:
        image.ImagePositionPatient = [round(float(value), 2) for value in image.ImagePositionPatient]
    assert read(write(made, tmp_path / "ct")).spacing_mm[0] == pytest.approx(1 / 3, abs=1e-3)
