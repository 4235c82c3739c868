"""What decides the labels of a run, as their JSON records it, so that a later run knows whether they are its own.

Engines and their precision are not in it: whichever ran, the labels are meant to be the same.
"""

import hashlib

from kits_tf import checkpoint
from kits_tf.inference import digests


def recorded(folders, stage, planes, fusion, tta, roi=None):
    """The options of all CTs of a run; `of_case` makes of them what the JSON has as "options".

    Args:
        folders: the checkpoint folders, in whatever order.
        stage, planes, fusion, tta: as `segmenter.load_segmenter` takes them; for "tumor" kidneys are given, and planes
            and fusion do not matter.
        roi: (slices, rows, columns) as `slice` objects without a step, or None.

    Returns:
        Dict of what JSON can hold.

    Raises:
        InputError: a network's config or weights are missing or unreadable.
    """
    planes = sorted(planes)
    return {
        "stage": stage,
        "planes": planes if stage != "tumor" else None,
        "fusion": fusion if stage != "tumor" else None,
        "tta": tta,
        "roi": region_text(roi) if roi and any(part.start or part.stop is not None for part in roi) else None,
        "weights": digest(folders, checkpoint.network_names(stage, planes)),
    }


def of_case(options, mask_path):
    """The options of one CT.

    Args:
        options: as `recorded` gives them.
        mask_path: the file of the kidneys given for it, or None.

    Raises:
        InputError: that file cannot be read.
    """
    return options | {"kidney_mask": mask_path and digests.of_file(mask_path)}


def region_text(roi):
    """A region of interest as `--roi` takes it, such as "20:80,0:,0:256"."""
    return ",".join(f"{part.start or 0}:{'' if part.stop is None else part.stop}" for part in roi)


def digest(folders, names):
    """A digest of the networks' configs and weights, 16 hexadecimal digits; the order of folders is no matter."""
    whole = [
        b"".join(checkpoint.digest(folder, name) for name in checkpoint.load_configs(folder, names))
        for folder in folders
    ]
    return hashlib.sha256(b"".join(sorted(whole))).hexdigest()[:16]


def difference(found, now):
    """In which option labels that are there differ from those that would be written now.

    Args:
        found: the JSON of the labels, with its options.
        now: as `of_case` gives them.

    Returns:
        Such as "fusion mean, now union"; or None.
    """
    then = found["options"]
    name = next((name for name in now if name not in then or then[name] != now[name]), None)
    if name == "weights":
        return f"weights of {found.get('checkpoint', 'another checkpoint')} that are not those of now"
    if name == "kidney_mask":
        return "another kidney mask, or this one before it changed"
    return name and f"{name} {text(then.get(name))}, now {text(now[name])}"


def text(value):
    """An option's value in words."""
    return "none" if value is None else ",".join(map(str, value)) if isinstance(value, list) else str(value)
