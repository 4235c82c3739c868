"""Segments one real CT whose organs are labelled and prints the kidney Dice and what was found wrongly.

    python experiments/real_ct.py --image=imaging.nii.gz --organs=organs.nii.gz --kidneys=2,3

More flags for kits-predict follow after --. What is found further than 6 mm from the labelled kidneys counts as found
outside of them, which leaves out surfaces drawn a little wider. The bundled weights have seen simulated CTs alone, so
the figures say how far from reality these are, and nothing about what the method can do. Writes
`experiments/results/real_ct_WEIGHTS.json`.
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
    """Segments, writes the result and prints it."""
    arguments = parse()
    result = score(arguments.image, arguments.organs, arguments.kidneys, arguments.checkpoint_dir, arguments.options)
    write_result(f"real_ct_{pathlib.Path(arguments.checkpoint_dir).name}", result)
    print(json.dumps(result))


def score(image, organs, kidneys, checkpoint_dir, options=()):
    """What weights find in a real CT, and what of it is right.

    Args:
        image: a CT as NIfTI.
        organs: its organ labels on the same grid.
        kidneys: which labels are kidneys, "2,3".
        checkpoint_dir: a folder, or the name of released weights.
        options: more flags of kits-predict.
    """
    import numpy as np

    labels, summary = segment(image, checkpoint_dir, options)
    kidney, found = labelled(organs, kidneys), labels > 0
    voxel_ml = float(np.prod(summary["spacing_mm"])) / 1000
    dice = 2 * np.count_nonzero(kidney & found) / (np.count_nonzero(kidney) + np.count_nonzero(found))
    return {
        "weights": pathlib.Path(checkpoint_dir).name,
        "options": list(options),
        "shape": summary["shape"],
        "spacing_mm": summary["spacing_mm"],
        "kidney_dice": round(float(dice), 4),
        "found_ml": {"kidney": summary["kidney_ml"], "tumor": summary["tumor_ml"]},
        "outside_kidneys_ml": outside_ml(found, kidney, summary["spacing_mm"]),
        "tumors_ml": parts_ml(labels == 2, voxel_ml),
        "labelled_kidney_ml": round(np.count_nonzero(kidney) * voxel_ml, 1),
    }


def segment(image, checkpoint_dir, options=()):
    """(labels, summary): what kits-predict writes for a CT, uint8 [slices, rows, columns] and its JSON."""
    import kits_tf

    with tempfile.TemporaryDirectory() as folder:
        flags = f"--input={image}", f"--output_dir={folder}", f"--checkpoint_dir={checkpoint_dir}"
        command("predict", *flags, *options)
        [written] = pathlib.Path(folder).glob("*.nii.gz")
        summary = json.loads(written.with_name(written.name.replace(".nii.gz", ".json")).read_text())
        return kits_tf.read_labels(written)[0], summary


def labelled(organs, kidneys):
    """The voxels that an organ map calls kidney, bool [slices, rows, columns]."""
    import numpy as np

    import kits_tf

    return np.isin(np.rint(kits_tf.read_volume(organs).hu), [int(label) for label in kidneys.split(",")])


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


def add_ct(parser):
    """Adds the flags that name a real CT to an experiment's parser."""
    parser.add_argument("--image", required=True, help="a CT as NIfTI")
    parser.add_argument("--organs", required=True, help="its organ labels on the same grid")
    parser.add_argument("--kidneys", default="2,3", help="which labels are kidneys, with commas")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_ct(parser)
    parser.add_argument("--checkpoint_dir", default="simulated")
    parser.add_argument("options", nargs="*", help="more flags for kits-predict, after --")
    return parser.parse_args()


if __name__ == "__main__":
    main()
