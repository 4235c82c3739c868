"""Proves that every experiment imports, has its description and result, and that measured commands are measured."""

import importlib
import importlib.util
import json
import pathlib
import subprocess
import sys

import nibabel
import numpy as np
import pytest

from experiments import common, pictures
from experiments.fuzz import person
from experiments.fuzz.kinds import KINDS, MESSAGES
from experiments.fuzz.series import SERIES

FOLDER = common.ROOT / "experiments"
EXPERIMENTS = sorted(path.parent.name for path in FOLDER.glob("*/run.py"))
BENCHMARKS = sorted(path.stem for path in (FOLDER / "benchmarks").glob("*.py"))
APART = {"predict_peer", "batches", "cubes", "fast", "slabs", "train"}  # need PyTorch
MODULES = [
    str(path.relative_to(common.ROOT).with_suffix("")).replace("/", ".")
    for path in sorted(FOLDER.rglob("*.py"))
    if path.stem not in APART
]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_imports(module):
    assert importlib.import_module(module).__doc__


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_described(name):
    lines = (FOLDER / name / "README.md").read_text().splitlines()
    headings = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert headings == ["Question", "Command", "Cost", "Result"]
    assert any(line.startswith(f"python -m experiments.{name}.") for line in lines)
    assert f"({name}/README.md)" in (FOLDER / "README.md").read_text()
    assert json.loads((FOLDER / name / "result.json").read_text())


def test_every_benchmark_is_described_and_has_a_result():
    readme, helpers = (FOLDER / "benchmarks" / "README.md").read_text(), {"synthetic", "serve_alone", *APART}
    assert all(f"`{name}`" in readme or f"`{name}.py`" in readme for name in BENCHMARKS)
    results = {path.stem: json.loads(path.read_text()) for path in (FOLDER / "benchmarks" / "results").iterdir()}
    assert set(results) - {"export_system_1059"} == set(BENCHMARKS) - helpers
    assert all(result["machine"]["cores"] for result in results.values())


def test_profiled_functions_exist():
    from experiments.benchmarks.predict_profile import PARTS

    for file, function in PARTS.values():
        [path] = [path for path in (common.ROOT / "kits_tf").rglob("*.py") if str(path).endswith(f"/{file}")]
        assert f"def {function}(" in path.read_text()


def test_help_names_the_recorded_result():
    line = [sys.executable, "-m", "experiments.benchmarks.predict_engines", "--help"]
    assert "--output" in subprocess.run(line, cwd=common.ROOT, check=True, capture_output=True, text=True).stdout
    assert common.parser("A.", __file__).parse_args([]).output == pathlib.Path(__file__).with_name("result.json")


def test_a_command_is_measured():
    """A process that holds 200 MB for a second."""
    work = "import time; held = b'x' * 200_000_000; time.sleep(1); print('done'); raise SystemExit(3)"
    run = common.run([sys.executable, "-c", work], check=False, capture=True)
    assert (run.code, run.output) == (3, "done\n")
    assert 1 <= run.seconds < 30 and run.cpu_seconds < run.seconds
    assert 200 <= run.peak_mb < 300
    with pytest.raises(SystemExit, match="exit code 3"):
        common.run([sys.executable, "-c", work], capture=True)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_bad_files_are_files(name, tmp_path):
    if "bomb" not in name:
        KINDS[name](tmp_path / "file.nii.gz", np.random.default_rng(0))
        assert (tmp_path / "file.nii.gz").is_file()
    assert set(MESSAGES) <= set(KINDS)


def test_odd_series_and_cases_are_files(tmp_path):
    for name, (make, _) in SERIES.items():
        make(tmp_path / name)
        assert len(list((tmp_path / name).iterdir())) >= person.SHAPE[0]
    hu, labels = person.ct()
    assert hu.shape == labels.shape == person.SHAPE and hu[labels > 0].min() > 0
    assert all(np.array(case.change(labels)).shape == labels.shape for case in person.CASES.values())


def test_patched_headers_are_as_nibabel_reads_them(tmp_path):
    KINDS["large_size_claimed"](tmp_path / "file.nii.gz", np.random.default_rng(0))
    assert nibabel.load(tmp_path / "file.nii.gz").shape == (1024, 1024, 1000)


def test_a_plane_has_the_aspect_of_its_pixels():
    plane, aspect = pictures.cut(np.zeros((4, 5, 6)), axis=1, index=2, spacing_mm=(3.0, 1.0, 1.5))
    assert plane.shape == (4, 6) and aspect == 2.0
