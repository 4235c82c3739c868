"""Draw the README's picture from the files that `make demo` wrote.

make demo
python -m experiments.demo_picture.run
"""

from __future__ import annotations

import io
import pathlib

from PIL import Image

from experiments import common
from kits_tf.io.volume import read_labels, read_volume


def main() -> None:
    """Draw the cases of the demo below each other."""
    from kits_tf.report import figures

    parser = common.parser(__doc__, __file__)
    parser.add_argument("--demo_dir", type=pathlib.Path, default=common.ROOT / "demo")
    parser.add_argument("--picture", type=pathlib.Path, default=common.ROOT / "docs" / "images" / "demo.png")
    arguments = parser.parse_args()
    rows = []
    for folder in sorted((arguments.demo_dir / "ct").glob("case_*")):
        ct, (reference, _) = read_volume(folder / "imaging.nii.gz"), read_labels(folder / "segmentation.nii.gz")
        name = folder.name.replace("case_", "prediction_") + ".nii.gz"
        prediction, _ = read_labels(arguments.demo_dir / "prediction" / name)
        scene = figures.Scene(ct.hu, ct.spacing_mm, prediction, reference)
        panels = figures.plane_panels(scene, prediction > (prediction > 1).any())
        rows.append(Image.open(io.BytesIO(figures.draw(panels, width_pixels=1200, file_format="png"))))
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)))
    for number, row in enumerate(rows):
        sheet.paste(row, (0, sum(above.height for above in rows[:number])))
    sheet.save(arguments.picture, optimize=True)
    print(arguments.picture)


if __name__ == "__main__":
    main()
