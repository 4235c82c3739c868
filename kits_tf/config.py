"""Options of the method: what defines a network, how it sees a CT and how it is trained.

A config is a flat dataclass, one per stage, whose defaults are the preset `paper`. `--preset` selects one,
`--set=KEY=VALUE` changes it, and `config.json` stores it. The valid values of other flags are listed here, too.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from kits_tf import files
from kits_tf.errors import InputError, OptionError, UsageError

Stage: TypeAlias = Literal["kidney", "tumor"]
Plane: TypeAlias = Literal["axial", "coronal", "sagittal"]
Normalization: TypeAlias = Literal["batch", "group"]
Pooling: TypeAlias = Literal["polyphase", "haar", "max"]
Reconstruction: TypeAlias = Literal["centre", "slab", "none"]
TumorAttention: TypeAlias = Literal["cbam", "gate", "both", "none"]
Regression: TypeAlias = Literal["intensity", "tumor_intensity", "signed_distance"]
Blocks: TypeAlias = Literal["split", "overlap", "polyphase", "none"]
Fusion: TypeAlias = Literal["union", "majority", "mean"]

PLANES: tuple[Plane, ...] = get_args(Plane)
PRESETS = ("paper", "best", "small", "default")
STAGES = ("both", "kidney", "tumor")
SPLITS = ("training", "validation", "test")
FUSIONS: tuple[Fusion, ...] = get_args(Fusion)
TEST_TIME_AUGMENTATIONS = ("none", "shift", "flip")
LABEL_FORMATS = ("seg.nrrd", "stl")  # beside NIfTI, and DICOM SEG of a DICOM series
ENGINES = ("auto", "tensorflow", "openvino")
ENGINE_PRECISIONS = ("auto", "float32", "bfloat16")
STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "tpu")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
PHASES = ("unenhanced", "corticomedullary", "nephrographic", "excretory")

FIXED = ("stage", "plane")  # options that have a flag of their own
MAX_DISTANCE_MM = 327.0  # distances are stored as int16 in hundredths of a mm
BLOCK_OVERLAP = 8  # voxels by which an "overlap" sub-block reaches beyond the middle of each in-plane axis


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Options of both stages: what the network sees, the optimizer, its schedule, validation and augmentation."""

    stage: Stage
    base_filters: int = 64  # filters of the finest level
    normalization: Normalization = "batch"  # "batch" or "group"; the latter suits small batches
    clip_low_hu: float = -1024.0  # HU are clipped to this range and scaled to [0, 1]
    clip_high_hu: float = 2125.0  # upper end of that range
    body_box: bool = False  # crop slices to the patient's body first
    min_component_ml: float = 0.0  # drop smaller components of the kidney mask
    min_agreement: float = 0.0  # drop components if planes agree on a smaller fraction, but keep one per side
    dice_weight: float = 0.0  # weight of the soft Dice loss beside the cross-entropy
    dice_over: Literal["batch", "sample"] = "batch"  # soft Dice over the whole "batch", or the mean over each "sample"
    num_steps: int = 100_000  # training steps
    batch_size: int = 8  # samples per step over all devices
    learning_rate: float = 1e-4  # Adam's highest learning rate
    schedule: Literal["constant", "cosine", "step"] = "constant"  # learning rate over time
    warmup_steps: int = 0  # steps over which the learning rate rises linearly
    decay_steps: int = 10_000  # "step" schedule: steps after which the learning rate is multiplied
    decay_factor: float = 0.3  # "step" schedule: the factor
    clip_norm: float = 0.0  # global norm to clip gradients to; 0: do not clip
    accumulation: int = 1  # micro-batches per device, whose gradients are averaged, to save memory
    average_decay: float = 0.0  # of a moving average of the weights, used to validate and predict; 0: none
    validate_every: int = 0  # steps between validations on whole volumes; 0: never
    patience: int = 0  # early stopping after this many validations without a better Dice; 0: never
    keep: Literal["last", "best"] = "last"  # weights to keep at the end: the last or the best by validation
    foreground_fraction: float = 0.0  # fraction of samples centred on foreground; the others are uniform
    augment: bool = True  # random changes of the training samples; the options below are their largest extent
    max_rotation_degrees: float = 10.0  # in the plane; about all three axes in 3D
    max_scaling: float = 0.1  # scale factor in [1 - s, 1 + s]
    max_shift_hu: float = 15.0  # offset of a whole sample
    max_intensity_scaling: float = 0.02  # factor in [1 - s, 1 + s] on the HU above clip_low_hu
    max_noise_hu: float = 10.0  # standard deviation of white noise
    max_elastic_mm: float = 0.0  # displacement by a smooth random field
    elastic_mm: float = 40.0  # distance between control points of that field
    max_gamma: float = 0.0  # exponent in [1 / (1 + g), 1 + g] on the scaled range
    max_blur_mm: float = 0.0  # standard deviation of a Gaussian, for half of the samples
    max_coarsening: float = 0.0  # resample to pixels larger by a factor in [1, 1 + c] and back, half of the samples
    batch_norm_momentum: float = 0.99  # of the running statistics of batch normalization

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            check_value(field.name, getattr(self, field.name), hints[field.name])
        for name in ("average_decay", "decay_factor", "max_scaling", "batch_norm_momentum"):
            self._require(name, getattr(self, name) < 1, "less than 1")
        for name in ("foreground_fraction", "min_agreement"):
            self._require(name, getattr(self, name) <= 1, "at most 1")
        divides = self.batch_size % self.accumulation == 0
        self._require("accumulation", divides, f"a divisor of batch_size={self.batch_size}")
        needs_validation = self.patience or self.keep == "best"
        self._require("validate_every", not needs_validation or self.validate_every, "positive with patience or best")
        self._require("clip_low_hu", self.clip_low_hu < self.clip_high_hu, f"less than {self.clip_high_hu:g}")

    def _require(self, name: str, condition: object, what: str) -> None:
        """Raise an OptionError that says what an option must be, unless the condition holds."""
        if not condition:
            raise OptionError(name, f"{name} must be {what}, got {getattr(self, name)!r}")

    @property
    def clip_hu(self) -> tuple[float, float]:
        """Range (low, high) of HU that is scaled to [0, 1]."""
        return self.clip_low_hu, self.clip_high_hu


