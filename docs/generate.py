"""Generate pages and sections from code and recorded results. Run `python -m docs.generate`."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pathlib
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from absl import flags

from experiments.ablations import summary as ablations
from experiments.ablations.variants import QUESTIONS
from experiments.default_weights.networks import recorded
from kits_tf import checkpoint, cli, config
from kits_tf.cli import app, predict

ROOT = pathlib.Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
ABLATIONS = ROOT / "docs" / "explanation" / "ablations.md"
CARD = ROOT / "checkpoints" / checkpoint.DEFAULT / checkpoint.CARD_NAME
WEIGHTS = ROOT / "experiments" / "default_weights"
AUGMENTATION = ("max_rotation_degrees", "max_scaling", "max_shift_hu", "max_intensity_scaling", "max_noise_hu",
                "max_elastic_mm", "elastic_mm", "max_gamma", "max_blur_mm", "max_coarsening")  # fmt: skip
PENDING = "Not measured yet.\n"
SUMMARY = {
    "real_kidney_dice": "real CTs: kidney Dice, mean",
    "real_lowest_kidney_dice": "real CTs: kidney Dice, lowest",
    "real_most_far_ml": "real CTs: further than 6 mm from a kidney, most, ml",
    "real_median_false_tumor_ml": "real CTs: tumor claimed, median, ml",
    "real_most_false_tumor_ml": "real CTs: tumor claimed, most, ml",
    "planted_tumor_dice": "planted: tumor Dice, mean",
    "planted_found": "planted: found of those over 4 ml",
    "real_shaped_tumor_dice": "real shapes planted: tumor Dice, mean",
    "real_shaped_found": "real shapes planted: found of those over 4 ml",
    "real_shaped_dark_tumor_dice": "real shapes planted, over 20 HU darker than the kidney: tumor Dice, mean",
    "simulated_kidney_dice": "simulated: kidney Dice, mean",
    "simulated_tumor_dice": "simulated: tumor Dice, mean",
    "simulated_rows_to_columns": "simulated: tumor outlines, changes along rows over those along columns",
}  # numbers of `experiments.default_weights.score`
COMMANDS = sorted({path.stem for path in pathlib.Path(cli.__path__[0]).glob("*.py")} - {"__init__", "app", "batch"})
NOTE = "<!-- Made by `python -m docs.generate` from the code. Do not edit. -->\n\n"
CONFIG_HEAD = """\
Set one with `kits-train --set=KEY=VALUE`; `config.json` stores all of them. `64, 32` means 64 in the kidney networks
and 32 in the tumor network; `polyphase / max / max` are the values of the axial, coronal and sagittal networks. The
[model card](../../checkpoints/default/README.md) says how the released weights were trained.
"""
REASONS = {
    "augment": "`experiments/default_weights` augments in its own way; the paper mentions no augmentation",
    "average_mirrored": "where one of the two sees a false tumor, the other often does not",
    "base_filters": "small enough to train and run on a CPU",
    "batch_norm_momentum": "0.99 still holds 5 % of its initial statistics after 300 steps",
    "batch_size": "more kidneys per step, so that batch normalization sees some with tumor",
    "blocks": "a small cube fits into memory whole, and the network then sees the whole kidney",
    "body_box": "halves the voxels to compute; nothing outside the patient becomes kidney",
    "clip_high_hu": "soft tissue fills the range [0, 1]",
    "clip_norm": "no single batch moves the weights far",
    "clip_low_hu": "soft tissue fills the range [0, 1]",
    "dice_over": "small tumors count as much as large ones",
    "context_mm": "stage 1 misses parts of a tumor that grows out of the kidney",
    "dice_weight": "cross-entropy alone converges too slowly within a short schedule",
    "foreground_fraction": "more samples with foreground within a short schedule",
    "fusion": "false positives differ from plane to plane; the union adds them up",
    "grid": "memory and time on a CPU",
    "inplane_mm": "one resolution for all scanners, and fewer pixels",
    "keep": "the last weights are not always the best",
    "learning_rate": "a short schedule needs larger steps",
    "max_blur_mm": "scanners and kernels that training has not seen",
    "max_coarsening": "as `max_blur_mm`",
    "max_elastic_mm": "few people in training; organs lie differently in others",
    "max_gamma": "phases of contrast that training has not seen",
    "max_intensity_scaling": "as `max_gamma`; over a narrower range of HU, the same factor changes contrast less",
    "max_noise_hu": "as `max_blur_mm`",
    "max_rotation_degrees": "few cases; kidneys are tilted",
    "max_scaling": "few cases; kidneys vary in size",
    "max_shift_hu": "as `max_gamma`",
    "max_small_tumor_weight": "presets: as `tumor_weight`; released weights: small tumors are learned last",
    "min_agreement": "a piece beside the kidney that one of the planes does not find is a false positive",
    "min_component_ml": "a smaller piece is not a kidney",
    "mirror": "left and right kidneys look alike, so each case counts twice; the paper learns each side apart",
    "normalization": "`paper` uses groups, which the paper does not name: statistics of two sub-blocks vary threefold",
    "num_steps": "a schedule of minutes or hours on a CPU, not of days on a GPU",
    "patch_columns": "a half of the body on the working grid",
    "patch_rows": "the body on the working grid",
    "patch_slices": "the kidneys and their surroundings on the working grid",
    "regression_weight": "in the released weights, cross-entropy weighs three times as much as soft Dice",
    "schedule": "a short schedule ends better at a small learning rate",
    "search_step": "a kidney is thicker than a few slabs; about half of the work in stage 1 is saved",
    "slice_mm": "as `inplane_mm`; the three slices of a slab are then interpolated",
    "small_tumor_ml": "the network is slowest to learn tumors of a few ml",
    "tumor_weight": "the soft Dice loss already balances the classes",
    "validate_every": "`keep` requires it",
    "warmup_steps": "batch statistics settle before the full learning rate",
}  # reasons of options in which a preset or the released weights differ from the paper
OFF = "off"
BEYOND_PAPER = ("augment",)  # options in which `paper` adds to what the paper says
ALWAYS = (
    ("everything outside the box around the patient's body is set to air, the table included", "`geometry.only_body`"),
    ("augmentation rotates, scales, and changes intensity and noise; it never swaps left and right", "`augment`"),
    ("one logit and a sigmoid for two classes, in place of a softmax", "`models/unet.py`"),
    ("the bias of the logits starts at -2, CBAM's attention near one", "`models/unet.py`, `models/layers.py`"),
)  # what differs from the paper in every preset: (what, where)


def table(*rows: tuple[Any, ...]) -> str:
    """Return rows, the first of them the heading, as a Markdown table."""
    lines = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]) + "\n"


def commands_page() -> str:
    """Return the page of all commands."""
    codes = [("code", "meaning"), (app.EXIT_DONE, "done, or nothing left to do")]
    codes += [(app.EXIT_SOME_FAILED, "some cases failed, each reported in one line; the others are done")]
    codes += [(app.EXIT_UNUSABLE, "unusable flags or input, reported in one line")]
    codes += [(app.EXIT_INTERRUPTED, "stopped by Ctrl-C"), (app.EXIT_BROKEN_PIPE, "standard output was closed")]
    codes += [(app.EXIT_TERMINATED, "stopped by SIGTERM")]
    head = "Every command is also a module, `python -m kits_tf.cli.NAME`. Each accepts\n"
    head += "`--flagfile=FILE` (flags from a text file, one per line), `--help` and `--version`.\n\n"
    modules = [importlib.import_module(f"kits_tf.cli.{name}") for name in COMMANDS]
    parts = [f"# Commands\n\n{NOTE}{head}{table(*codes)}", *map(command_section, COMMANDS, modules)]
    return "\n".join(parts)


def command_section(name: str, module: ModuleType) -> str:
    """Return what a command does and its flags."""
    about, example = re.split(r"\n\n(?:Example:)?\s*(?=kits-)", inspect.cleandoc(module.__doc__ or ""))
    rows = [row for group in module.FLAGS.flags_by_module_dict().values() for row in map(flag_row, group)]
    shared = ""
    if name == "request":
        known = {flag_row(flag) for group in predict.FLAGS.flags_by_module_dict().values() for flag in group}
        names = ", ".join(row[0] for row in rows if row in known)
        shared, rows = f"\n{names} are those of [kits-predict](#kits-predict).\n", [r for r in rows if r not in known]
    head = ("flag", "default", "what it is")
    return f"## kits-{name}\n\n{about}\n\n```\n{example}\n```\n\n{table(head, *rows)}{shared}"


def flag_row(flag: flags.Flag) -> tuple[str, str, str]:
    """Return a flag with its default and meaning."""
    return f"`--{flag.name}`", default(flag), meaning(flag)


def default(flag: flags.Flag) -> str:
    """Return a flag's default as Markdown."""
    if required := "".join(app.requirement(validator.message) for validator in flag.validators):
        return re.sub(r"(--\w+)", r"`\1`", required)
    text = ",".join(map(str, flag.default)) if isinstance(flag.default, list) else str(flag.default)
    return f"`{text.lower() if flag.boolean else text}`" if text not in ("", "None") else ""


