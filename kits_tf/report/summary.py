"""The outcomes of a run: a table of CTs, a table of tumors, and an index page."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kits_tf import files
from kits_tf.evaluation.matching import case_id, read_sidecar
from kits_tf.inference import outputs

if TYPE_CHECKING:
    from kits_tf.inference.inputs import Input

DONE, FAILED, NOT_DONE = "done", "failed", "not done"
_PRINTED = ["input", "status", "kidney_ml", "tumor_ml", "tumors", "slices", "seconds"]


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of a CT: its path below the input, and the sidecar of its labels or why there are none."""

    source: Input
    shown: str
    sidecar: dict[str, Any]
    reason: str = ""

    @property
    def status(self) -> str:
        """The status in the table."""
        return DONE if self.sidecar else FAILED if self.reason else NOT_DONE


def collect(
    sources: Iterable[Input], reasons: Mapping[Input, str], output_dir: pathlib.Path, root: pathlib.Path
) -> list[Result]:
    """Return the outcomes of a run.

    Args:
        sources: The CTs.
        reasons: Why labels of some were not written.
        output_dir: The folder of the labels.
        root: Folder that the shown paths are relative to.
    """
    results = []
    for source in sources:
        reason = reasons.get(source, "")
        sidecar = {} if reason or source.fault else read_sidecar(output_dir / source.output_name)
        shown = source.where.removeprefix(f"{root}{os.sep}")
        shown = source.name if shown == str(root) and not source.fault else shown
        results.append(Result(source, shown, sidecar, reason.removeprefix(f"{source.where}: ")))
    return results


def write(results: Sequence[Result], output_dir: pathlib.Path, part: str = "", skipped: Sequence[str] = ()) -> str:
    """Write `summary.csv`, `tumors.csv` and, of several CTs, `index.html`; return the table as text in columns.

    Args:
        results: The outcomes, see `collect`.
        output_dir: The folder to write to.
        part: Suffix of the files' names, such as "_2_of_8".
        skipped: Names of files that are not CTs.
    """
    rows = list(map(_row, results))
    tumors = [row for result in results for row in _tumor_rows(result)]
    _write_csv(output_dir / f"summary{part}.csv", rows, list(rows[0]))
    _write_csv(output_dir / f"tumors{part}.csv", tumors, list(_tumor_row(None, 0, {})))
    if len(results) > 1 or part:
        from kits_tf.report import pages

        index = {
            case_id(pathlib.Path(one.source.output_name)): _index_row(one, output_dir)
            for one in results
            if one.sidecar
        }
        failed = {one.shown: one.reason or f"{NOT_DONE}: the run was stopped" for one in results if not one.sidecar}
        pages.write_index(output_dir / f"index{part}.html", index, failed, skipped)
    return _as_text([_PRINTED, *([row[name] for name in _PRINTED] for row in rows)])


def _write_csv(path: pathlib.Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.update_text(path, text.getvalue())


def _as_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows in columns aligned to the right; None is empty."""
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(" ".join(map(str.rjust, row, widths)) for row in cells)


def _index_row(result: Result, output_dir: pathlib.Path) -> dict[str, Any]:
    from kits_tf.report import pages

    page = outputs.sibling(output_dir / result.source.output_name, outputs.PAGE_SUFFIX)
    name = page.name if page.is_file() else None
    return pages.index_row(name, result.sidecar, pages.thumbnail_of(page))


def _row(result: Result) -> dict[str, Any]:
    """Return a CT's row in the table of CTs."""
    sidecar, series = result.sidecar, result.source.series
    tumors = sidecar.get("tumors")
    by_side = {kidney["side"]: kidney for kidney in sidecar.get("kidneys", [])}
    volumes = ("volume_ml", "tissue_ml", "tumor_ml")
    names = {"volume_ml": "kidney_ml", "tissue_ml": "kidney_tissue_ml", "tumor_ml": "tumor_ml"}
    return {
        "input": result.shown,
        "output": result.source.output_name if sidecar else "",
        "status": result.status,
        "finding": sidecar.get("finding"),
        "kidney_ml": sidecar.get("kidney_ml"),
        "kidney_tissue_ml": sidecar.get("kidney_tissue_ml"),
        "tumor_ml": sidecar.get("tumor_ml"),
        **{f"{side}_{names[key]}": by_side.get(side, {}).get(key) for side in ("right", "left") for key in volumes},
        "tumors": None if tumors is None else len(tumors),
        "slices": sidecar.get("shape", [None])[0],
        "seconds": sidecar.get("seconds", {}).get("total"),
        "series_number": series.number if series else None,
        "series_description": series.description if series else None,
        "series_uid": series.uid if series else None,
        "weights": sidecar.get("checkpoint"),
        "version": sidecar.get("version"),
        "date": sidecar.get("date"),
        "reason": result.reason,
    }


def _tumor_rows(result: Result) -> list[dict[str, Any]]:
    """Return the rows of a CT in the table of tumors."""
    return [_tumor_row(result, number, tumor) for number, tumor in enumerate(result.sidecar.get("tumors") or [], 1)]


def _tumor_row(result: Result | None, number: int, tumor: Mapping[str, Any]) -> dict[str, Any]:
    lists = {"centroid_ras_mm": ("r_mm", "a_mm", "s_mm"), "slices": ("first_slice", "last_slice")}
    lists |= {"z_mm": ("first_z_mm", "last_z_mm"), "instances": ("first_instance", "last_instance")}
    row: dict[str, Any] = dict.fromkeys(("input", "output"))
    row |= {"input": result.shown, "output": result.source.output_name} if result else {}
    row |= {"tumor": number} | {key: tumor.get(key) for key in ("side", "volume_ml", "max_axial_diameter_mm")}
    for key, names in lists.items():
        row |= dict(zip(names, tumor.get(key) or [None] * len(names), strict=True))
    return row
