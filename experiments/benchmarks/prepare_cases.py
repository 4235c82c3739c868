"""Time, memory and bytes of `kits-prepare`, and the time of a second run.

    kits-simulate --cases=0-29 --output_dir=build/raw
    python experiments/benchmarks/prepare_cases.py --data_dir=build/raw --cases=0-27,151,160

Writes `experiments/results/prepare_cases.json` and a table in `docs/data.md`.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from experiments.benchmarks.machine import MemoryWatch, machine  # noqa: E402
from experiments.documents import replace_block, table, write_result  # noqa: E402


def main():
    """Prepares twice and writes what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=pathlib.Path, required=True)
    parser.add_argument("--cases", default="")
    parser.add_argument("--output_dir", type=pathlib.Path, default=ROOT / "build" / "prepared")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.output_dir, ignore_errors=True)
    result = {"machine": machine(), "selected": arguments.cases, "processes": arguments.processes}
    result["first"] = run(arguments)
    result["second"] = run(arguments)
    cases = json.loads((arguments.output_dir / "dataset.json").read_text(encoding="utf-8"))["cases"]
    sizes = [path.stat().st_size for path in (arguments.output_dir / "cases").glob("*.tfrecord")]
    result |= {
        "cases": len(cases),
        "slices": sum(case["shape"][0] for case in cases),
        "seconds_a_case": round(result["first"]["seconds"] / len(cases), 2),
        "megabytes_a_case": round(sum(sizes) / len(sizes) / 1e6, 1),
        "megabytes_of_the_largest": round(max(sizes) / 1e6, 1),
    }
    print(json.dumps(result, indent=1))
    write_result("prepare_cases", result)
    replace_block("data.md", "prepare", lines_of(result))


def lines_of(result):
    """The figures as a table in Markdown."""
    first, second = result["first"], result["second"]
    rows = [
        ["cases", f"{result['cases']} of {result['selected'] or 'the folder'}, {result['slices']} slices"],
        ["first run", f"{first['seconds']} s in {result['processes']} processes, {result['seconds_a_case']} s a case"],
        ["memory", f"{first['peak_memory_mb'] / 1000:.1f} GB at the most, of all processes together"],
        ["size", f"{result['megabytes_a_case']} MB a case, the largest {result['megabytes_of_the_largest']} MB"],
        ["second run", f"{second['seconds']} s"],
    ]
    return table(["`kits-prepare`", "simulated imaging around KiTS19's labels"], rows)


def run(arguments):
    """Runs kits-prepare once: seconds, and the peak memory of all its processes together."""
    line = [sys.executable, "-m", "kits_tf.cli.prepare", f"--data_dir={arguments.data_dir}"]
    line += [
        f"--output_dir={arguments.output_dir}",
        f"--cases={arguments.cases}",
        "--num_validation=3",
        "--num_test=3",
    ]
    start = time.monotonic()
    process = subprocess.Popen([*line, f"--processes={arguments.processes}"], cwd=ROOT)
    with MemoryWatch(process.pid) as memory:
        code = process.wait()
    if code:
        sys.exit(code)
    return {"seconds": round(time.monotonic() - start, 1), "peak_memory_mb": round(memory.peak_mb)}


if __name__ == "__main__":
    main()
