"""Prove kits-predict end to end, on tiny random networks or identity networks: names, grids, bad files, flags."""

import gzip
import itertools
import json
import shutil
import subprocess
import sys

import nibabel
import numpy as np
import pytest

from tests.cli.predicting import SPACING_MM, image_of, labels_of, names_in, read_csv, run, save
from tests.test_landmarks import person
from tests.tiny import small_ct

pytestmark = pytest.mark.usefixtures("load_once")
# 24 of the 48 ways to store a volume, rotated and mirrored
MIRRORED = ("RAS", "LPS", "LAI", "RPI")
ROTATIONS = ["".join(codes[a] for a in axes) for axes in itertools.permutations(range(3)) for codes in MIRRORED]


def test_a_case_folder_gets_the_challenges_name_and_its_json(tmp_path, checkpoint):
    hu, out = small_ct(), tmp_path / "out"
    save(image_of(hu), tmp_path / "data" / "case_00210" / "imaging.nii.gz")
    assert run(f"--input={tmp_path / 'data'}", f"--output_dir={out}", f"--checkpoint_dir={checkpoint}") == 0
    assert names_in(out) == ["prediction_00210.json", "prediction_00210.nii.gz"]
    labels = labels_of(out / "prediction_00210.nii.gz")
    assert labels.dtype == np.uint8 and labels.shape == hu.shape and set(np.unique(labels)) <= {0, 1, 2}
    said = json.loads((out / "prediction_00210.json").read_text())
    assert said["shape"] == list(hu.shape) and said["spacing_mm"] == list(SPACING_MM)
    assert set(said["seconds"]) == {"read", "kidney", "tumor", "write", "total"}
    voxel_ml = np.prod(SPACING_MM) / 1000
    assert said["tumor_ml"] == pytest.approx((labels == 2).sum() * voxel_ml, abs=0.01)
    assert said["kidney_ml"] == pytest.approx((labels > 0).sum() * voxel_ml, abs=0.01)
    more = "input engine precision peak_memory_mb kidneys tumors checkpoint settings version date warnings"
    assert set(more.split()) <= set(said)


def test_all_orientations_of_one_ct_give_the_same_voxels(tmp_path, flags):
    for codes in ROTATIONS:
        save(image_of(small_ct(), codes), tmp_path / "data" / f"{codes}.nii.gz")
    assert run(f"--input={tmp_path / 'data'}", *flags[1:]) == 0
    back = []
    for codes in ROTATIONS:
        ct = nibabel.load(tmp_path / "data" / f"{codes}.nii.gz")
        labels = nibabel.load(tmp_path / "out" / f"{codes}_segmentation.nii.gz")
        assert labels.shape == ct.shape and labels.header.get_zooms() == ct.header.get_zooms()
        np.testing.assert_array_equal(labels.affine, ct.affine)
        back.append(np.asarray(nibabel.as_closest_canonical(labels).dataobj))
        np.testing.assert_array_equal(back[-1], back[0])
    assert back[0].any()


def test_stages_apart_give_what_both_give_together(tmp_path, flags):
    masks = f"--kidney_masks={tmp_path / 'kidney'}"
    for stage, more in (("both", []), ("kidney", []), ("tumor", [masks])):
        assert run(*flags, f"--output_dir={tmp_path / stage}", f"--stage={stage}", *more) == 0
    both, kidney, tumor = (labels_of(tmp_path / s / "ct_segmentation.nii.gz") for s in ("both", "kidney", "tumor"))
    assert kidney.any()
    assert (both[kidney > 0] > 0).all() and (both[kidney == 0] != 1).all(), "stage 2 adds tumor alone"
    np.testing.assert_array_equal(tumor, both)


@pytest.mark.parametrize(
    "arguments",
    [
        *("--input=/nowhere", "--planes=axial,oblique", "--planes=", "--fusion=average", "--engine=abacus"),
        *("--precision=int4", "--tta=rotate", "--roi=1:2", "--roi=1:2,a:b,:", "--roi=-1:2,:,:", "--shard=3/2"),
        *("--shard=", "--workers=0", "--checkpoint_dir=,", "--checkpoint_dir=default,default", "--kidney_masks=."),
        *("--series=3", "--series=", "--checkpoint_dir=/nowhere", "--checkpoint_dir=nothing", "--overwrte"),
        *("--kidney_masks= --stage=tumor", "--kidney_masks=gone --stage=tumor"),
        *(f"{flag} --stage=tumor --kidney_masks=." for flag in ("--planes=axial,coronal,sagittal", "--fusion=union")),
    ],
)
def test_unusable_flags_exit_2_with_one_line_naming_the_flag(tmp_path, flags, capsys, arguments):
    """The first flag of each."""
    names = [argument.split("=")[0] for argument in arguments.split(" ")]
    assert run(*[flag for flag in flags if flag.split("=")[0] not in names], *arguments.split(" ")) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert names[0] in line and not (tmp_path / "out").exists()


