"""kits-simulate writes the KiTS19 layout whatever the number of processes, and names the flag that is wrong."""

import os
import types

import nibabel
import numpy as np
import pytest

from kits_tf.cli import app, simulate
from tests.simulation import small_person

TINY = ["--size=32", "--slices=4", "--seed=3"]


@pytest.fixture(name="paths")
def a_map(tmp_path):
    return small_person.write(tmp_path / "map")


@pytest.fixture
def organs(paths):
    """The flags of a small map, quicker to refine than the bundled ones."""
    return [f"--anatomy={paths['map']}", f"--legend={paths['legend']}", f"--anatomy_ct={paths['ct']}"]


def run(*arguments):
    """Return the exit code of kits-simulate."""
    return app.execute(simulate.main, simulate.FLAGS, ["kits-simulate", *map(str, arguments)])


def test_cases_are_the_same_in_any_order_and_number_of_processes(tmp_path, organs):
    assert run(f"--output_dir={tmp_path / 'a'}", "--num_cases=2", "--workers=2", *organs, *TINY) == 0
    assert run(f"--output_dir={tmp_path / 'b'}", "--cases=1", "--processes=1", *organs, *TINY) == 0
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["case_00000", "case_00001"]
    for name, dtype in (("imaging.nii.gz", np.int16), ("segmentation.nii.gz", np.uint8)):
        one, other = (nibabel.load(tmp_path / folder / "case_00001" / name) for folder in ("a", "b"))
        np.testing.assert_array_equal(one.dataobj, other.dataobj)
        assert one.get_data_dtype() == dtype
        assert nibabel.aff2axcodes(one.affine) == ("I", "P", "L")
        assert one.shape == (4, 32, 32)


def test_complete_cases_are_kept_and_halves_completed(tmp_path, organs):
    arguments = [f"--output_dir={tmp_path / 'ct'}", "--cases=0", *organs, *TINY]
    assert run(*arguments) == 0
    image, label = (tmp_path / "ct" / "case_00000" / f"{name}.nii.gz" for name in ("imaging", "segmentation"))
    before = label.read_bytes()
    image.write_bytes(b"kept")
    assert run(*arguments) == 0
    assert image.read_bytes() == b"kept"
    label.unlink()
    assert run(*arguments) == 0
    assert label.read_bytes() == before and image.read_bytes() != b"kept"
    assert sorted(path.name for path in image.parent.iterdir()) == ["imaging.nii.gz", "segmentation.nii.gz"]


def test_a_case_that_cannot_be_written_is_named_and_the_others_are_made(tmp_path, capsys, organs):
    output = tmp_path / "ct"
    output.mkdir()
    (output / "case_00000").write_text("a file in the way")
    assert run(f"--output_dir={output}", "--num_cases=2", "--workers=1", *organs, *TINY) == 1
    [line] = [line for line in capsys.readouterr().err.splitlines() if "case_00000" in line]
    assert line.startswith("kits-simulate: ")
    assert (output / "case_00001" / "imaging.nii.gz").is_file()


def test_a_killed_process_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(simulate, "functools", types.SimpleNamespace(partial=lambda *_: os._exit))
    assert run(f"--output_dir={tmp_path}", "--num_cases=2", "--workers=2") == 1
    message = capsys.readouterr().err
    assert message.startswith("kits-simulate: a process was killed") and message.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--seed=0", "--num_cases"), ("--num_cases=0", "--num_cases"), ("--num_cases=100001", "--num_cases"),
        ("--num_cases=2 --cases=1-3", "--num_cases"), ("--cases=9-1", "--cases"), ("--cases=0 --seed=-1", "--seed"),
        ("--cases=0 --size=8", "--size"), ("--cases=0 --slices=0", "--slices"), ("--cases=0 --phases=", "--phases"),
        ("--cases=0 --phases=arterial", "--phases"), ("--cases=0 --pixel_spacing_mm=2,1", "--pixel_spacing_mm"),
        ("--cases=0 --slice_spacing_mm=3", "--slice_spacing_mm"), ("--cases=0 --output_dir=", "--output_dir"),
        ("--cases=0 --slice_spacing_mm=0,4", "--slice_spacing_mm"), ("--cases=0 --anatomy={map}", "--legend"),
        ("--cases=0 --legend={legend}", "--legend"), ("--cases=0 --anatomy_ct={ct}", "--anatomy_ct"),
        ("--cases=0 --anatomy= --legend={legend}", "--legend"),
        ("--cases=0 --anatomy={map} --legend={legend} --anatomy_ct={ct},{ct}", "--anatomy_ct"),
        ("--cases=0 --anatomy={map} --legend={map}", "map/organs.nii.gz"),
        ("--cases=0 --anatomy={map} --legend=/nowhere", "/nowhere"),
        ("--cases=0 --anatomy={map},/nowhere.nii.gz --legend={legend}", "/nowhere.nii.gz"),
        ("--cases=0 --anatomy={short} --legend={legend} --anatomy_ct={ct}", "map/imaging.nii.gz"),
    ],
)  # fmt: skip
def test_bad_flags_and_files_exit_2_in_one_line_that_names_them(tmp_path, capsys, paths, arguments, named):
    if "{short}" in arguments:
        paths["short"] = small_person.write(tmp_path / "short", small_person.organs()[:-1])["map"]
    assert run(f"--output_dir={tmp_path / 'out'}", *arguments.format(**paths).split()) == 2
    message = capsys.readouterr().err
    assert f"{named}: " in message and message.count("\n") == 1
    assert not (tmp_path / "out").exists()