@dataclasses.dataclass(frozen=True, kw_only=True)
class KidneyConfig(Config):
    """Options of a network of stage 1, 2.5D in one plane. Sizes are in pixels of the working grid."""

    stage: Literal["kidney"] = "kidney"
    plane: Plane = "axial"  # set by --plane
    depth: int = 4  # number of poolings
    pooling: Pooling = "polyphase"  # "polyphase", "haar" or "max"
    attention: bool = True  # attention gates on every skip but the finest
    reconstruction: Reconstruction = "centre"  # what a head rebuilds: the "centre" slice, the "slab" or "none"
    reconstruction_weight: float = 0.1  # lambda, weight of the autoencoding loss
    inplane_mm: float = 0.0  # working pixel size of rows and columns; 0: as in the CT
    slice_mm: float = 0.0  # working slice distance; 0: as in the CT
    mirror: bool = False  # flip the left half, so that one network sees both kidneys alike
    search_step: int = 1  # run every n-th slab and the last, then those between two such slabs if either has kidney
    overlap: int = 0  # columns that an axial or coronal half sees beyond the middle
    fusion: Fusion = "union"  # what any ("union") or most planes find ("majority"), or "mean" probability
    patch_rows: int = 512  # training patch: axial rows x columns, coronal slices x columns, sagittal slices x rows
    patch_columns: int = 256  # see patch_rows
    patch_slices: int = 128  # see patch_rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class TumorConfig(Config):
    """Options of stage 2, the 3D network on cubes around kidneys."""

    stage: Literal["tumor"] = "tumor"
    base_filters: int = 32  # filters of the finest level
    normalization: Normalization = "group"  # batch statistics of two sub-blocks vary threefold
    batch_size: int = 2  # sub-blocks, or cubes with blocks=none
    depth: int = 3  # number of poolings
    attention: TumorAttention = "cbam"  # CBAM after every block, gates on skips, both or none
    regression: Regression = "intensity"  # "intensity", "tumor_intensity", "signed_distance": target of its head
    regression_weight: float = 0.1  # mu, weight of the regression loss
    max_distance_mm: float = 20.0  # the signed distance is clipped to this
    tumor_weight: float = 2.0  # weight of tumor voxels in the cross-entropy
    small_tumor_ml: float = 10.0  # smaller tumors weigh more, by the inverse of their volume
    max_small_tumor_weight: float = 4.0  # upper bound of that weight
    context_mm: float = 0.0  # tumor is found up to this distance from the kidney, rounded to voxels
    margin_mm: float = 10.0  # the cube is this much longer than the longest side of the box of what the network sees
    grid: int = 160  # the cube is resized to grid^3 voxels; 0: keep the CT's voxels
    blocks: Blocks = "split"  # how a cube is divided into four sub-blocks; "none": not at all
    average_mirrored: bool = False  # average predictions of the cube and of the cube with right and left exchanged

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = self.blocks == "none" or self.grid % 2 == 0
        self._require("grid", fits, "even, since sub-blocks halve it")
        fits = self.blocks != "overlap" or self.grid == 0 or self.grid >= 2 * BLOCK_OVERLAP
        self._require("grid", fits, f"0 or at least {2 * BLOCK_OVERLAP} with blocks='overlap'")
        most_mm = MAX_DISTANCE_MM * (1 - self.max_scaling)
        fits = self.regression != "signed_distance" or self.max_distance_mm <= most_mm
        self._require("max_distance_mm", fits, f"at most {MAX_DISTANCE_MM:g} * (1 - max_scaling) = {most_mm:g}")