def test_shards_together_do_everything_and_each_says_what_it_did(tmp_path, flags, capsys):
    """One CT, whose values are no HU, is segmented with a warning."""
    data, out = tmp_path / "data", tmp_path / "out"
    for number in range(5):
        save(image_of(small_ct(seed=number) + 1024 * (number == 3)), data / f"{number}.nii.gz")
    (data / "bad.nii.gz").write_text("not an image")
    flags[0] = f"--input={data}"
    assert sorted(run(*flags, f"--shard={number}/2") for number in (1, 2)) == [0, 1]
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert "3.nii.gz" in line and "below -500" in line
    tables = [read_csv(out / f"summary_{number}_of_2.csv") for number in (1, 2)]
    assert sorted([*tables[0], *tables[1]]) == names_in(data)
    assert run(*flags, "--shard=9/9") == 0 and not (out / "summary_9_of_9.csv").exists()
    assert run(*flags) == 1  # the rest is there, the bad one is tried again
    table = read_csv(out / "summary.csv")
    bad = table.pop("bad.nii.gz")
    assert bad["status"] == "failed" and "not a NIfTI file" in bad["reason"]
    assert {row["status"] for row in table.values()} == {"done"}
    assert float(table["0.nii.gz"]["kidney_ml"]) == json.loads((out / "0_segmentation.json").read_text())["kidney_ml"]


def test_a_region_of_interest_probabilities_and_an_ensemble(tmp_path, flags, identity, capsys):
    save(image_of(small_ct(), "RAS"), tmp_path / "ct.nii.gz")
    flags[1] = f"--output_dir={tmp_path}"
    flags[2] += f",{shutil.copytree(identity, tmp_path / 'copy')}"
    flags += ["--planes=axial,coronal", "--fusion=majority", "--tta=shift"]
    assert run(*flags, "--roi=2:9,:,0:40", "--probabilities") == 0
    image = nibabel.load(tmp_path / "ct_segmentation.nii.gz")
    labels, found = np.asarray(image.dataobj), {}
    for name in ("kidney", "tumor"):
        one = nibabel.load(tmp_path / f"ct_segmentation_{name}_probability.nii.gz")
        np.testing.assert_array_equal(one.affine, image.affine)
        found[name] = one.get_fdata()
    assert labels.any() and (found["kidney"][labels > 0] >= 0.5 - 1e-6).all()  # steps may round a little over 0.5
    assert (found["tumor"][labels == 2] >= 0.4999).all() and (found["tumor"][labels == 1] <= 0.5001).all()
    working = labels[::-1, ::-1, ::-1].transpose(2, 1, 0)
    assert not working[:2].any() and not working[9:].any() and not working[:, :, 40:].any()
    said = json.loads((tmp_path / "ct_segmentation.json").read_text())
    assert said["checkpoint"] == flags[2].split("=")[1] and said["settings"]["planes"] == ["axial", "coronal"]
    assert [said["settings"][name] for name in ("fusion", "tta", "roi")] == ["majority", "shift", "2:9,0:,0:40"]
    assert run(*flags, "--roi=500:,:,:", "--overwrite") == 1
    said = capsys.readouterr().err
    assert "ct.nii.gz: roi " in said and "holds no voxel of a CT of shape (12, 60, 80)" in said


