"""What kits-predict recorded beside a label file, as far as scores and pages need it."""

import json

from kits_tf.io import nifti


def beside(path):
    """The JSON beside a label file, as a dict; empty where there is none, or it holds something else.

    Args:
        path: pathlib.Path of the label file; the JSON has its name with `.json`.
    """
    try:
        found = json.loads(path.with_name(f"{nifti.stem(path)}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def tumors_not_looked_for(found, labels):
    """Whether labels are of `--stage=kidney`: the JSON has null for the tumor, and nobody has drawn one since.

    Args:
        found: as `beside` gives it.
        labels: uint8 [slices, rows, columns].
    """
    return found.get("tumor_ml", 0) is None and not (labels > 1).any()
