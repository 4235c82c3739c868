"""Segment one CT on TensorFlow Serving without this package: NumPy, nibabel, Pillow and requests are enough.

Example: python serving/request.py scan.nii.gz scan_segmentation.nii.gz http://localhost:8501
"""

import base64
import io
import sys
import zlib

import nibabel
import numpy as np
import requests
from PIL import Image


def segment(image: nibabel.Nifti1Image, server: str) -> tuple[nibabel.Nifti1Image, dict[str, float]]:
    """Return the labels of a CT on its grid in RAS order, and the volumes in ml."""
    canonical = nibabel.as_closest_canonical(image)
    ras = np.clip(np.rint(canonical.get_fdata()), -32768, 32767).astype("<i2")
    hu = ras[::-1, ::-1, ::-1].transpose(2, 1, 0)  # slices from head to foot, rows to the back, columns to the left
    inputs = {
        "volume_bytes": {"b64": base64.b64encode(zlib.compress(hu.tobytes(), 1)).decode()},
        "shape": hu.shape,
        "spacing_mm": [float(side) for side in canonical.header.get_zooms()[::-1]],
    }
    body = {"signature_name": "compact", "inputs": inputs}
    response = requests.post(f"{server}/v1/models/system:predict", json=body, timeout=900)
    response.raise_for_status()
    outputs = response.json()["outputs"]
    slices = [Image.open(io.BytesIO(base64.b64decode(png["b64"]))) for png in outputs["labels_bytes"]]
    labels = np.stack([np.asarray(one) for one in slices]).transpose(2, 1, 0)[::-1, ::-1, ::-1]
    volumes_ml = {name: value for name, value in outputs.items() if name.endswith("_ml")}
    return nibabel.Nifti1Image(labels, canonical.affine), volumes_ml


if __name__ == "__main__":
    source, target, server = sys.argv[1:]
    found, volumes_ml = segment(nibabel.load(source), server)
    nibabel.save(found, target)
    print(volumes_ml)