def test_bad_files_are_named_in_one_line_each_and_the_good_ones_written(tmp_path, flags, capsys):
    """Again, too, with own outputs in the tree."""
    data, out = tmp_path / "data", tmp_path / "data" / "out"
    save(image_of(small_ct()), data / "one" / "scan.nii.gz")
    whole = (data / "one" / "scan.nii.gz").read_bytes()
    for name in ("ct.nii.gz", "truncated.nii.gz"):
        (data / name).write_bytes(whole[: len(whole) // (2 if name[0] == "t" else 1)])
    (data / "ct.nii").write_bytes(gzip.decompress(whole))
    (data / "notes.txt").write_text("about the scans")
    (data / "text.nii.gz").write_text("not an image")
    for name, shape in (("flat", (8, 9)), ("four", (8, 9, 4, 3))):
        save(nibabel.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)), data / f"{name}.nii.gz")
    bad = [f"{name}.nii.gz" for name in ("truncated", "text", "flat", "four", "ct")] + ["ct.nii"]
    for _ in range(2):
        assert run(f"--input={data}", f"--output_dir={out}", flags[2]) == 1
        said = capsys.readouterr()
        named = [line.split(f"{data}/")[1].split(": ")[0] for line in said.err.splitlines()]
        assert sorted(named) == sorted(bad)
        assert "skipped (not a CT): notes.txt\n" in said.out
    assert names_in(out) == ["scan_segmentation.json", "scan_segmentation.nii.gz"]
    statuses = [line.split(",")[2] for line in (out / "summary.csv").read_text().splitlines()[1:]]
    assert sorted(statuses) == ["done"] + ["failed"] * len(bad)


def test_a_ct_upside_down_on_a_sheared_grid_is_warned_of_and_measured_by_the_determinant(tmp_path, flags, capsys):
    affine = image_of(small_ct()).affine
    affine[1, 0] = SPACING_MM[0] * np.tan(np.radians(20))
    save(nibabel.Nifti1Image(np.ascontiguousarray(person()[::-1]), affine), tmp_path / "ct.nii.gz")
    assert run(*flags) == 0
    said, sidecar = capsys.readouterr().err, json.loads((tmp_path / "out" / "ct_segmentation.json").read_text())
    for warning in ("sheared by 20.0 degrees", "the lungs lie below"):
        assert f"ct.nii.gz: warning: {warning}" in said and warning in str(sidecar["warnings"])
    count = np.count_nonzero(labels_of(tmp_path / "out" / "ct_segmentation.nii.gz"))
    assert sidecar["kidney_ml"] == pytest.approx(count * np.prod(SPACING_MM) / 1000, rel=1e-3) and count


def test_sigterm_ends_a_run_with_143_and_nothing_half_written(tmp_path, checkpoint):
    for number in range(16):
        save(image_of(small_ct(seed=number)), tmp_path / "data" / f"{number}.nii.gz")
    out = tmp_path / "out"
    flags = [f"--input={tmp_path / 'data'}", f"--output_dir={out}", f"--checkpoint_dir={checkpoint}"]
    process = subprocess.Popen([sys.executable, "-m", "kits_tf.cli.predict", *flags], stdout=subprocess.PIPE)
    assert process.stdout.readline().startswith(b"[1/16]")
    process.terminate()
    assert process.wait(timeout=60) == 143
    labels = {path.name.split("_")[0] for path in out.glob("*.nii.gz")}
    assert labels == {name.split("_")[0] for name in names_in(out)} and 1 <= len(labels) < 16
    table = read_csv(out / "summary.csv")
    assert {row["status"] for row in table.values()} == {"done", "not done"} and len(table) == 16
    assert {name.split(".")[0] for name, row in table.items() if row["status"] == "done"} == labels
    assert run(*flags) == 0


def test_every_format_is_written_beside_the_labels_and_colors_once_a_folder(tmp_path, flags, capsys):
    nrrd = pytest.importorskip("nrrd")
    pytest.importorskip("slicerio")
    for name in ("a", "b"):
        save(image_of(small_ct(), "RAS"), tmp_path / "data" / f"{name}.nii.gz")
    flags[0] = f"--input={tmp_path / 'data'}"
    assert run(*flags, "--format=seg.nrrd", "--format=stl", "--viewer_files") == 0
    ends = ("nii.gz", "json", "seg.nrrd", "kidney.stl", "tumor.stl")
    names = {f"{name}_segmentation{'_' if end[-1] == 'l' else '.'}{end}" for name in "ab" for end in ends}
    assert set(names_in(tmp_path / "out")) == names | {"kits_labels.ctbl", "kits_labels_itk_snap.txt"}
    labels = labels_of(tmp_path / "out" / "a_segmentation.nii.gz")
    voxels, header = nrrd.read(str(tmp_path / "out" / "a_segmentation.seg.nrrd"))
    assert labels.any()
    np.testing.assert_array_equal(voxels, labels[::-1, ::-1])  # L, P, S of R, A, S
    assert (tmp_path / "out" / "a_segmentation_kidney.stl").stat().st_size > 84
    capsys.readouterr()
    assert run(*flags, "--format=stl") == 0
    assert "2 of 2 CTs are already written" in capsys.readouterr().out
