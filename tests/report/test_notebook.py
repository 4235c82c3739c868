"""kits_tf.show hands the CT and its labels, on their own grid, to NiiVue."""

import gzip
import sys
import types

import nibabel
import numpy as np
import pytest

import kits_tf
from kits_tf import palette
from kits_tf.io.volume import Volume

HU = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
LABELS = np.zeros(HU.shape, np.uint8)
LABELS[1, 2, 3:] = 1, 2, 2
VOLUME = Volume(HU, (3.0, 0.7, 0.8))


class Layer(types.SimpleNamespace):
    def set_colormap_label(self, colors):
        self.colors = colors


class NiiVue:
    def __init__(self, **options):
        self.volumes = []

    def load_volumes(self, volumes):
        self.volumes = [Layer(**volume) for volume in volumes]


@pytest.fixture(params=["stub", "ipyniivue"])
def niivue(request, monkeypatch):
    """A stand-in, and the package itself where it is installed."""
    if request.param == "ipyniivue":
        return pytest.importorskip("ipyniivue")
    stub = types.SimpleNamespace(NiiVue=NiiVue, SliceType=types.SimpleNamespace(MULTIPLANAR=3))
    monkeypatch.setitem(sys.modules, "ipyniivue", stub)
    return stub


def image(layer):
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(layer.data))


def test_ct_and_labels_are_shown_where_they_are(niivue):
    viewer = kits_tf.show(VOLUME, LABELS)
    ct, labels = map(image, viewer.volumes)
    np.testing.assert_array_equal(np.asarray(ct.dataobj), HU)
    np.testing.assert_array_equal(np.asarray(labels.dataobj), LABELS)
    for shown in (ct, labels):
        np.testing.assert_allclose(shown.affine, VOLUME.affine)
    assert (viewer.volumes[0].cal_min, viewer.volumes[0].cal_max) == (-160, 240)
    assert len(kits_tf.show(VOLUME).volumes) == 1


def test_labels_have_the_colors_of_the_pages():
    from kits_tf.report.notebook import label_colors

    colors = label_colors()
    named = ["#" + "".join(f"{colors[channel][label]:02X}" for channel in "RGB") for label in (1, 2)]
    assert named == [palette.KIDNEY, palette.TUMOR]
    assert (colors["A"], colors["I"]) == ([0, 255, 255], [0, 1, 2])


def test_labels_of_another_shape_are_refused(niivue):
    with pytest.raises(ValueError, match="shape of their volume"):
        kits_tf.show(VOLUME, LABELS[:2])


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipyniivue", None)
    with pytest.raises(ImportError, match="extra `viewer`"):
        kits_tf.show(VOLUME)
