"""The CT series of a folder are found and named; what cannot be one volume is said, without naming the patient."""

import os
import shutil

import numpy as np
import pytest

pytest.importorskip("highdicom")

from kits_tf import read_volume  # noqa: E402
from kits_tf.errors import InputError, UsageError  # noqa: E402
from kits_tf.io.dicom_folder import choose, find_series, read_tree  # noqa: E402
from tests.io.dicom_files import edited, images, write  # noqa: E402
from tests.tiny import small_ct  # noqa: E402

HU = np.maximum(small_ct((6, 20, 24)), -1024)


SPOILED = {
    "cut": (lambda folder, file: file.write_bytes(file.read_bytes()[:400]), "1 unreadable (a damaged DICOM file"),
    "emptied": (lambda folder, file: file.write_bytes(b""), "1 unreadable (empty"),
    "overwritten": (lambda folder, file: (folder / "im_7.dcm").write_bytes(b"text" * 99), "(im_7.dcm: not DICOM)"),
    "emptied aside": (lambda folder, file: write([], folder / "part").joinpath("1.2.840").touch(), "(1.2.840: empty"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_file_that_cannot_be_read_spoils_its_series_alone(tmp_path, name):
    spoil, reason = SPOILED[name]
    folder = write(images(HU), tmp_path / "study" / "a")
    write(edited(images(HU[:4]), SeriesNumber=5), tmp_path / "study" / "b")
    spoil(folder, next(folder.iterdir()))
    spoiled, whole = find_series(tmp_path / "study")
    assert reason in spoiled.damage and "Mustermann" not in spoiled.damage
    with pytest.raises(InputError, match="slices may be missing"):
        read_volume(tmp_path / "study", "3")
    assert whole.damage is None and read_volume(tmp_path / "study", "5").shape == (4, 20, 24)


@pytest.mark.parametrize("key, values", [("SeriesNumber", ["3", "4"]), ("SOPClassUID", ["1.2.3", "1.2.4"])])
def test_a_header_with_two_values_for_one_is_damaged(tmp_path, key, values):
    spoiled = edited(images(HU)[:1], **{key: values})
    folder = write(spoiled + images(HU)[1:], tmp_path / "ct")
    with pytest.raises(InputError, match="1 unreadable .*damaged DICOM file"):
        read_volume(folder)


def test_a_subfolder_that_cannot_be_read_spoils_the_series(tmp_path, monkeypatch):
    folder = write(images(HU), tmp_path / "ct")
    (folder / "locked").mkdir()
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match="locked: cannot be read"):
        read_volume(folder)


def test_a_series_is_found_below_a_folder_and_behind_a_link(tmp_path):
    scout = edited(images(HU[:1]), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    capture = edited(images(HU[:1]), SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    write(images(HU), tmp_path / "elsewhere")
    write(scout + capture, tmp_path / "study" / "b")
    (tmp_path / "study" / "a").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "study" / "b" / "loop").symlink_to(tmp_path / "study", target_is_directory=True)
    write(images(HU[:2]), tmp_path / "study" / ".deleted")
    (tmp_path / "study" / "notes.txt").write_text("not DICOM")
    (series,) = find_series(tmp_path / "study")
    assert (len(series.headers), series.number, series.name) == (6, 3, "study")


def test_second_copies_of_images_are_passed_over(tmp_path):
    folder = write(images(HU), tmp_path / "ct")
    shutil.copytree(folder, tmp_path / "again")
    shutil.move(tmp_path / "again", folder / "again")
    np.testing.assert_array_equal(read_volume(folder).hu, HU)


def test_several_series_are_listed_for_choice(tmp_path):
    write(images(HU) + edited(images(HU[:4]), SeriesNumber=5), tmp_path / "ct")
    found = find_series(tmp_path / "ct")
    with pytest.raises(UsageError) as caught:
        choose(found)
    message = str(caught.value)
    assert "--series" in message and "series 3: 6 images of 20x24; series 5: 4 images of 20x24" in message
    assert "Mustermann" not in message and "\n" not in message
    assert choose(found, "5").number == 5
    assert [one.name for one in found] == ["ct_3", "ct_5"]
    assert choose(found, found[0].uid) is found[0]
    with pytest.raises(UsageError, match="series 3"):
        choose(found, "4")
    write(images(HU[:4]), tmp_path / "ct")  # another series 3
    names = {one.name for one in find_series(tmp_path / "ct")}
    assert sorted(map(len, names)) == [len("ct_5"), len("ct_12345678"), len("ct_12345678")]


@pytest.mark.parametrize("name", ["Mustermann", "erika_ct", "PAT471134", "export-ACC990017", "pat-471134"])
def test_a_folder_named_after_the_patient_is_not_named(tmp_path, name):
    folder = write(edited(images(HU), 1, RescaleSlope=None), tmp_path / name)
    (series,) = find_series(folder)
    assert series.name.startswith("series_") and len(series.name) == 15
    with pytest.raises(InputError) as caught:
        read_volume(folder)
    assert name not in str(caught.value)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(InputError, match="damaged DICOM") as caught:
        find_series(folder)
    assert name not in str(caught.value) and "\n" not in str(caught.value)


def test_folders_without_a_ct_are_refused(tmp_path):
    with pytest.raises(InputError, match="no CT image"):
        read_volume(tmp_path)
    write(edited(images(HU[:2]), SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1"), tmp_path / "enhanced")
    with pytest.raises(InputError, match="multi-frame"):
        find_series(tmp_path / "enhanced")


@pytest.mark.parametrize("key", ["SeriesInstanceUID", "SOPClassUID"])
def test_ct_images_that_cannot_be_told_apart_name_what_they_lack(tmp_path, key):
    for image in (made := edited(images(HU), **{key: None})):
        image.save_as(tmp_path / f"{image.InstanceNumber}.dcm", implicit_vr=False, little_endian=True)
    assert key not in made[0]
    with pytest.raises(InputError, match=f"holds CT images without {key}; export"):
        read_volume(tmp_path)


def test_other_modalities_under_the_class_of_ct_are_no_ct(tmp_path):
    assert read_volume(write(edited(images(HU), Modality=None), tmp_path / "unsaid")).shape == HU.shape
    write(edited(images(HU), Modality="MR"), tmp_path / "a" / "mr")
    write(edited(images(HU), Modality="MUSTERMANN"), tmp_path / "a" / "named")
    with pytest.raises(InputError, match=r"no CT image, but MR, another modality stored as CT \(Modality\)"):
        read_volume(tmp_path / "a")
    write(images(HU), tmp_path / "a" / "ct")
    tree = read_tree(tmp_path / "a")
    assert len(tree.series) == 1 and sorted("MR stored as CT Image" in one.text for one in tree.skipped) == [
        False,
        True,
    ]
