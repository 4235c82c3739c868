"""Pack trained weights as a checkpoint folder: float16, compressed, with the config of each network.

python -m experiments.default_weights.pack --weights_dir=DIR --output_dir=checkpoints/default

DIR holds NAME.weights.h5 and, if it was trained here, NAME.csv of each network. Keras reads float16 into its float32
variables; `score` shows that labels do not change.
"""

from __future__ import annotations

import argparse
import csv
import pathlib

import h5py
import numpy as np

from experiments.default_weights.networks import NETWORKS, config_of, record
from kits_tf import checkpoint, config, files

SMALL = 256  # values of a data set that is kept as it is


def main() -> None:
    """Pack the four networks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights_dir", type=pathlib.Path, required=True)
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--record", action="store_true", help="record the ends of the logs in result.json")
    arguments = parser.parse_args()
    pack_all(arguments.weights_dir, arguments.output_dir)
    if arguments.record:
        record(networks={name: last_row(arguments.weights_dir / f"{name}.csv") for name in NETWORKS})


def pack_all(weights_dir: pathlib.Path, output_dir: pathlib.Path) -> None:
    """Write `output_dir/NAME/` for each network of `weights_dir`."""
    for name in NETWORKS:
        folder = output_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        log = weights_dir / f"{name}.csv"
        steps = {"num_steps": int(last_row(log)["step"])} if log.is_file() else {}
        config.save(config_of(name, **steps), folder / checkpoint.CONFIG_NAME)
        with files.replacing(folder / checkpoint.WEIGHTS_NAME) as temporary:
            pack(weights_dir / f"{name}.weights.h5", temporary)


def last_row(log: pathlib.Path) -> dict[str, float]:
    """Return the last row of a training log."""
    with open(log, newline="", encoding="utf-8") as file:
        return {name: float(value) for name, value in list(csv.DictReader(file))[-1].items()}


def pack(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copy a weights file with its large float32 data sets as compressed float16."""
    with h5py.File(source) as read, h5py.File(target, "w", libver="latest") as written:
        copy(read, written)


def copy(read: h5py.Group, written: h5py.Group) -> None:
    """Copy the attributes and members of a group."""
    written.attrs.update(read.attrs)
    for key, member in read.items():
        if isinstance(member, h5py.Group):
            copy(member, written.create_group(key))
        elif member.dtype == np.float32 and member.size > SMALL:
            written.create_dataset(key, data=member[()].astype(np.float16), compression="gzip", shuffle=True)
        else:
            written.create_dataset(key, data=member[()])


if __name__ == "__main__":
    main()
