"""What decides the labels of a run, as their JSON records it, so that a later run knows whether they are its own.

Engines and their precision are not in it: whichever ran, the labels are meant to be the same.
"""

import hashlib

from kits_tf import checkpoint


def recorded(folders, stage, planes, fusion, tta, roi=None, kidney_masks=None):
    """The options as the JSON's "options".

    Args:
        folders: the checkpoint folders, in order.
        stage, planes, fusion, tta: as `segmenter.load_segmenter` takes them.
        roi: (slices, rows, columns) as `slice` objects without a step, or None.
        kidney_masks: folder of masks that replace stage 1, or None; then planes and fusion do not matter.

    Returns:
        Dict of what JSON can hold.

    Raises:
        InputError: a network's config or weights are missing or unreadable.
    """
    planes = sorted(planes)
    return {
        "stage": stage,
        "planes": planes if kidney_masks is None else None,
        "fusion": fusion if kidney_masks is None else None,
        "tta": tta,
        "roi": roi and region_text(roi),
        "kidney_masks": kidney_masks,
        "weights": digest(folders, checkpoint.network_names(stage, planes)),
    }


def region_text(roi):
    """A region of interest as `--roi` takes it, such as "20:80,0:,0:256"."""
    return ",".join(f"{part.start or 0}:{'' if part.stop is None else part.stop}" for part in roi)


def digest(folders, names):
    """A digest of the networks' configs and weights, 16 hexadecimal digits."""
    whole = hashlib.sha256()
    for folder in folders:
        for name in checkpoint.load_configs(folder, names):
            whole.update(checkpoint.digest(folder, name))
    return whole.hexdigest()[:16]


def difference(found, now):
    """In which option labels that are there differ from those that would be written now.

    Args:
        found: the JSON of the labels, a dict; one without options differs in none.
        now: as `recorded` gives them.

    Returns:
        Such as "fusion mean, now union"; or None.
    """
    then = found.get("options")
    if not isinstance(then, dict):
        return None
    name = next((name for name in now if name in then and then[name] != now[name]), None)
    if name == "weights":
        return f"weights of {found.get('checkpoint', 'another checkpoint')} that are not those of now"
    return name and f"{name} {text(then[name])}, now {text(now[name])}"


def text(value):
    """An option's value in words."""
    return "none" if value is None else ",".join(value) if isinstance(value, list) else str(value)
