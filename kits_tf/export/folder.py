"""Everything that `kits-export` writes: each model in a versioned folder, all of them or none."""

import contextlib
import json
import os
import pathlib
import shutil
import uuid

from kits_tf import checkpoint, files
from kits_tf.errors import UsageError
from kits_tf.export import card

NETWORKS = checkpoint.network_names()
SYSTEM = "system"


def export(checkpoint_dir, output_dir, version=1, kind="saved_model", report=print):
    """Writes `NAME/VERSION/` for each of the four networks and, as SavedModel, for the system.

    Args:
        checkpoint_dir: a checkpoint folder, or the name of released weights.
        output_dir: folder to write to.
        version: the folder's name, a positive integer.
        kind: "saved_model", "openvino" or "onnx".
        report: called with a line for each model.

    Raises:
        InputError: the checkpoint is missing or unreadable, or its networks do not go together.
        UsageError: a folder to be written is there already, or a library is not installed.
    """
    source = checkpoint.find(checkpoint_dir)
    configs = checkpoint.load_configs(source, NETWORKS)
    output_dir = pathlib.Path(output_dir)
    names = [*NETWORKS, SYSTEM] if kind == "saved_model" else NETWORKS
    for name in names:
        refuse_existing(output_dir / name / str(version))
    with together(output_dir, names, version) as temporary:
        write(source, configs, temporary, kind, report)
        for name in names:
            files.write_text(temporary / name / "MODEL_CARD.md", card.render(name, source, configs, kind))


def write(source, configs, folder, kind, report):
    """Writes all models to `folder/NAME/`."""
    from kits_tf.export import networks, other_formats, saved_model
    from kits_tf.export.system import System

    save = {
        "saved_model": saved_model.save_network,
        "openvino": other_formats.save_openvino,
        "onnx": other_formats.save_onnx,
    }[kind]
    found = {}
    for name in NETWORKS:
        (folder / name).mkdir(parents=True)
        found[name] = networks.exported(source / name, configs[name])
        difference = save(folder / name, found[name])
        if kind != "saved_model":
            description = json.dumps(networks.signature(found[name]), indent=2) + "\n"
            files.write_text(folder / name / "signature.json", description)
        report(f"{name}: differs from the Keras model by {difference:.1e} at most")
    if kind == "saved_model":
        modules = {name: network.module for name, network in found.items()}
        saved_model.save_system(folder / SYSTEM, System(modules, configs), modules)
        report(f"{SYSTEM}: written")


def refuse_existing(folder):
    """Raises UsageError where a version is there already; a server may be reading it."""
    if folder.exists():
        raise UsageError("version", f"{folder} is there already; takes a number not used yet")


@contextlib.contextmanager
def together(output_dir, names, version):
    """A temporary folder for `NAME/` each; they become `output_dir/NAME/VERSION/` when the block ends well."""
    temporary = output_dir / f".writing-{uuid.uuid4().hex[:12]}"  # other hosts may write here too
    temporary.mkdir(parents=True)
    done = []
    try:
        yield temporary
        for name in names:
            target = output_dir / name / str(version)
            target.parent.mkdir(parents=True, exist_ok=True)
            refuse_existing(target)
            os.rename(temporary / name, target)
            done.append(target)
    except BaseException:
        for target in done:
            shutil.rmtree(target)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
