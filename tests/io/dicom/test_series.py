"""Series are found, listed and chosen; nothing that names a patient is in what is said."""

import pytest

pytest.importorskip("highdicom")

from kits_tf.errors import InputError, UsageError  # noqa: E402
from kits_tf.io.dicom import choose, find_series, holds_dicom  # noqa: E402
from tests.io.dicom.planted import images, write  # noqa: E402
from tests.tiny import small_ct  # noqa: E402


@pytest.fixture(name="hu")
def a_small_ct():
    return small_ct((6, 20, 24))


def test_a_series_is_found_below_a_folder_whatever_else_lies_there(tmp_path, hu):
    scout = images(hu[:1])
    scout[0].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    capture = images(hu[:1])
    capture[0].SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    write(images(hu), tmp_path / "study" / "a")
    write(scout + capture, tmp_path / "study" / "b")
    (tmp_path / "study" / "notes.txt").write_text("not DICOM")
    (series,) = find_series(tmp_path / "study")
    assert (len(series.headers), series.number, series.name) == (6, 3, "study")
    assert holds_dicom(tmp_path / "study") and not holds_dicom(tmp_path / "study" / "nowhere")


def test_a_second_copy_of_an_image_is_passed_over(tmp_path, hu):
    made = images(hu)
    write(made, tmp_path / "ct")
    write(made[2:4], tmp_path / "ct" / "again")
    (series,) = find_series(tmp_path / "ct")
    assert len(series.headers) == 6


def test_several_series_are_listed_for_choice(tmp_path, hu):
    second = images(hu[:4])
    for image in second:
        image.SeriesNumber = 5
    write(images(hu) + second, tmp_path / "ct")
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


def test_series_of_one_number_have_names_of_their_own(tmp_path, hu):
    write(images(hu) + images(hu[:4]), tmp_path / "ct")
    names = {one.name for one in find_series(tmp_path / "ct")}
    assert len(names) == 2 and all(len(name) == len("ct_12345678") for name in names)


@pytest.mark.parametrize("folder", ["Mustermann", "erika_ct", "PAT471134", "export-ACC990017", "pat-471134"])
def test_a_folder_named_after_the_patient_lends_no_name(tmp_path, hu, folder):
    write(images(hu), tmp_path / folder)
    (series,) = find_series(tmp_path / folder)
    assert series.name.startswith("series_") and len(series.name) == 15


def test_no_ct_and_damaged_files_are_refused_without_quoting_them(tmp_path, hu):
    made = images(hu[:2])
    for image in made:
        image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    write(made, tmp_path / "enhanced")
    with pytest.raises(InputError, match="multi-frame"):
        find_series(tmp_path / "enhanced")
    write(images(hu), tmp_path / "damaged")
    victim = next((tmp_path / "damaged").iterdir())
    victim.write_bytes(victim.read_bytes()[:400])
    with pytest.raises(InputError) as caught:
        find_series(tmp_path / "damaged")
    assert "damaged DICOM" in str(caught.value) and "Mustermann" not in str(caught.value)


@pytest.mark.parametrize("kept", [0, 3])
def test_a_damaged_file_in_a_folder_named_after_the_patient_lends_no_name(tmp_path, hu, kept):
    folder = write(images(hu), tmp_path / "mustermann" / "ct")
    for path in sorted(folder.iterdir())[kept:]:
        path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(InputError) as caught:
        find_series(folder)
    message = str(caught.value)
    assert "damaged DICOM" in message and "mustermann" not in message.lower() and "\n" not in message
