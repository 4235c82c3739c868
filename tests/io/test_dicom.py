"""A series becomes the volume that was planted; faults are refused in one line that names no patient."""

import numpy as np
import pytest

pytest.importorskip("highdicom")

import pydicom  # noqa: E402
from pydicom.uid import generate_uid  # noqa: E402

from kits_tf import read_volume  # noqa: E402
from kits_tf.errors import InputError  # noqa: E402
from kits_tf.io.dicom import NUMBERS  # noqa: E402
from tests.io.dicom_files import PATIENT_ID, edited, gdcm_compressed, images, write  # noqa: E402
from tests.tiny import small_ct  # noqa: E402

HU = np.maximum(small_ct((6, 20, 24)), -1024)
SPACING_MM = (3.0, 0.8, 0.7)


def ras(volume, index):
    return (volume.affine @ [*index, 1])[:3]


def moved(made, axis, distances_mm):
    """The images with the first ones moved by the distances."""
    for image, distance_mm in zip(made, distances_mm, strict=False):
        image.ImagePositionPatient[axis] += distance_mm
    return made


def second_scan(made, shift_mm=0.0, acquisition=1):
    """The images and others of the same series, shifted along the patient."""
    again = edited(images(HU, origin=(-20, -30, 100 + shift_mm)), SeriesInstanceUID=made[0].SeriesInstanceUID)
    return made + edited(again, AcquisitionNumber=acquisition)


def test_an_axial_series_is_read_as_it_was_planted(tmp_path):
    volume = read_volume(write(images(HU), tmp_path / "ct"))
    np.testing.assert_array_equal(volume.hu, HU)
    assert volume.hu.dtype == np.int16 and volume.warnings == ()
    assert volume.spacing_mm == pytest.approx(SPACING_MM)
    # DICOM counts towards left and posterior, NIfTI towards right and anterior
    np.testing.assert_allclose(ras(volume, (0, 0, 0)), (20, 30, 100))
    np.testing.assert_allclose(ras(volume, (5, 19, 23)), (20 - 23 * 0.7, 30 - 19 * 0.8, 100 - 5 * 3))


@pytest.mark.parametrize(
    "orientation",
    [(0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1), (-1, 0, 0, 0, 1, 0), (0, -1, 0, -1, 0, 0)],
    ids=["sagittal", "coronal", "mirrored", "turned"],
)
def test_every_voxel_is_where_its_own_image_says(tmp_path, orientation):
    values = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    made = images(values, orientation=orientation)
    volume = read_volume(write(made, tmp_path / "ct"))
    rotation = volume.affine[:3, :3]
    assert np.abs(rotation).argmax(axis=0).tolist() == [2, 1, 0] and (rotation[[2, 1, 0], [0, 1, 2]] < 0).all()
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    for image, plane in zip(made, values, strict=True):
        for (i, j), value in np.ndenumerate(plane):
            lps = np.array(image.ImagePositionPatient) + j * SPACING_MM[2] * row + i * SPACING_MM[1] * column
            voxel = np.argwhere(volume.hu == value)[0]
            np.testing.assert_allclose(ras(volume, voxel), lps * (-1, -1, 1), atol=1e-6)
            if volume.instances:
                assert volume.instances[voxel[0]] == image.InstanceNumber
    assert len(volume.instances) == (len(values) if row[2] == column[2] == 0 else 0)  # of axial slices alone


@pytest.mark.parametrize("slope, intercept", [(1, -1024), (2, -1000), (0.5, -1024), (1, -1024.5)])
def test_rescale_is_that_of_each_image(tmp_path, slope, intercept):
    volume = read_volume(write(edited(images(HU), 2, RescaleSlope=slope, RescaleIntercept=intercept), tmp_path / "ct"))
    np.testing.assert_allclose(volume.hu[2], (HU[2].astype(float) + 1024) * slope + intercept)
    np.testing.assert_array_equal(volume.hu[3], HU[3])
    is_whole = float(intercept).is_integer() and (volume.hu == np.rint(volume.hu)).all()
    assert volume.hu.dtype == (np.int16 if is_whole else np.float32)


SYNTAXES = "RLELossless JPEGLSLossless JPEG2000Lossless JPEGLosslessSV1 ImplicitVRLittleEndian"


@pytest.mark.parametrize("name", [*SYNTAXES.split(), "DeflatedExplicitVRLittleEndian"])
def test_transfer_syntaxes(tmp_path, name):
    syntax, made = getattr(pydicom.uid, name), images(HU)
    if name in ("JPEG2000Lossless", "JPEGLosslessSV1"):
        folder = gdcm_compressed(write(made, tmp_path / "plain"), tmp_path / "ct", syntax)
    else:
        for image in made:
            if syntax.is_encapsulated:
                image.compress(syntax)
            image.file_meta.TransferSyntaxUID = syntax
        folder = write(made, tmp_path / "ct")
    np.testing.assert_array_equal(read_volume(folder).hu, HU)