def meaning(flag: flags.Flag) -> str:
    """Return a flag's help with the values that it may have."""
    text = re.sub(r"^<.*?>: |;\s+repeat this option.*", "", flag.help, flags=re.DOTALL)
    values = getattr(flag.parser, "enum_values", ())
    return f"{', '.join(f'`{value}`' for value in values)}: {text}" if values else text


def config_page() -> str:
    """Return the page of all options of the networks."""
    columns = {name: preset_configs(name) for name in config.PRESETS}
    kinds = {"Both stages": (config.Config, "both"), "Kidney networks": (config.KidneyConfig, "kidney")}
    kinds["Tumor network"] = (config.TumorConfig, "tumor")
    text, reasons = f"# Options of the networks\n\n{NOTE}{CONFIG_HEAD}", [("option", "reason")]
    for title, (kind, stage) in kinds.items():
        rows = [("option", *columns, "what it is")]
        inherited = () if kind is config.Config else [field.name for field in dataclasses.fields(config.Config)]
        comments = field_comments(kind)
        for name in (field.name for field in dataclasses.fields(kind)):
            if name not in (*inherited, *config.FIXED):
                values = [over_networks(configs, name, stage) for configs in columns.values()]
                rows.append((f"`{name}`", *values, comments[name]))
                if len(set(values)) > 1 or name in BEYOND_PAPER:
                    reasons.append((f"`{name}`", REASONS[name]))
        text += f"\n## {title}\n\n{table(*rows)}"
    always = "In every preset, `paper` included:\n\n" + table(("what", "where"), *ALWAYS)
    return f"{text}\n## Differs from the paper\n\n{table(*reasons)}\n{always}"


