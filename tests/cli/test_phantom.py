"""kits-phantom writes the KiTS19 layout whatever the number of processes, and names the flag that is wrong."""

import nibabel
import numpy as np
import pytest

from kits_tf.cli import app, phantom
from tests.simulation.anatomy import small_person

TINY = ["--size=32", "--slices=4", "--seed=3"]


def run(*arguments):
    """The exit code of kits-phantom."""
    return app.execute(phantom.main, phantom.FLAGS, ["kits-phantom", *map(str, arguments)])


def read(folder):
    """Both arrays of a case."""
    names = ("imaging.nii.gz", "segmentation.nii.gz")
    return [np.asarray(nibabel.load(folder / name).dataobj) for name in names]


def test_cases_are_the_same_in_any_order_and_number_of_processes(tmp_path, capsys):
    assert run(f"--output_dir={tmp_path / 'a'}", "--num_cases=2", "--first_case=7", "--processes=2", *TINY) == 0
    assert run(f"--output_dir={tmp_path / 'b'}", "--cases=8", "--processes=1", *TINY) == 0
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["case_00007", "case_00008"]
    for one, other in zip(read(tmp_path / "a" / "case_00008"), read(tmp_path / "b" / "case_00008"), strict=True):
        np.testing.assert_array_equal(one, other)
    image = nibabel.load(tmp_path / "a" / "case_00007" / "imaging.nii.gz")
    assert nibabel.aff2axcodes(image.affine) == ("I", "P", "L")
    assert image.get_data_dtype() == np.int16
    assert nibabel.load(tmp_path / "a" / "case_00007" / "segmentation.nii.gz").get_data_dtype() == np.uint8


def test_cases_already_there_are_left_alone_and_halves_completed(tmp_path):
    assert run(f"--output_dir={tmp_path}", "--cases=0", *TINY) == 0
    label = tmp_path / "case_00000" / "segmentation.nii.gz"
    image = tmp_path / "case_00000" / "imaging.nii.gz"
    before = label.read_bytes()
    image.write_bytes(b"kept")
    assert run(f"--output_dir={tmp_path}", "--cases=0", *TINY) == 0
    assert image.read_bytes() == b"kept"
    label.unlink()
    assert run(f"--output_dir={tmp_path}", "--cases=0", *TINY) == 0
    assert label.read_bytes() == before
    assert image.read_bytes() != b"kept"
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["imaging.nii.gz", "segmentation.nii.gz"]


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        ([], "num_cases"),
        (["--num_cases=0"], "num_cases"),
        (["--num_cases=two"], "num_cases"),
        (["--num_cases=1", "--seed=-1"], "seed"),
        (["--num_cases=1", "--size=8"], "size"),
        (["--num_cases=1", "--slices=0"], "slices"),
        (["--num_cases=1", "--phases=arterial"], "phases"),
        (["--num_cases=1", "--phases="], "phases"),
        (["--num_cases=1", "--pixel_spacing_mm=2,1"], "pixel_spacing_mm"),
        (["--num_cases=1", "--slice_spacing_mm=3"], "slice_spacing_mm"),
        (["--num_cases=1", "--slice_spacing_mm=0,4"], "slice_spacing_mm"),
        (["--num_cases=2", "--first_case=99999"], "num_cases"),
        (["--num_cases=2", "--cases=1-3"], "num_cases"),
        (["--cases=9-1"], "cases"),
        (["--masks_dir=/nowhere/at/all"], "masks_dir"),
        (["--masks_dir={empty}"], "masks_dir"),
        (["--masks_dir={empty}", "--size=64"], "size"),
        (["--masks_dir={masks}", "--cases=7"], "cases"),
    ],
)
def test_bad_flags_exit_2_in_one_line_that_names_them(tmp_path, capsys, arguments, flag):
    (tmp_path / "empty").mkdir()
    (tmp_path / "masks" / "case_00001").mkdir(parents=True)
    (tmp_path / "masks" / "case_00001" / "segmentation.nii.gz").write_text("text")
    places = {"empty": tmp_path / "empty", "masks": tmp_path / "masks"}
    assert run(f"--output_dir={tmp_path / 'out'}", *(a.format(**places) for a in arguments)) == 2
    message = capsys.readouterr().err
    assert f"--{flag}" in message and message.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_output_folder_is_required(capsys):
    assert run("--num_cases=1") == 2
    assert "--output_dir" in capsys.readouterr().err


