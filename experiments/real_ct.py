"""Segments one real CT whose organs are labelled and prints the kidney Dice and what was found wrongly.

    python experiments/real_ct.py --image=imaging.nii.gz --organs=organs.nii.gz --kidneys=2,3

More flags for kits-predict follow after --. What is found further than 6 mm from the labelled kidneys counts as found
outside of them, which leaves out surfaces drawn a little wider. The bundled weights have seen simulated CTs alone, so
the figures say how far from reality these are, and nothing about what the method can do. Writes
`experiments/results/real_ct.json`.
"""

import argparse
import json
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

from commands import command  # noqa: E402
from documents import write_result  # noqa: E402

NEAR_MM = 6.0


def main():
    """Predicts, scores and writes the result."""
    import numpy as np

    import kits_tf

    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        flags = [
            f"--input={arguments.image}",
            f"--output_dir={folder}",
            f"--checkpoint_dir={arguments.checkpoint_dir}",
            *arguments.options,
        ]
        command("predict", *flags)
        [written] = pathlib.Path(folder).glob("*.nii.gz")
        labels, _ = kits_tf.read_labels(written)
        summary = json.loads(written.with_name(written.name.replace(".nii.gz", ".json")).read_text())
    organs = np.rint(kits_tf.read_volume(arguments.organs).hu)
    kidney, found = np.isin(organs, [int(k) for k in arguments.kidneys.split(",")]), labels > 0
    voxel_ml = float(np.prod(summary["spacing_mm"])) / 1000
    dice = 2 * np.count_nonzero(kidney & found) / (np.count_nonzero(kidney) + np.count_nonzero(found))
    result = {
        "weights": arguments.checkpoint_dir,
        "shape": summary["shape"],
        "spacing_mm": summary["spacing_mm"],
        "kidney_dice": round(float(dice), 4),
        "found_ml": {"kidney": summary["kidney_ml"], "tumor": summary["tumor_ml"]},
        "outside_kidneys_ml": outside_ml(found, kidney, summary["spacing_mm"]),
        "tumors_ml": parts_ml(labels == 2, voxel_ml),
        "labelled_kidney_ml": round(np.count_nonzero(kidney) * voxel_ml, 1),
    }
    write_result("real_ct", result)
    print(json.dumps(result))


def outside_ml(found, kidney, spacing_mm):
    """Volume in ml of what was found further than NEAR_MM from the kidneys."""
    import numpy as np
    import scipy.ndimage

    distance = scipy.ndimage.distance_transform_edt(~kidney, spacing_mm)
    return round(float(np.count_nonzero(found & (distance > NEAR_MM)) * np.prod(spacing_mm) / 1000), 2)


def parts_ml(mask, voxel_ml):
    """Volumes in ml of the connected parts of a mask, the largest first; none under 0.1 ml."""
    import numpy as np
    import scipy.ndimage

    numbered, _ = scipy.ndimage.label(mask)
    volumes = np.sort(np.bincount(numbered.ravel())[1:] * voxel_ml)[::-1]
    return [round(float(volume), 2) for volume in volumes if volume >= 0.1]


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", required=True, help="a CT as NIfTI")
    parser.add_argument("--organs", required=True, help="its organ labels on the same grid")
    parser.add_argument("--kidneys", default="2,3", help="which labels are kidneys, with commas")
    parser.add_argument("--checkpoint_dir", default="phantom")
    parser.add_argument("options", nargs="*", help="more flags for kits-predict, after --")
    return parser.parse_args()


if __name__ == "__main__":
    main()