AnyConfig = TypeVar("AnyConfig", bound=Config)
NetworkConfig = KidneyConfig | TumorConfig
KINDS: dict[str, type[KidneyConfig] | type[TumorConfig]] = {"kidney": KidneyConfig, "tumor": TumorConfig}


SYSTEM_OPTIONS: dict[str, Any] = {"body_box": True, "min_component_ml": 2.0, "min_agreement": 0.5}
"""Improvements on the paper, for every network, in every preset but `paper`."""

PRESET_OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "kidney": {
        "paper": {},
        "best": {**SYSTEM_OPTIONS, "fusion": "majority", "validate_every": 5000, "keep": "best"},
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
            "normalization": "batch",
            "max_rotation_degrees": 20.0,
            "max_scaling": 0.2,
            "context_mm": 4.0,
            "grid": 64,
            "blocks": "none",
            "num_steps": 1650,
            "batch_size": 4,
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

PRESET_OPTIONS["kidney"]["default"] = {
    **PRESET_OPTIONS["kidney"]["small"],
    "base_filters": 16,
    "search_step": 4,
    "fusion": "majority",
    "max_rotation_degrees": 20.0,
    "max_scaling": 0.35,
    "max_shift_hu": 40.0,
    "max_intensity_scaling": 0.2,
    "max_noise_hu": 20.0,
    "max_elastic_mm": 6.0,
    "max_gamma": 0.4,
    "max_blur_mm": 1.5,
    "max_coarsening": 0.8,
}
PRESET_OPTIONS["tumor"]["default"] = {
    **PRESET_OPTIONS["tumor"]["small"],
    "base_filters": 16,
    "context_mm": 1.4,
    "grid": 48,
    "average_mirrored": True,
}


def preset(name: str, stage: str, plane: str | None = None) -> KidneyConfig | TumorConfig:
    """Return the config of a preset.

    Args:
        name: "paper", "best", "small" or "default".
        stage: "kidney" or "tumor".
        plane: of the kidney network; None for the tumor. The coronal and sagittal networks use max pooling.

    Example:
        >>> preset("paper", "kidney", "coronal").pooling
        'max'
    """
    options = PRESET_OPTIONS[stage][name]
    if stage == "tumor":
        return TumorConfig(**options)
    pooling = "polyphase" if plane == "axial" else "max"
    return KidneyConfig(**{"plane": plane, "pooling": pooling, **options})


def override(config: AnyConfig, assignments: Iterable[str]) -> AnyConfig:
    """Return a config with `KEY=VALUE` strings applied, each parsed as the type of its option.

    Raises:
        UsageError: an assignment names no option, or its value is out of range.

    Example:
        >>> override(preset("small", "tumor"), ["grid=96", "augment=false"]).grid
        96
    """
    hints = get_type_hints(type(config))
    names = [field.name for field in dataclasses.fields(config) if field.name not in FIXED]
    changes = {}
    try:
        for assignment in assignments:
            key, separator, text = assignment.partition("=")
            if key not in names:
                raise OptionError(key, f"{assignment!r}: {unknown_option(key, names)}")
            if not separator:
                raise OptionError(key, f"{assignment!r} must be KEY=VALUE, such as {key}={getattr(config, key)}")
            changes[key] = parse_value(key, text, hints[key])
        return dataclasses.replace(config, **changes)
    except OptionError as error:
        raise UsageError("set", error) from None


def assignments(config: Config) -> list[str]:
    """Return all options of a config as `KEY=VALUE` strings.

    Example:
        >>> assignments(preset("paper", "tumor"))[:2]
        ['stage=tumor', 'base_filters=32']
    """
    return [f"{name}={value}" for name, value in dataclasses.asdict(config).items()]


def unknown_option(key: str, names: Sequence[str]) -> str:
    """Return the error message for a key that is not an option of the network."""
    if key in FIXED:
        return f"{key} is set by --{key}"
    for stage, kind in KINDS.items():
        if key in (field.name for field in dataclasses.fields(kind)):
            return f"{key} is an option of the {stage} network only"
    near = difflib.get_close_matches(key, names)
    hint = f"did you mean {' or '.join(near)}?" if near else "--list_options shows all options"
    return f"no such option; {hint}"


def parse_value(name: str, text: str, hint: Any) -> Any:
    """Return `text` as a value of an option's type; invalid text unchanged, for `check_value` to report."""
    if hint is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    try:
        return hint(text) if hint in (int, float) else text
    except ValueError:
        return text


POSITIVE = {"base_filters", "num_steps", "batch_size", "learning_rate", "depth", "patch_rows", "patch_columns",
            "patch_slices", "max_distance_mm", "small_tumor_ml", "elastic_mm", "decay_steps", "decay_factor",
            "accumulation", "search_step"}  # fmt: skip
SIGNED = {"clip_low_hu", "clip_high_hu"}


def check_value(name: str, value: Any, hint: Any) -> None:
    """Raise an OptionError unless a value has the type of its option and is in range."""
    if get_origin(hint) is Literal:
        valid, what = value in get_args(hint), " or ".join(map(repr, get_args(hint)))
    elif hint is bool:
        valid, what = isinstance(value, bool), "true or false"
    else:
        valid = isinstance(value, (int, float) if hint is float else int) and not isinstance(value, bool)
        sign = "" if name in SIGNED else "positive " if name in POSITIVE else "non-negative "
        what = f"a {sign}{'integer' if hint is int else 'number'}"
        if valid:
            valid = math.isfinite(value) and (name in SIGNED or value > 0 or (value == 0 and name not in POSITIVE))
    if not valid:
        raise OptionError(name, f"{name} must be {what}, got {value!r}")


PATCH_SIDES = {
    "axial": ("patch_rows", "patch_columns"),
    "coronal": ("patch_slices", "patch_columns"),
    "sagittal": ("patch_slices", "patch_rows"),
}
"""Names of the options for the height and width of a plane's training patch."""


def patch_size(config: KidneyConfig) -> tuple[int, int]:
    """Return the height and width of a training patch, in pixels of the working grid."""
    height, width = PATCH_SIDES[config.plane]
    return getattr(config, height), getattr(config, width)


def check_sizes(config: KidneyConfig | TumorConfig) -> None:
    """Raise a UsageError if the kidney network cannot pool its training patches."""
    if isinstance(config, KidneyConfig):
        for name, side in zip(PATCH_SIDES[config.plane], patch_size(config), strict=True):
            if side % 2**config.depth:
                what = f"a multiple of 2**depth = {2**config.depth}"
                raise UsageError("set", OptionError(name, f"{name} must be {what}, got {side}"))


def save(config: Config, path: str | os.PathLike) -> None:
    """Write a config as JSON."""
    files.write_text(path, json.dumps(dataclasses.asdict(config), indent=2) + "\n")


BEFORE = {"min_component_ml": 2.0}
"""Values of options that are missing in old configs, where the default is not what old versions did."""


def load(path: str | os.PathLike) -> KidneyConfig | TumorConfig:
    """Read a `config.json`.

    Raises:
        InputError: the file is missing, is not JSON, or holds options that this version does not have.
    """
    try:
        options = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        if options.pop("min_component_share", 0):  # in old configs, in place of min_agreement
            options.setdefault("min_agreement", SYSTEM_OPTIONS["min_agreement"])
        return KINDS[options["stage"]](**{**BEFORE, **options})
    except FileNotFoundError:
        raise InputError(path, "no such file; a checkpoint folder holds a config.json for each network") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"is not a valid config ({error})") from None
