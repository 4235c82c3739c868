"""The flags of kits-predict, and what of them takes more than a look to check."""

import pathlib

from absl import flags

from kits_tf import checkpoint
from kits_tf.config import PLANES
from kits_tf.errors import UsageError
from kits_tf.inference import choices, engines

FLAGS = flags.FlagValues()

flags.DEFINE_string(
    "input",
    None,
    "A NIfTI file, a folder of NIfTI files, a case folder, a KiTS19-layout folder, a prepared folder, the folder "
    "of a DICOM series, which yields a DICOM SEG too, or a .txt file that lists any of these, one a line.",
    required=True,
    flag_values=FLAGS,
)
flags.DEFINE_string("output_dir", None, "Folder to write labels and JSON to.", required=True, flag_values=FLAGS)
flags.DEFINE_multi_string(
    "checkpoint_dir",
    [checkpoint.DEFAULT],
    "A checkpoint folder, or the name of released weights; several, comma-separated or by repeating the flag, are "
    "averaged.",
    flag_values=FLAGS,
)
flags.DEFINE_enum(
    "engine", "auto", ["auto", *engines.ENGINES], "What runs the networks; auto is the fastest installed.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_enum(
    "engine_precision", "auto", engines.PRECISIONS, "What networks compute in; auto is bfloat16 where the processor "
    "does so by itself, and the engine can.", flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_enum(
    "stage", "both", choices.STAGES, "Kidney alone, tumor alone (see --kidney_masks), or both.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "kidney_masks", None, "Folder of kidney masks (label > 0) for --stage=tumor, named as this command's output or in "
    "the KiTS19 layout.", flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_list("planes", list(PLANES), "The planes whose networks find the kidney.", flag_values=FLAGS)
flags.DEFINE_enum("fusion", "union", choices.FUSION, "How the planes' masks become one.", flag_values=FLAGS)
flags.DEFINE_enum(
    "tta", "none", choices.TTA, "Test-time augmentation: average over the input moved by a part of what "
    "pooling joins, or over it upside down.", flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "roi", None, "Region of interest, SLICES,ROWS,COLUMNS, each START:STOP counted from 0 in the order I,P,L, such as "
    "20:80,:,0:256; slices outside are not looked at, other voxels outside are background.", flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_bool(
    "probabilities", False, "Write the probabilities of kidney and tumor beside the labels.", flag_values=FLAGS
)
flags.DEFINE_string(
    "series", None, "Which of several DICOM series of a folder: Series Number or Series Instance UID.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_bool("report", False, "Write the page of kits-report beside each label file.", flag_values=FLAGS)
flags.DEFINE_bool(
    "viewer_files", False, "Write names and colors of the labels for 3D Slicer and ITK-SNAP beside them.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_bool("overwrite", False, "Segment cases again that are already written.", flag_values=FLAGS)
flags.DEFINE_string(
    "shard", None, "I/N: only the I-th of N parts of the list of CTs, for N machines at once.", flag_values=FLAGS
)
flags.DEFINE_integer(
    "workers", 3, "CTs in work at once: one runs its networks, others are read and written.", lower_bound=1,
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_float(
    "memory_gb", None, "What CTs in work may take together, networks aside; larger ones are refused. By default 80 % "
    "of what is free.", flag_values=FLAGS, lower_bound=0.001,
)  # fmt: skip

flags.register_validator("planes", choices.are_planes, message=choices.PLANES_TAKEN, flag_values=FLAGS)


def check():
    """Raises a UsageError for flags that do not go together or name no folder."""
    if (FLAGS.stage == "tumor") != (FLAGS.kidney_masks is not None):
        raise UsageError("kidney_masks", "takes a folder, with --stage=tumor and only there")
    masks = FLAGS.kidney_masks
    if masks is not None and not (masks and pathlib.Path(masks).is_dir()):
        raise UsageError("kidney_masks", f"{masks or 'nothing'}: no such folder")
    if masks is not None and pathlib.Path(masks).resolve() == pathlib.Path(FLAGS.output_dir).resolve():
        raise UsageError("kidney_masks", f"{masks} is the output folder too, where labels would replace the masks")
    for name in ("planes", "fusion"):
        if FLAGS.stage == "tumor" and FLAGS[name].present:
            raise UsageError(name, "says how kidneys are found; --stage=tumor takes those of --kidney_masks")
    if FLAGS.series == "":
        raise UsageError("series", "takes a Series Number or a Series Instance UID")


def checkpoints():
    """The checkpoints named by --checkpoint_dir, in order."""
    found = [name for value in FLAGS.checkpoint_dir for name in value.split(",") if name]
    if not found:
        raise UsageError("checkpoint_dir", "takes a checkpoint folder or the name of released weights")
    return found


def roi():
    """The region of interest as three slices, or None."""
    if FLAGS.roi is None:
        return None
    try:
        bounds = [[int(text) if text else None for text in part.split(":")] for part in FLAGS.roi.split(",")]
    except ValueError:
        bounds = []
    if [len(part) for part in bounds] != [2, 2, 2] or any(
        number is not None and number < 0 for number in sum(bounds, [])
    ):
        raise UsageError(
            "roi", f"takes SLICES,ROWS,COLUMNS, each START:STOP, such as 20:80,:,0:256; not {FLAGS.roi!r}"
        )
    return tuple(slice(*part) for part in bounds)
