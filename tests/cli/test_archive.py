"""kits-predict on an archive: every CT is done or named, and tables and an index tell what became of each."""

import csv

import numpy as np
import pytest

pytest.importorskip("highdicom")
pydicom = pytest.importorskip("pydicom")

from kits_tf.io.volume import read_labels  # noqa: E402
from tests.cli.predicting import SPACING_MM, image_of, names_in, run, save  # noqa: E402
from tests.io.dicom_files import PATIENT_ID, images, write  # noqa: E402
from tests.report.test_pages import Reader  # noqa: E402
from tests.tiny import small_ct  # noqa: E402

HU = np.maximum(small_ct(), -1024)
REASON = "not a NIfTI file, or cut off within its header"


@pytest.fixture
def archive(tmp_path):
    """Three NIfTI files, four series of two patients, one of them a localizer and one an MR, a text, a broken file."""
    folder = tmp_path / "archive"
    for name in ("a/scan.nii.gz", "b/scan.nii.gz", "c/other.nii.gz"):
        save(image_of(small_ct(seed=len(name)), "RAS"), folder / name)
    made = {number: images(HU[: 12 if number < 4 else 3], SPACING_MM) for number in (2, 3, 4, 5)}
    for number, series in made.items():
        for image in series:
            image.SeriesNumber = number
            image.SeriesDescription = "venous" if number == 2 else f"of {PATIENT_ID}"
            if number == 4:
                image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            if number == 5:
                image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
    write([*made[2], *made[4]], folder / "p1" / "study")
    write([*made[3], *made[5]], folder / "p2" / "study")
    (folder / "notes.txt").write_text("about the scans")
    (folder / "c" / "broken.nii.gz").write_bytes(b"no CT")
    return folder


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_every_ct_of_an_archive_is_done_or_named_in_tables_and_an_index(tmp_path, archive, identity, capsys):
    flags = [f"--output_dir={tmp_path / 'out'}", f"--checkpoint_dir={identity}"]
    assert run(f"--input={archive}", *flags) == 1
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if "warning" not in line and "notice" not in line]
    assert line.endswith(f"] {archive / 'c' / 'broken.nii.gz'}: {REASON}")
    for skipped in ("p1/study: series 4, localizer (3 images)", "p2/study: series 5, MR Image (3 images)"):
        assert f"{archive / skipped}" in said.out
    assert "notes.txt" in said.out

    table = rows_of(tmp_path / "out" / "summary.csv")
    assert {row["input"]: row["status"] for row in table} == {
        "a/scan.nii.gz": "done", "b/scan.nii.gz": "done", "c/other.nii.gz": "done", "c/broken.nii.gz": "failed",
        "p1/study": "done", "p2/study": "done",
    }  # fmt: skip
    first, second = (row for row in table if row["series_number"])
    assert (first["series_number"], first["series_description"]) == ("2", "venous")
    assert (second["series_number"], second["series_description"]) == ("3", "") and PATIENT_ID not in str(table)
    assert all(row["finding"] and row["version"] and row["weights"] and row["date"] for row in table if row["output"])
    assert [row["reason"] for row in table if row["status"] == "failed"] == [REASON]
    for row in table:
        if row["output"]:
            assert_table_fits_labels(row, tmp_path / "out" / row["output"])

    index = Reader((tmp_path / "out" / "index.html").read_text())
    assert "5 cases, 1 failed, 3 skipped" in index.text
    names = [row[1] for row in index.rows[1:6]]
    assert names[:3] == ["a_scan", "b_scan", "other"] and all(name.startswith("study") for name in names[3:])
    assert "series 2, venous" in index.text and "series 3" in index.text and PATIENT_ID not in index.text
    assert not any("html" in address for address in index.addresses)  # there are no pages
    assert ["c/broken.nii.gz", REASON] in index.rows and "MR Image (3 images)" in index.text

    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert run(f"--input={archive}", *flags) == 1
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def assert_table_fits_labels(row, path):
    """The volumes are those of the label file, the sides and classes add up."""
    labels, grid = read_labels(path)
    volumes = {name: float(row[name]) for name in row if name.endswith("_ml") and row[name]}
    for name, mask in (("kidney_ml", labels > 0), ("kidney_tissue_ml", labels == 1), ("tumor_ml", labels == 2)):
        assert volumes[name] == pytest.approx(mask.sum() * grid.voxel_ml, abs=2e-3)
        sides = [volumes.get(f"{side}_{name}", 0) for side in ("right", "left")]
        assert sum(sides) == pytest.approx(volumes[name], abs=2e-3)


def test_the_table_of_tumors_has_the_slices_of_the_label_file(tmp_path, archive, identity):
    out = tmp_path / "out"
    assert run(f"--input={archive / 'a'}", f"--output_dir={out}", f"--checkpoint_dir={identity}") == 0
    assert names_in(out) == ["scan_segmentation.json", "scan_segmentation.nii.gz"]
    tumors = rows_of(out / "tumors.csv")
    assert len(tumors) == int(rows_of(out / "summary.csv")[0]["tumors"]) > 0
    labels, grid = read_labels(out / "scan_segmentation.nii.gz")
    slices = {grid.file_index(0, int(index)) for index in np.flatnonzero((labels == 2).any(axis=(1, 2)))}
    assert {int(row["first_slice"]) for row in tumors} | {int(row["last_slice"]) for row in tumors} <= slices
    assert grid.file_axis(0) == "k" and {row["first_instance"] for row in tumors} == {""}


def test_pages_of_a_run_are_linked_and_shown_in_its_index(tmp_path, archive, identity):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    flags = [f"--output_dir={out}", f"--checkpoint_dir={identity}", "--report"]
    for name in ("b", "c"):
        (archive / name / "broken.nii.gz").unlink(missing_ok=True)
    assert run(f"--input={archive / 'c'}", *flags) == 0
    assert run(f"--input={tmp_path / 'list.txt'}", *flags) == 2
    (tmp_path / "list.txt").write_text("archive/b\narchive/c\n")
    assert run(f"--input={tmp_path / 'list.txt'}", *flags) == 0
    index = Reader((out / "index.html").read_text())
    assert index.addresses.count("scan_segmentation.html") == index.addresses.count("other_segmentation.html") == 2
    assert sum(address.startswith("data:image/jpeg") for address in index.addresses) == 2
    links = Reader((out / "other_segmentation.html").read_text()).addresses
    assert [one for one in links if not one.startswith("data:")] == ["index.html", "scan_segmentation.html"]
