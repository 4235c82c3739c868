"""Measure time, memory and disk space of kits-prepare, and the time of a second run with nothing left to do."""

from __future__ import annotations

import json
import pathlib
import shutil

from experiments import common


def main() -> None:
    """Prepare twice."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--data_dir", type=pathlib.Path, required=True, help="cases in the KiTS19 layout")
    parser.add_argument("--cases", default="")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    folder = common.BUILD / "prepared"
    shutil.rmtree(folder, ignore_errors=True)
    flags = f"--input={arguments.data_dir}", f"--output_dir={folder}", f"--cases={arguments.cases}"
    first, second = (
        common.command("prepare", *flags, "--num_validation=0", "--num_test=0", f"--workers={arguments.workers}")
        for _ in range(2)
    )
    cases = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["cases"]
    sizes = [path.stat().st_size for path in (folder / "cases").iterdir()]
    result = {
        "selected": arguments.cases,
        "workers": arguments.workers,
        "first": first.figures(),
        "second": second.figures(),
        "cases": len(cases),
        "slices": sum(case["shape"][0] for case in cases),
        "seconds_a_case": round(first.seconds / len(cases), 2),
        "megabytes_a_case": round(sum(sizes) / len(cases) / 1e6, 1),
        "megabytes_of_the_largest": round(max(sizes) / 1e6, 1),
    }
    common.write_result(arguments.output, result)


if __name__ == "__main__":
    main()
