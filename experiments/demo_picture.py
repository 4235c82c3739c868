"""Draws the picture at the top of the README from what `make demo` left.

make demo
python experiments/demo_picture.py
"""

import argparse
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from kits_tf import files  # noqa: E402
from kits_tf.io import volume  # noqa: E402
from kits_tf.report import figures  # noqa: E402


def main():
    """Reads the demo's CT, reference and prediction and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo_dir", type=pathlib.Path, default=ROOT / "demo")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs" / "images" / "demo.png")
    arguments = parser.parse_args()
    folder = next((arguments.demo_dir / "ct").glob("case_*"))
    ct = volume.read_volume(folder / "imaging.nii.gz")
    reference, _ = volume.read_labels(folder / "segmentation.nii.gz")
    name = folder.name.replace("case_", "prediction_") + ".nii.gz"
    prediction, _ = volume.read_labels(arguments.demo_dir / "prediction" / name)
    scene = figures.Scene(ct.hu, ct.spacing_mm, prediction, reference)
    planes = figures.plane_panels(scene, prediction > int((prediction > 1).any()))
    picture = figures.draw(planes, width_pixels=1380, file_format="png")
    with files.replacing(arguments.output) as temporary:
        temporary.write_bytes(picture)
    print(arguments.output)


if __name__ == "__main__":
    main()