def test_the_masks_are_not_written_over(tmp_path, capsys):
    assert run(f"--output_dir={tmp_path}", f"--masks_dir={tmp_path}") == 2
    assert "--output_dir" in capsys.readouterr().err


def test_a_bad_label_file_is_named_and_the_others_are_made(tmp_path, capsys):
    masks = tmp_path / "masks"
    for name in ("case_00001", "case_00002"):
        (masks / name).mkdir(parents=True)
    (masks / "case_00001" / "segmentation.nii.gz").write_text("no labels")
    labels = np.zeros((4, 32, 32), np.uint8)
    labels[1:3, 14:22, 6:12] = 1
    affine = np.array([[0, 0, -10.0, 0], [0, -10, 0, 0], [-5, 0, 0, 0], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(labels, affine), masks / "case_00002" / "segmentation.nii.gz")
    assert run(f"--output_dir={tmp_path / 'out'}", f"--masks_dir={masks}", "--processes=1") == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "segmentation.nii.gz" in line]
    assert len(errors) == 1 and "case_00001" in errors[0]
    assert (tmp_path / "out" / "case_00002" / "imaging.nii.gz").is_file()
    assert not (tmp_path / "out" / "case_00001" / "imaging.nii.gz").exists()


def test_organ_maps_give_the_same_cases_in_any_number_of_processes(tmp_path):
    paths = small_person.write(tmp_path / "map")
    organs = [f"--anatomy={paths['map']}", f"--legend={paths['legend']}", f"--anatomy_ct={paths['ct']}"]
    assert run(f"--output_dir={tmp_path / 'a'}", "--num_cases=2", "--processes=2", *organs, *TINY) == 0
    assert run(f"--output_dir={tmp_path / 'b'}", "--cases=1", "--processes=1", *organs, *TINY) == 0
    for one, other in zip(read(tmp_path / "a" / "case_00001"), read(tmp_path / "b" / "case_00001"), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "flag", "reason"),
    [
        (["--anatomy={map}"], "legend", "takes"),
        (["--legend={legend}"], "legend", "--anatomy"),
        (["--anatomy_ct={ct}"], "anatomy_ct", "--anatomy"),
        (["--anatomy={map}", "--legend={no_kidney}"], "legend", "names no kidney"),
        (["--anatomy={map}", "--legend={map}"], "legend", "no legend"),
        (["--anatomy={map}", "--legend=/nowhere"], "legend", "No such file"),
        (["--anatomy={empty}", "--legend={legend}"], "anatomy", "holds no labels"),
        (["--anatomy={map},{empty}", "--legend={legend}"], "anatomy", "holds no labels"),
        (["--anatomy={map}", "--legend={short}"], "anatomy", "holds the label 1,"),
        (["--anatomy={legend}", "--legend={legend}"], "anatomy", "organs.json"),
        (["--anatomy=/nowhere.nii.gz", "--legend={legend}"], "anatomy", "nowhere"),
        (["--anatomy=", "--legend={legend}"], "anatomy", "takes"),
        (["--anatomy={map}", "--legend={legend}", "--anatomy_ct={ct},{ct}"], "anatomy_ct", "takes one CT"),
        (["--anatomy={map}", "--legend={legend}", "--anatomy_ct={other_ct}"], "anatomy_ct", "another grid"),
        (["--anatomy={map}", "--legend={legend}", "--masks_dir={folder}"], "anatomy", "--masks_dir"),
    ],
)
def test_bad_organ_maps_exit_2_in_one_line(tmp_path, capsys, arguments, flag, reason):
    labels = small_person.organs()
    paths = small_person.write(tmp_path / "map")
    paths["empty"] = small_person.write(tmp_path / "empty", labels * 0)["map"]
    paths["no_kidney"] = small_person.write(tmp_path / "no_kidney", legend={"1": "liver"})["legend"]
    paths["short"] = small_person.write(tmp_path / "short", legend={"2": "kidney_right", "3": "kidney"})["legend"]
    paths["other_ct"] = small_person.write(tmp_path / "other", labels[:-1])["map"]
    paths["folder"] = tmp_path
    flags = [argument.format(**paths) for argument in arguments]
    assert run(f"--output_dir={tmp_path / 'out'}", "--num_cases=1", *flags, *TINY) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"kits-phantom: --{flag}") or f"--{flag}:" in message
    assert reason in message and message.count("\n") == 1
    assert not (tmp_path / "out").exists()