@pytest.mark.parametrize("padding", [None, -2000, 63536])
def test_padding_becomes_air_whatever_its_sign(tmp_path, padding):
    made = images(HU, intercept=0)
    for image, plane in zip(made, HU, strict=True):
        plane = plane.copy()
        plane[:3] = HU[0, 0, 0] if padding is None else -2000
        image.PixelRepresentation = 1
        image.PixelData = plane.astype("<i2").tobytes()
        if padding:
            image.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
    hu = read_volume(write(made, tmp_path / "ct")).hu
    assert (hu[:, :3] == (-1024 if padding else HU[0, 0, 0])).all()
    np.testing.assert_array_equal(hu[:, 3:], HU[:, 3:])


@pytest.mark.parametrize("syntax", ["explicit", "implicit"])
def test_files_without_a_preamble_are_read(tmp_path, syntax):
    folder = write(images(HU), tmp_path / "ct")
    for path in sorted(folder.iterdir())[:3]:
        dataset = pydicom.dcmread(path)
        pydicom.dcmwrite(path, pydicom.Dataset(dataset), implicit_vr=syntax == "implicit", little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
    (folder / "notes.txt").write_text("not DICOM")
    np.testing.assert_array_equal(read_volume(folder).hu, HU)


def test_rounded_positions_and_stations_one_after_another_are_no_fault(tmp_path):
    made = images(small_ct((40, 8, 8)), spacing_mm=(1.0 / 3, 0.7, 0.7))
    for image in made:
        image.ImagePositionPatient = [round(float(value), 2) for value in image.ImagePositionPatient]
    assert read_volume(write(made, tmp_path / "ct")).spacing_mm[0] == pytest.approx(1 / 3, abs=1e-3)
    assert read_volume(write(second_scan(images(HU), -18, acquisition=2), tmp_path / "two")).shape == (12, 20, 24)


def test_missing_elements_are_named_in_one_warning(tmp_path):
    made = edited(images(HU), FrameOfReferenceUID=None, PatientName=None)
    (warning,) = read_volume(write(made, tmp_path / "ct")).warnings
    assert "PatientName, FrameOfReferenceUID" in warning


FAULTS = {
    "missing": (lambda made: made[:2] + made[3:], "a slice is missing between"),
    "two missing": (lambda made: made[:1] + made[3:], "2 slices are missing between"),
    "one": (lambda made: made[:1], "one slice"),
    "twice": (second_scan, "two images have the same position, 6 times"),
    "woven": (lambda made: second_scan(made, 1.5, acquisition=2), "AcquisitionNumber 1, 2"),
    "tilted": (
        lambda made: moved(made, 1, 3 * np.tan(np.radians(12)) * np.arange(6)),
        "the gantry was tilted by 12.0 degrees",
    ),
    "jumping": (lambda made: moved(made, 0, [0, 0, 0, 4]), "shifted against each other"),
    "uneven": (lambda made: moved(made, 2, [0, 0, 0, 0.4]), "slices are 2.60 to 3.40 mm apart"),
    "turned": (lambda made: edited(made, 4, ImageOrientationPatient=[0.99, 0.14, 0, -0.14, 0.99, 0]), "orientation"),
    "flat": (lambda made: edited(made, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "no usable orientation"),
    "other unit": (lambda made: edited(made, 1, RescaleType="US"), "image 2 is not rescaled to HU"),
    "no spacing": (lambda made: edited(made, 1, PixelSpacing=[0.0, 0.7]), "image 2 has no usable pixel spacing"),
    "other size": (lambda made: edited(made, 1, Columns=23), "differ in size"),
    "short": (lambda made: edited(made, 1, PixelData=bytes(100)), "cannot be decoded (Explicit VR Little Endian"),
    "one UID": (lambda made: edited(made, SOPInstanceUID=generate_uid()), "different images have one SOPInstanceUID"),
    **{
        key: (lambda made, key=key: edited(made, 1, **{key: None}), f"image 2 has no usable {name} ({key})")
        for key, (_, name, _) in NUMBERS.items()
    },
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_refused_in_one_line_that_names_no_patient(tmp_path, capfd, name):
    fault, reason = FAULTS[name]
    folder = write(fault(images(HU)), tmp_path / "ct")
    with pytest.raises(InputError) as caught:
        read_volume(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder}: ") and reason in message and "\n" not in message
    said = message + "".join(capfd.readouterr())
    assert "Mustermann" not in said and PATIENT_ID not in said
