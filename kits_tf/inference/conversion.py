"""Networks converted for OpenVINO, kept on disk: TensorFlow is needed once, and then in a process of its own.

    python -m kits_tf.inference.conversion CHECKPOINT_DIR TARGET_DIR NETWORK...

converts; `converted` calls it for what the cache lacks (see `cache`).
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

import kits_tf
from kits_tf import checkpoint
from kits_tf.errors import InputError
from kits_tf.inference import cache


@contextlib.contextmanager
def converted(folder, networks):
    """The networks of a checkpoint folder as OpenVINO models.

    Args:
        folder: the checkpoint folder.
        networks: names.

    Yields:
        {name: path of model.xml}, its weights beside it; without a cache the files are gone when the block ends.

    Raises:
        InputError: weights that are not those of the network in `config.json`.
    """
    with contextlib.ExitStack() as stack:
        kept = cache.cache_folder() or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        paths = {name: kept / cache.key(folder, name) / "model.xml" for name in networks}
        lacking = [name for name, path in paths.items() if not path.is_file()]
        if lacking:
            with tempfile.TemporaryDirectory(prefix=cache.UNFINISHED, dir=kept) as target:
                convert_apart(folder, pathlib.Path(target), lacking)
                for name in lacking:
                    cache.keep(pathlib.Path(target) / name, paths[name].parent)
        for path in paths.values():
            cache.touch(path.parent)
        cache.prune(kept)
        yield paths


def convert_apart(folder, target, networks):
    """Converts in a process of its own, so that TensorFlow takes none of this one's memory.

    Raises:
        InputError: as `converted`.
    """
    root = str(pathlib.Path(kits_tf.__file__).parents[1])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    line = [sys.executable, "-m", "kits_tf.inference.conversion", str(folder), str(target), *networks]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    if done.returncode == 0:
        return
    try:
        path, reason = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise RuntimeError(f"conversion for OpenVINO failed:\n{done.stderr}") from None
    raise InputError(path, reason)


def convert(folder, target, networks):
    """Writes `TARGET/NETWORK/model.xml` and `.bin` of each network, float32."""
    import openvino

    from kits_tf.inference.tensorflow_engine import load_network

    for name, config in checkpoint.load_configs(folder, networks).items():
        model = openvino.convert_model(load_network(folder / name, config).probability.get_concrete_function())
        model = openvino.Model([model.output(0)], model.get_parameters())  # without the second head
        (target / name).mkdir()
        openvino.save_model(model, target / name / "model.xml", compress_to_fp16=False)
        keep_precise(target / name / "model.xml")


def keep_precise(path):
    """Marks what a model computes in float32 under every precision: all up to its first convolution, and activations.

    The first convolution, and what puts the CT's axes in order before it, would round the CT by up to 3 HU over the
    range that networks see by default. What leaves an activation goes into sums, means and products before it is a
    convolution's input: rounded there alone, as the second mark has it, probabilities are three times nearer to
    float32's.
    """
    tree = xml.etree.ElementTree.parse(path)
    layers = [layer for layer in tree.getroot().find("layers") if layer.get("type") not in ("Parameter", "Const")]
    first = next(number for number, layer in enumerate(layers) if layer.get("type") == "Convolution")
    for number, layer in enumerate(layers):
        if number <= first or layer.get("type") == "ReLU":
            mark(layer)
    tree.write(path)


def mark(layer):
    """Marks one layer of OpenVINO's XML as one to compute in float32."""
    info = layer.find("rt_info")
    if info is None:
        info = xml.etree.ElementTree.Element("rt_info")
        layer.insert(list(layer).index(layer.find("input")), info)
    info.append(xml.etree.ElementTree.Element("attribute", {"name": "precise", "version": "0"}))


def main(arguments):
    """The process that converts; returns the exit code."""
    folder, target, *networks = arguments
    try:
        convert(pathlib.Path(folder), pathlib.Path(target), networks)
    except InputError as error:
        print(json.dumps([error.path, error.reason]))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
