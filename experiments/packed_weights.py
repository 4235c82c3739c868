"""Weights in fewer bytes, none of their bits lost: HDF5 with compressed arrays, which Keras reads as any other.

    python experiments/packed_weights.py checkpoints/simulated/tumor/model.weights.h5

packs a file in its place.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from kits_tf import files  # noqa: E402

SMALL = 256  # values below which an array is left as it is: a chunk's own bytes would outweigh what is saved


def pack(source, target):
    """Writes the contents of an HDF5 file to another one, large arrays compressed."""
    import h5py

    with h5py.File(source) as there, h5py.File(target, "w", libver="latest") as here:
        copy_group(there, here)


def copy_group(there, here):
    """Copies attributes, arrays and groups within."""
    import h5py

    here.attrs.update(there.attrs)
    for name, item in there.items():
        if isinstance(item, h5py.Group):
            copy_group(item, here.create_group(name))
            continue
        how = {"compression": "gzip", "compression_opts": 9, "shuffle": True} if item.size > SMALL else {}
        here.create_dataset(name, data=item[()], **how).attrs.update(item.attrs)


def main():
    """Packs the files that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=pathlib.Path)
    for path in parser.parse_args().paths:
        before = path.stat().st_size
        with files.replacing(path) as temporary:
            pack(path, temporary)
        print(f"{path}: {before} bytes, now {path.stat().st_size}")


if __name__ == "__main__":
    main()
