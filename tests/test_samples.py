"""Prove that the bundled CT and its labels belong together and show two kidneys, and that wheels contain them."""

import pathlib
import runpy

import numpy as np
import setuptools

import kits_tf
from kits_tf.evaluation import lesions

CT = pathlib.Path(kits_tf.__file__).with_name("samples") / "trunk_ct"


def test_labels_are_those_of_two_kidneys():
    """Of a person: 80 to 300 ml each; parenchyma without contrast, 10 to 45 HU, though the sinus lowers the mean."""
    volume = kits_tf.read_volume(CT / "imaging.nii.gz")
    labels, grid = kits_tf.read_labels(CT / "segmentation.nii.gz")
    assert grid.shape == volume.shape and np.allclose(grid.affine, volume.affine)
    found = lesions.measure(labels, volume.spacing_mm)
    assert [kidney["side"] for kidney in found["kidneys"]] == ["right", "left"] and not found["tumor_ml"]
    assert all(80 < kidney["volume_ml"] < 300 for kidney in found["kidneys"])
    assert 10 < np.median(volume.hu[labels == 1]) < 45


def test_they_are_packaged(monkeypatch):
    packaged = {}
    monkeypatch.setattr(setuptools, "setup", lambda **options: packaged.update(options["package_data"]))
    monkeypatch.chdir(CT.parents[2])
    runpy.run_path("setup.py")
    package = pathlib.Path("kits_tf")
    files = {path for pattern in packaged["kits_tf"] for path in package.glob(pattern)}
    assert {package / "samples" / "trunk_ct" / name for name in ("imaging.nii.gz", "segmentation.nii.gz")} <= files
