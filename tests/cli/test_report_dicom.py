"""kits-report on DICOM series: the page of the same NIfTI, matching by name, errors in one line."""

import re
import sys

import numpy as np
import pytest

pytest.importorskip("highdicom")
pytest.importorskip("matplotlib")
pydicom = pytest.importorskip("pydicom")

from kits_tf.cli import app, report  # noqa: E402
from kits_tf.io.dicom import read_series  # noqa: E402
from kits_tf.io.dicom_folder import find_series  # noqa: E402
from kits_tf.io.volume import write_labels, write_volume  # noqa: E402
from tests.cli.test_report import SPACING_MM, labels  # noqa: E402
from tests.io.dicom_files import images, write  # noqa: E402


def hu():
    return np.where(labels() > 0, 150, 30).astype(np.int16) + np.arange(64, dtype=np.int16)


def predict(folder, output_dir, name=None):
    """Write labels of every series in a folder under the names of kits-predict; return the series."""
    found = find_series(folder)
    for series in found:
        volume = read_series(series)
        write_labels(labels()[: volume.shape[0]], volume, output_dir / f"{name or series.name}_segmentation.nii.gz")
    return found


def run(predictions, images, output_dir):
    flags = [f"--predictions={predictions}", f"--images={images}", f"--output_dir={output_dir}"]
    return app.execute(report.main, report.FLAGS, ["kits-report", *flags])


def two_series(folder):
    second = images(hu()[:15], SPACING_MM)
    for one in second:
        one.SeriesNumber = 8
    return write(images(hu(), SPACING_MM) + second, folder)


def test_a_series_and_a_nifti_file_of_one_volume_give_one_page(tmp_path):
    folder = write(images(hu(), SPACING_MM, origin=(5, 6, 7)), tmp_path / "series")
    [series] = predict(folder, tmp_path / "out", "ct")
    write_volume(read_series(series), tmp_path / "ct.nii.gz")
    assert run(tmp_path / "out", folder, tmp_path / "of_series") == 0  # one series, one prediction: by any name
    assert run(tmp_path / "out", tmp_path / "ct.nii.gz", tmp_path / "of_file") == 0
    first, second = ((tmp_path / name / "ct.html").read_text() for name in ("of_series", "of_file"))
    data = [re.findall(r"(?:base64,|<template id=.viewer-\w+.>)([\w+/=]+)", text) for text in (first, second)]
    assert data[0] == data[1] and len(data[0]) > 10 and "Tumor 1: left" in first
    tables = [re.findall(r"<td.*?</td>", text) for text in (first, second)]
    assert [cell for cell in tables[0] if 'data-head="images"' not in cell] == tables[1]
    assert ", image 9" in first and ", image 9" not in second  # slices 8 to 11, from 0, are images 9 to 12
    assert '<td data-head="images">9 to 12</td>' in first


def test_labels_may_be_in_the_folder_of_their_series(tmp_path):
    folder = write(images(hu(), SPACING_MM), tmp_path / "series")
    predict(folder, folder)
    assert run(folder, folder, tmp_path / "pages") == 0
    assert (tmp_path / "pages/series.html").is_file()


def test_several_series_belong_to_predictions_by_their_names(tmp_path, capsys):
    folder = two_series(tmp_path / "two")
    predict(folder, tmp_path / "out")
    assert run(tmp_path / "out", folder, tmp_path / "pages") == 0
    assert "CT of 15 x 48 x 64 voxels" in (tmp_path / "pages/two_8.html").read_text()
    assert "CT of 20 x 48 x 64 voxels" in (tmp_path / "pages/two_3.html").read_text()
    (tmp_path / "out/two_3_segmentation.nii.gz").rename(tmp_path / "out/scan_segmentation.nii.gz")
    capsys.readouterr()
    assert run(tmp_path / "out", folder, tmp_path / "pages") == 1
    assert lines(capsys) == [f"{tmp_path / 'out/scan_segmentation.nii.gz'}: no CT for it in --images"]


def lines(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Writing")]


def test_series_without_a_prediction_are_one_line_that_names_no_patient(tmp_path, capsys):
    folder = two_series(tmp_path / "mustermann")
    write_labels(labels(), read_series(find_series(folder)[0]), tmp_path / "out/scan.nii.gz")
    assert run(tmp_path / "out", folder, tmp_path / "pages") == 2
    [error] = lines(capsys)
    assert error.startswith("kits-report: --images: ") and "mustermann" not in error.lower()
    assert not (tmp_path / "pages").exists()


def test_a_series_with_a_missing_slice_is_named_as_any_bad_case(tmp_path, capsys):
    folder = write(images(hu(), SPACING_MM), tmp_path / "series")
    predict(folder, tmp_path / "out")
    [victim] = [path for path in folder.iterdir() if pydicom.dcmread(path).InstanceNumber == 7]
    victim.unlink()
    assert run(tmp_path / "out", folder, tmp_path / "pages") == 1
    [line] = lines(capsys)
    assert line.startswith(f"{folder}: ") and "missing" in line


def test_without_the_extra_the_line_names_it(tmp_path, capsys, monkeypatch):
    folder = write(images(hu(), SPACING_MM), tmp_path / "series")
    predict(folder, tmp_path / "out")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    assert run(tmp_path / "out", folder, tmp_path / "pages") == 2
    [error] = lines(capsys)
    assert error.startswith("kits-report: --images: ") and "extra `dicom`" in error
