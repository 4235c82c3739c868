"""Everything that defines a network and how it sees and learns data: one flat dataclass a stage.

A config is what `--preset` chooses, `--set=KEY=VALUE` changes and `config.json` keeps; every field is an option of the
method (defaults are the `paper` preset).
"""

import dataclasses
import difflib
import json
import math
import typing

from kits_tf import files
from kits_tf.errors import InputError, UsageError

PRESETS = ("paper", "best", "small")
PLANES = ("axial", "coronal", "sagittal")
STAGES = ("both", "kidney", "tumor")
FUSIONS = ("union", "majority", "mean")
TEST_TIME_AUGMENTATIONS = ("none", "shift", "flip")
ENGINES = ("auto", "tensorflow", "openvino")
ENGINE_PRECISIONS = ("auto", "float32", "bfloat16")
STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "tpu")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
PHASES = ("unenhanced", "corticomedullary", "nephrographic", "excretory")
FIXED = ("stage", "plane")  # which flags of their own choose
MAX_STORED_MM = 327.0
"""Distances are kept as int16 in hundredths of a mm; see `dataset.kidneys`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What both stages share: the body box, the optimiser, its schedule, validation and the augmentation."""

    base_filters: int = 64
    normalization: typing.Literal["batch", "group"] = "batch"
    clip_low_hu: float = -1024.0  # HU are clipped to this range and scaled to [0, 1]
    clip_high_hu: float = 2125.0
    body_box: bool = False  # cut slices to the patient's body before anything else
    min_component_share: float = 0.0  # of the largest component on its side, under which one is no kidney
    dice_weight: float = 0.0  # weight of the soft Dice term beside the cross-entropy
    dice_over: typing.Literal["batch", "sample"] = "batch"  # what that Dice is taken over
    num_steps: int = 100_000
    batch_size: int = 8
    learning_rate: float = 1e-4
    schedule: typing.Literal["constant", "cosine", "step"] = "constant"
    warmup_steps: int = 0
    decay_steps: int = 10_000  # "step": every so many steps the rate is multiplied ...
    decay_factor: float = 0.3  # ... by this
    clip_norm: float = 0.0  # longest gradient, over all weights; 0 leaves it as it is
    accumulation: int = 1  # parts that a device takes its share of a batch in, one after the other, to save memory
    average_decay: float = 0.0  # of the moving average of the weights, which is then validated and kept; 0: none
    validate_every: int = 0  # steps from one look at the whole validation volumes to the next; 0: never
    patience: int = 0  # validations without a better Dice after which training ends; 0: never
    keep: typing.Literal["last", "best"] = "last"  # weights that stay at the end; "best" by the validation
    foreground_fraction: float = 0.0  # share of samples centred on foreground; the others are drawn evenly
    augment: bool = True
    max_rotation_degrees: float = 10.0
    max_scaling: float = 0.1  # scale factor in [1 - s, 1 + s]
    max_shift_hu: float = 15.0  # added to a whole sample
    max_intensity_scaling: float = 0.02  # factor in [1 - s, 1 + s] on what lies above clip_low_hu
    max_noise_hu: float = 10.0  # standard deviation of white noise
    max_elastic_mm: float = 0.0  # displacement by a smooth random field; this and what follows is off in `paper`
    elastic_mm: float = 40.0  # distance of the field's control points
    max_gamma: float = 0.0  # exponent in [1 / (1 + g), 1 + g] on the scaled range
    max_blur_mm: float = 0.0  # standard deviation of a Gaussian, in half of the samples
    max_coarsening: float = 0.0  # pixels coarser by a factor in [1, 1 + c] and back, in half of the samples
    batch_norm_momentum: float = 0.99

    def __post_init__(self):
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            check_value(field.name, getattr(self, field.name), hints[field.name])
        for name in ("average_decay", "decay_factor", "max_scaling", "batch_norm_momentum"):
            if getattr(self, name) >= 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: takes less than 1")
        for name in ("foreground_fraction", "min_component_share"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: takes at most 1")
        if self.batch_size % self.accumulation:
            raise ValueError(f"accumulation={self.accumulation!r}: takes a divisor of batch_size={self.batch_size!r}")
        if not self.validate_every and (self.patience or self.keep == "best"):
            raise ValueError("validate_every=0: takes a number of steps where patience or keep='best' goes by it")
        if self.clip_low_hu >= self.clip_high_hu:
            raise ValueError(f"clip_low_hu={self.clip_low_hu!r}: takes less than clip_high_hu={self.clip_high_hu!r}")

    @property
    def clip_hu(self):
        """(low, high) of the HU that a network tells apart."""
        return self.clip_low_hu, self.clip_high_hu


@dataclasses.dataclass(frozen=True, kw_only=True)
class KidneyConfig(Config):
    """Stage 1: a 2.5D network in one plane. Sizes are in pixels of the working grid."""

    stage: typing.Literal["kidney"] = "kidney"
    plane: typing.Literal["axial", "coronal", "sagittal"] = "axial"
    depth: int = 4
    pooling: typing.Literal["polyphase", "haar", "max"] = "polyphase"
    attention: bool = True  # attention gates on every skip but the finest
    reconstruction: typing.Literal["centre", "slab", "none"] = "centre"
    reconstruction_weight: float = 0.1  # lambda
    inplane_mm: float = 0.0  # working size of the CT's pixels (rows and columns); 0 keeps the native ones
    slice_mm: float = 0.0  # working slice distance; 0 keeps the native slices
    mirror: bool = False  # flip the left half so that one network sees both kidneys alike
    overlap: int = 0  # columns that an axial or coronal half sees beyond the middle; sagittal slices lie on one side
    patch_rows: int = 512  # training patch, cut or air-padded to: axial rows x columns,
    patch_columns: int = 256  # coronal slices x columns, sagittal slices x rows
    patch_slices: int = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class TumorConfig(Config):
    """Stage 2: the 3D network on kidney cubes."""

    stage: typing.Literal["tumor"] = "tumor"
    base_filters: int = 32
    batch_size: int = 2
    depth: int = 3
    attention: typing.Literal["cbam", "gate", "both", "none"] = "cbam"
    regression: typing.Literal["intensity", "tumor_intensity", "signed_distance"] = "intensity"
    regression_weight: float = 0.1  # mu
    max_distance_mm: float = 20.0  # clip of the signed distance target
    tumor_weight: float = 2.0  # weight of tumor voxels in the cross-entropy
    small_tumor_ml: float = 10.0  # tumors below this volume weigh more, by its bounded inverse
    max_small_tumor_weight: float = 4.0  # the bound
    margin_mm: float = 10.0  # cube side = longest side of the kidney's box + this
    grid: int = 160  # the cube is resized to grid^3; 0 keeps native voxels
    blocks: typing.Literal["split", "overlap", "polyphase"] = "split"

    def __post_init__(self):
        super().__post_init__()
        self._check_grid()
        most_mm = MAX_STORED_MM * (1 - self.max_scaling)
        if self.regression == "signed_distance" and self.max_distance_mm > most_mm:
            what = f"{MAX_STORED_MM:g} * (1 - max_scaling), here {most_mm:g}"
            raise ValueError(f"max_distance_mm={self.max_distance_mm!r}: takes at most {what}")

    def _check_grid(self):
        """Refuses a grid whose cubes cannot be split into sub-blocks."""
        from kits_tf import kidney_crops  # needs NumPy, which --help does without

        least = 2 * kidney_crops.BLOCK_OVERLAP
        if self.grid % 2:
            raise ValueError(f"grid={self.grid!r}: takes an even number, as sub-blocks are halves of its sides")
        if self.blocks == "overlap" and 0 < self.grid < least:
            raise ValueError(f"grid={self.grid!r}: takes {least} or more where blocks='overlap', or 0")


SYSTEM_OPTIONS = {"body_box": True, "min_component_share": 0.33}
"""What is not the paper's and has shown better, in all presets but `paper`, for all networks alike."""

PRESET_OPTIONS = {
    "kidney": {
        "paper": {},
        "best": {**SYSTEM_OPTIONS, "validate_every": 5000, "keep": "best"},
        "small": {
            **SYSTEM_OPTIONS,
            "clip_low_hu": -200.0,
            "clip_high_hu": 400.0,
            "max_intensity_scaling": 0.05,
            "base_filters": 8,
            "inplane_mm": 2.0,
            "slice_mm": 3.0,
            "patch_rows": 144,
            "patch_columns": 96,
            "patch_slices": 96,
            "num_steps": 3300,
            "mirror": True,
            "learning_rate": 0.01,
            "schedule": "cosine",
            "warmup_steps": 20,
            "dice_weight": 1.0,
            "foreground_fraction": 0.2,
            "batch_norm_momentum": 0.9,
        },
    },
    "tumor": {
        "paper": {},
        "best": {**SYSTEM_OPTIONS, "validate_every": 5000, "keep": "best"},
        "small": {
            **SYSTEM_OPTIONS,
            "clip_low_hu": -200.0,
            "clip_high_hu": 400.0,
            "max_intensity_scaling": 0.1,
            "base_filters": 8,
            "max_rotation_degrees": 20.0,
            "max_scaling": 0.2,
            "grid": 64,
            "blocks": "polyphase",
            "num_steps": 1650,
            "batch_size": 8,
            "tumor_weight": 1.0,
            "max_small_tumor_weight": 2.0,
            "learning_rate": 0.01,
            "schedule": "cosine",
            "warmup_steps": 10,
            "dice_weight": 1.0,
            "dice_over": "sample",
            "foreground_fraction": 0.3,
            "batch_norm_momentum": 0.9,
        },
    },
}


def preset(name, stage, plane=None):
    """The config of a preset.

    Args:
        name: "paper", "best" or "small".
        stage: "kidney" or "tumor".
        plane: one of PLANES for the kidney, None for the tumor. The coronal and sagittal networks pool by maximum.
    """
    options = PRESET_OPTIONS[stage][name]
    if stage == "tumor":
        return TumorConfig(**options)
    pooling = "polyphase" if plane == "axial" else "max"
    return KidneyConfig(**{"plane": plane, "pooling": pooling, **options})


def override(config, assignments):
    """The config with `KEY=VALUE` strings applied, each parsed as its field's type.

    Raises:
        UsageError: an assignment that names no option or whose value is not of its kind.
    """
    hints = typing.get_type_hints(type(config))
    names = [field.name for field in dataclasses.fields(config) if field.name not in FIXED]
    changes = {}
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if key not in names:
            raise UsageError("set", f"{assignment!r}: {unknown_option(key, names)}")
        if not separator:
            raise UsageError("set", f"{assignment!r}: takes KEY=VALUE, such as {key}={getattr(config, key)}")
        try:
            changes[key] = parse_value(text, hints[key])
            check_value(key, changes[key], hints[key])
        except ValueError as error:
            raise UsageError("set", f"{assignment!r}: {error}") from None
    try:
        return dataclasses.replace(config, **changes)
    except ValueError as error:
        raise UsageError("set", error) from None


def unknown_option(key, names):
    """What to say of a key that is none of the options `names` of a network: the nearest ones, or where they stand."""
    if key in FIXED:
        return f"{key} is chosen by --{key}"
    for kind in (KidneyConfig, TumorConfig):
        if key in (field.name for field in dataclasses.fields(kind)):
            return f"{key} is an option of the {kind.stage} network alone"
    near = difflib.get_close_matches(key, names)
    return "no such option; " + (f"did you mean {' or '.join(near)}?" if near else "kits_tf/config.py lists them all")


def parse_value(text, hint):
    """`text` read as a value of a field's type; raises ValueError."""
    if hint is bool:
        words = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() not in words:
            raise ValueError("takes true or false")
        return words[text.lower()]
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            raise ValueError("takes an integer" if hint is int else "takes a number") from None
    return text


POSITIVE = {"base_filters", "num_steps", "batch_size", "learning_rate", "depth", "patch_rows", "patch_columns",
            "patch_slices", "max_distance_mm", "small_tumor_ml", "elastic_mm", "decay_steps", "decay_factor",
            "accumulation"}  # fmt: skip
SIGNED = {"clip_low_hu", "clip_high_hu"}


def check_value(name, value, hint):
    """Raises ValueError unless `value` is of the field's type and in its range."""
    if typing.get_origin(hint) is typing.Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ValueError(f"{name}={value!r}: takes {' or '.join(map(repr, choices))}")
    elif hint is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{name}={value!r}: takes true or false")
    else:
        numeric = isinstance(value, int) or (hint is float and isinstance(value, float))
        if isinstance(value, bool) or not numeric or not math.isfinite(value):
            raise ValueError(f"{name}={value!r}: takes {'an integer' if hint is int else 'a number'}")
        if value < 0 and name not in SIGNED:
            raise ValueError(f"{name}={value!r}: takes a non-negative {'integer' if hint is int else 'number'}")
        if name in POSITIVE and value == 0:
            raise ValueError(f"{name}={value!r}: takes a positive number")


PATCH_SIDES = {
    "axial": ("patch_rows", "patch_columns"),
    "coronal": ("patch_slices", "patch_columns"),
    "sagittal": ("patch_slices", "patch_rows"),
}
"""The options that are the height and width of a plane's training patch."""


def patch_size(config):
    """Height and width of a training patch, in pixels of the working grid."""
    height, width = PATCH_SIDES[config.plane]
    return getattr(config, height), getattr(config, width)


def check_sizes(config):
    """Refuses patches that the network cannot pool.

    Args:
        config: a KidneyConfig, or a TumorConfig, which has none: it checks its grid itself.

    Raises:
        UsageError: names the option, its value and what it takes.
    """
    if config.stage == "tumor":
        return
    for name, side in zip(PATCH_SIDES[config.plane], patch_size(config), strict=True):
        if side % 2**config.depth:
            raise UsageError("set", f"{name}={side}: takes a multiple of 2**depth, here 2**{config.depth}")


def save(config, path):
    """Writes the config as JSON, whole or not at all."""
    files.write_text(path, json.dumps(dataclasses.asdict(config), indent=2) + "\n")


def load(path):
    """Reads a `config.json`.

    Raises:
        InputError: the file is missing, is not JSON, or holds options this version does not know.
    """
    try:
        with open(path) as file:
            options = json.load(file)
        kind = {"kidney": KidneyConfig, "tumor": TumorConfig}[options["stage"]]
        return kind(**options)
    except FileNotFoundError:
        raise InputError(path, "no such file; a checkpoint folder holds config.json") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"is not a config of this program ({error})") from None