def over_networks(configs: Mapping[str, config.Config], option: str, stage: str) -> str:
    """Return the values of an option in the networks of a stage or both, equal ones once; see `CONFIG_HEAD`."""
    stages = []
    for one in config.KINDS if stage == "both" else (stage,):
        values = [shown(getattr(configs[name], option)) for name in checkpoint.network_names(one)]
        stages.append(" / ".join(values if len(set(values)) > 1 else values[:1]))
    return ", ".join(dict.fromkeys(stages))


def preset_configs(name: str) -> dict[str, config.NetworkConfig]:
    """Return the configs of a preset by network."""
    parts = {network: network.partition("_") for network in checkpoint.network_names()}
    return {network: config.preset(name, stage, plane or None) for network, (stage, _, plane) in parts.items()}


def released_configs() -> dict[str, config.NetworkConfig]:
    """Return the configs of the released weights by network."""
    return {name: config.load(CARD.parent / name / checkpoint.CONFIG_NAME) for name in checkpoint.network_names()}


def differences(columns: dict[str, dict[str, config.NetworkConfig]]) -> str:
    """Return the table of options in which configs, by column and network, differ from the paper; `paper` is first."""
    fields = [field.name for kind in config.KINDS.values() for field in dataclasses.fields(kind)]
    rows = []
    for option in dict.fromkeys(fields):
        groups: dict[tuple[str, ...], list[str]] = {}  # networks by their values
        for network in checkpoint.network_names():
            if hasattr(columns["paper"][network], option):
                values = tuple(in_effect(configs[network], option) for configs in columns.values())
                groups.setdefault(values, []).append(network)
        for values, networks in groups.items():
            if len(set(values) - {OFF}) > 1 or option in BEYOND_PAPER:
                rows.append((f"`{option}`", named(networks), *values, REASONS[option]))
    return table(("option", "networks", *columns, "reason"), *rows)


def in_effect(network_config: config.Config, option: str) -> str:
    """Return the value of an option in words; "off" for an extent of augmentation that is turned off."""
    return OFF if option in AUGMENTATION and not network_config.augment else shown(getattr(network_config, option))


def named(networks: list[str]) -> str:
    """Return networks in words."""
    names = {stage: checkpoint.network_names(stage) for stage in config.STAGES}
    short = {"both": "all", "kidney": "kidney"}
    return next((word for stage, word in short.items() if networks == names[stage]), ", ".join(networks))


def field_comments(kind: type) -> dict[str, str]:
    """Return the comment at the end of each field of a dataclass; "" for none."""
    source = inspect.getsource(kind)
    lines = [""] + source.splitlines()  # `ast` counts them from 1
    fields = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.AnnAssign)]
    return {
        ast.unparse(field.target): lines[field.end_lineno or 0][field.end_col_offset :].removeprefix("  # ")
        for field in fields
    }


