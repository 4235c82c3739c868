"""The legend of an organ label map: which number is which organ."""

import json

from kits_tf.errors import InputError
from kits_tf.simulation.anatomy.structures import structure_of


def read_legend(path):
    """Reads a legend: JSON of {"2": "kidney_right", ...} or {"2": {"name": "kidney_right", ...}, ...}.

    Args:
        path: the JSON file.

    Returns:
        {label: name}, int to str.

    Raises:
        InputError: the file is missing or no legend, or none of its names is a kidney's.
    """
    try:
        with open(path, encoding="utf-8") as file:
            entries = json.load(file)
        legend = {int(number): _name(entry) for number, entry in entries.items()}
    except OSError as error:
        raise InputError(path, error.strerror or error) from None
    except (ValueError, AttributeError, KeyError, TypeError):
        raise InputError(path, 'is no legend, which is JSON such as {"2": {"name": "kidney_right"}}') from None
    if not any(structure_of(name).startswith("kidney") for name in legend.values()):
        raise InputError(path, "names no kidney")
    return legend


def _name(entry):
    name = entry if isinstance(entry, str) else entry["name"]
    if not isinstance(name, str):
        raise ValueError("a name is text")
    return name