def shown(value: Any) -> str:
    """Return the value of an option as `--set` spells it."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def filled(path: pathlib.Path, sections: Mapping[str, Callable[[], str]]) -> str:
    """Return a handwritten page with its marked sections regenerated."""
    text = path.read_text(encoding="utf-8")
    for name, section in sections.items():
        start = f"<!-- {name}: made by `python -m docs.generate` -->\n"
        before, _, rest = text.partition(start)
        text = f"{before}{start}{section()}<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


def notice() -> str:
    """Return the notice of the released weights as a quotation."""
    return f"> {checkpoint.load_notice(CARD.parent)}\n"


def training() -> str:
    """Return how long each network of the released weights was trained."""
    networks = recorded()["networks"]
    rows = [(f"`{name}`", f"{row['step']:.0f}", f"{row['seconds'] / 60:.0f}") for name, row in networks.items()]
    return table(("network", "steps", "minutes"), *rows) if rows else PENDING


def scores() -> str:
    """Return the scores of the released weights, by case and in summary."""
    result = recorded()["scores"]
    if not result:
        return PENDING
    head = ("real CT", "kidney Dice", "further than 6 mm from a kidney, ml", "tumor claimed, ml")
    keys = ("kidney_dice", "far_ml", "false_tumor_ml")
    rows = [(f"`{name}`", *(case[key] for key in keys)) for name, case in result["cases"]["real"].items()]
    return table(head, *rows) + "\n" + table(("in short", ""), *short(result["summary"]))


def short(summary: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the numbers of a summary that were measured, with their names."""
    return [(what, summary[key]) for key, what in SUMMARY.items() if summary.get(key) is not None]


def tries() -> str:
    """Return the table of tries, with a column for each number that was measured for any of them."""
    found = recorded()["tries"]
    keys = [key for key in SUMMARY if any(one.get(key) is not None for one in found)]
    rows = [(one["name"], *("" if one.get(key) is None else one[key] for key in keys)) for one in found]
    return table(("try", *(SUMMARY[key] for key in keys)), *rows) if rows else PENDING


def differences_of_weights() -> str:
    """Return where the released weights differ from the paper, and why."""
    return differences({"paper": preset_configs("paper"), "`default`": released_configs()})


def claims() -> str:
    """Return the table of the paper's claims, the measurements and the verdicts."""
    result = ablations.recorded()
    rows = [("question", "claim", "measured: difference from the reference", "verdict", "CPU minutes")]
    for name, question in QUESTIONS.items():
        found = ablations.rows(result, name)
        tested = [one for one in found if one.variant in question.worse]
        measured = "; ".join(f"{one.variant} {interval(one.difference, one.difference_interval)}" for one in tested)
        minutes = f"{ablations.cpu_minutes(result, name):.0f}" if found else ""
        rows.append((name, question.claim, measured, f"**{ablations.verdict(question, found)}**", minutes))
    return table(*rows)


def ablation_table() -> str:
    """Return the table of all variants."""
    result = ablations.recorded()
    head = ("question", "variant", "Dice", "difference", "by seed", "finding", "trunk CT", "parameters", "CPU s")
    return table(head, *(ablation_row(one) for name in QUESTIONS for one in ablations.rows(result, name)))


def ablation_row(one: ablations.Row) -> tuple[str, ...]:
    """Return the cells of a variant."""
    is_reference = one.difference is None
    seeds = ", ".join(f"{value:+.3f}" for value in one.by_seed) if not is_reference else f"{one.seeds} seeds"
    real = f"{one.real_dice:.3f}" if one.real_false_ml is None else f"{one.real_false_ml:.1f} ml false tumor"
    difference = "reference" if is_reference else interval(one.difference, one.difference_interval)
    dice = interval(one.mean, one.interval, sign="")
    finding = "" if is_reference else one.finding
    size = f"{one.parameters / 1e6:.2f} M"
    return one.question, one.variant, dice, difference, seeds, finding, real, size, f"{one.cpu_seconds:.0f}"


def interval(value: float | None, bounds: ablations.Interval, sign: str = "+") -> str:
    """Return a number with its interval."""
    low, high = bounds
    return f"{value:{sign}.3f}" + ("" if low is None else f" [{low:{sign}.3f}, {high:{sign}.3f}]")


def released_fusion() -> str:
    """Return the Dice of the released weights on real CTs, by plane and fusion."""
    found = ablations.recorded()["released"]
    cases = list(next(iter(found.values()), {}))
    rows = [(way, *(f"{scores[case]['kidney_dice']:.3f}" for case in cases)) for way, scores in found.items()]
    return table(("released weights", *(f"`{case}`" for case in cases)), *rows) if rows else PENDING


SECTIONS = {"notice": notice, "training": training, "scores": scores, "differences": differences_of_weights}
ABLATION_SECTIONS = {"claims": claims, "variants": ablation_table, "released": released_fusion}
PAGES: dict[pathlib.Path, Callable[[], str]] = {
    ABLATIONS: lambda: filled(ABLATIONS, ABLATION_SECTIONS),
    REFERENCE / "commands.md": commands_page,
    REFERENCE / "config.md": config_page,
    CARD: lambda: filled(CARD, SECTIONS),
    WEIGHTS / "README.md": lambda: filled(WEIGHTS / "README.md", {"tries": tries}),
}

if __name__ == "__main__":
    for path, page in PAGES.items():
        path.write_text(page(), encoding="utf-8")
