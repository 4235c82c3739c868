"""Prove kits-predict end to end on tiny random networks: names, grids, orientations, bad files, flags."""

import csv
import gzip
import itertools
import json
import shutil
import subprocess
import sys

import nibabel
import numpy as np
import pytest

from tests.cli.predicting import SPACING_MM, image_of, read_csv, run, save
from tests.tiny import small_ct

pytestmark = pytest.mark.usefixtures("load_once")
ROTATIONS = [
    "".join(codes[axis] for axis in axes)
    for axes in itertools.permutations(range(3))
    for codes in ("RAS", "LPS", "LAI", "RPI")
]
"""24 of the 48 ways to store a volume, rotated and mirrored."""


def test_a_case_folder_gets_the_challenges_name_and_its_json(tmp_path, checkpoint):
    hu = small_ct()
    save(image_of(hu), tmp_path / "data" / "case_00210" / "imaging.nii.gz")
    out = tmp_path / "out"
    assert run(f"--input={tmp_path / 'data'}", f"--output_dir={out}", f"--checkpoint_dir={checkpoint}") == 0
    labels = nibabel.load(out / "prediction_00210.nii.gz")
    assert labels.get_data_dtype() == np.uint8 and labels.shape == hu.shape
    assert set(np.unique(labels.dataobj)) <= {0, 1, 2}
    summary = json.loads((out / "prediction_00210.json").read_text())
    assert summary["shape"] == list(hu.shape) and summary["spacing_mm"] == list(SPACING_MM)
    assert set(summary["seconds"]) == {"read", "kidney", "tumor", "write", "total"}
    voxel_ml = np.prod(SPACING_MM) / 1000
    values = np.asarray(labels.dataobj)
    assert summary["tumor_ml"] == pytest.approx((values == 2).sum() * voxel_ml, abs=0.01)
    assert summary["kidney_ml"] == pytest.approx((values > 0).sum() * voxel_ml, abs=0.01)
    assert sorted(path.name for path in out.iterdir()) == ["prediction_00210.json", "prediction_00210.nii.gz"]
    assert {
        "input",
        "engine",
        "peak_memory_mb",
        "kidneys",
        "tumors",
        "checkpoint",
        "settings",
        "version",
        "date",
    } <= set(summary)


def test_all_orientations_of_one_ct_give_the_same_voxels(tmp_path, checkpoint):
    hu = small_ct()
    for codes in ROTATIONS:
        save(image_of(hu, codes), tmp_path / "data" / f"{codes}.nii.gz")
    out = tmp_path / "out"
    assert run(f"--input={tmp_path / 'data'}", f"--output_dir={out}", f"--checkpoint_dir={checkpoint}") == 0
    back = []
    for codes in ROTATIONS:
        ct = nibabel.load(tmp_path / "data" / f"{codes}.nii.gz")
        labels = nibabel.load(out / f"{codes}_segmentation.nii.gz")
        assert labels.shape == ct.shape and labels.header.get_zooms() == ct.header.get_zooms()
        np.testing.assert_array_equal(labels.affine, ct.affine)
        back.append(np.asarray(nibabel.as_closest_canonical(labels).dataobj))
    assert back[0].any()
    for other in back[1:]:
        np.testing.assert_array_equal(other, back[0])


def test_bad_files_are_named_in_one_line_each_and_the_good_ones_written(tmp_path, checkpoint, capsys):
    data, out = tmp_path / "data", tmp_path / "out"
    save(image_of(small_ct()), data / "good.nii.gz")
    whole = (data / "good.nii.gz").read_bytes()
    (data / "text.nii.gz").write_text("not an image")
    (data / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    save(nibabel.Nifti1Image(np.zeros((8, 9), np.int16), np.eye(4)), data / "flat.nii.gz")
    save(nibabel.Nifti1Image(np.zeros((8, 9, 4, 3), np.int16), np.eye(4)), data / "four.nii.gz")
    assert run(f"--input={data}", f"--output_dir={out}", f"--checkpoint_dir={checkpoint}") == 1
    lines = capsys.readouterr().err.strip().splitlines()
    for name in ("text", "truncated", "flat", "four"):
        assert sum(f"{name}.nii.gz" in line for line in lines) == 1
    assert len(lines) == 4
    assert sorted(path.name for path in out.iterdir()) == [
        "good_segmentation.json",
        "good_segmentation.nii.gz",
        "summary.csv",
    ]


def test_stages_apart_give_what_both_give_together(tmp_path, checkpoint):
    save(image_of(small_ct()), tmp_path / "ct.nii.gz")
    common = (f"--input={tmp_path / 'ct.nii.gz'}", f"--checkpoint_dir={checkpoint}")
    assert run(*common, f"--output_dir={tmp_path / 'both'}") == 0
    assert run(*common, f"--output_dir={tmp_path / 'kidney'}", "--stage=kidney") == 0
    masks = f"--kidney_masks={tmp_path / 'kidney'}"
    assert run(*common, f"--output_dir={tmp_path / 'tumor'}", "--stage=tumor", masks) == 0
    both, kidney, tumor = (
        np.asarray(nibabel.load(tmp_path / stage / "ct_segmentation.nii.gz").dataobj)
        for stage in ("both", "kidney", "tumor")
    )
    assert kidney.any()
    np.testing.assert_array_equal(kidney, both > 0)
    np.testing.assert_array_equal(tumor, both)


def test_planes_and_fusion_matter(tmp_path, checkpoint):
    """The union of three planes is the union of the planes alone (specks aside: none is dropped from one blob)."""
    save(image_of(small_ct()), tmp_path / "ct.nii.gz")
    common = (f"--input={tmp_path / 'ct.nii.gz'}", f"--checkpoint_dir={checkpoint}", "--stage=kidney")
    found = {}
    for name, flags in {
        "axial": ["--planes=axial"],
        "coronal": ["--planes=coronal"],
        "union": ["--planes=axial,coronal"],
        "majority": ["--planes=axial,coronal", "--fusion=majority"],
        "mean": ["--planes=axial,coronal", "--fusion=mean"],
    }.items():
        assert run(*common, f"--output_dir={tmp_path / name}", *flags) == 0
        found[name] = np.asarray(nibabel.load(tmp_path / name / "ct_segmentation.nii.gz").dataobj) > 0
    assert len({array.tobytes() for array in found.values()}) >= 3
    assert (found["majority"] <= found["union"]).all()


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--input=/nowhere"], "--input"),
        (["--planes=axial,oblique"], "--planes"),
        (["--planes="], "--planes"),
        (["--fusion=average"], "--fusion"),
        (["--engine=abacus"], "--engine"),
        (["--engine_precision=int4"], "--engine_precision"),
        (["--engine=tensorflow", "--engine_precision=bfloat16"], "--engine_precision"),
        (["--tta=rotate"], "--tta"),
        (["--roi=1:2"], "--roi"),
        (["--roi=1:2,a:b,:"], "--roi"),
        (["--roi=-1:2,:,:"], "--roi"),
        (["--shard=3/2"], "--shard"),
        (["--shard="], "--shard"),
        (["--stage=tumor", "--kidney_masks="], "--kidney_masks"),
        (["--workers=0"], "--workers"),
        (["--checkpoint_dir=,"], "--checkpoint_dir"),
        (["--checkpoint_dir=simulated,simulated"], "--checkpoint_dir"),
        (["--stage=tumor"], "--kidney_masks"),
        (["--kidney_masks=."], "--kidney_masks"),
        (["--stage=tumor", "--kidney_masks=.", "--planes=axial,coronal,sagittal"], "--planes"),
        (["--stage=tumor", "--kidney_masks=.", "--fusion=union"], "--fusion"),
        (["--series=3"], "--series"),
        (["--series="], "--series"),
        (["--checkpoint_dir=/nowhere"], "--checkpoint_dir"),
        (["--checkpoint_dir=nothing"], "--checkpoint_dir"),
        (["--checkpoint_dir=."], "config.json"),
        (["--overwrte"], "--overwrte"),
    ],
)
def test_unusable_flags_exit_2_with_one_line_naming_the_flag(tmp_path, checkpoint, capsys, arguments, named):
    save(image_of(small_ct()), tmp_path / "ct.nii.gz")
    defaults = [f"--input={tmp_path / 'ct.nii.gz'}", f"--output_dir={tmp_path}", f"--checkpoint_dir={checkpoint}"]
    names = [argument.split("=")[0] for argument in arguments]
    assert run(*[d for d in defaults if d.split("=")[0] not in names], *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and named in lines[0]


def test_what_may_not_be_a_ct_is_segmented_with_a_warning(tmp_path, checkpoint, capsys):
    save(image_of(small_ct() + 1024), tmp_path / "shifted.nii.gz")
    save(image_of(small_ct()), tmp_path / "ct.nii.gz")
    assert run(f"--input={tmp_path}", f"--output_dir={tmp_path}", f"--checkpoint_dir={checkpoint}") == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(lines) == 1 and "shifted.nii.gz" in lines[0] and "below -500" in lines[0]
    written = {name: json.loads((tmp_path / f"{name}_segmentation.json").read_text()) for name in ("ct", "shifted")}
    assert written["ct"]["warnings"] == [] and len(written["shifted"]["warnings"]) == 1


def test_shards_together_do_everything_and_each_says_what_it_did(tmp_path, checkpoint):
    for number in range(5):
        save(image_of(small_ct(seed=number)), tmp_path / "data" / f"{number}.nii.gz")
    (tmp_path / "data" / "bad.nii.gz").write_text("not an image")
    common = (f"--input={tmp_path / 'data'}", f"--output_dir={tmp_path / 'out'}", f"--checkpoint_dir={checkpoint}")
    codes = [run(*common, f"--shard={number}/2") for number in (1, 2)]
    assert sorted(codes) == [0, 1]
    tables = [read_csv(tmp_path / "out" / f"summary_{number}_of_2.csv") for number in (1, 2)]
    assert sorted([*tables[0], *tables[1]]) == [*(f"{number}.nii.gz" for number in range(5)), "bad.nii.gz"]
    assert run(*common, "--shard=9/9") == 0 and not (tmp_path / "out" / "summary_9_of_9.csv").exists()
    assert run(*common) == 1  # the rest is there, the bad one is tried again
    table = read_csv(tmp_path / "out" / "summary.csv")
    assert {row["status"] for name, row in table.items() if name != "bad.nii.gz"} == {"done"}
    assert table["bad.nii.gz"]["status"] == "failed" and "not a NIfTI file" in table["bad.nii.gz"]["reason"]
    said = json.loads((tmp_path / "out" / "0_segmentation.json").read_text())
    assert float(table["0.nii.gz"]["kidney_ml"]) == said["kidney_ml"]


def test_a_region_of_interest_probabilities_and_an_ensemble(tmp_path, checkpoint, capsys):
    save(image_of(small_ct(), "RAS"), tmp_path / "ct.nii.gz")
    twice = f"--checkpoint_dir={checkpoint},{shutil.copytree(checkpoint, tmp_path / 'copy')}"
    flags = (f"--input={tmp_path / 'ct.nii.gz'}", f"--output_dir={tmp_path}", twice, "--tta=shift")
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
    assert json.loads((tmp_path / "ct_segmentation.json").read_text())["checkpoint"] == twice.split("=")[1]
    assert run(*flags, "--roi=500:,:,:", "--overwrite") == 1
    said = capsys.readouterr().err
    assert "ct.nii.gz: roi " in said and "holds no voxel of a CT of shape (12, 60, 80)" in said


def test_a_tree_of_everything_and_its_faults(tmp_path, checkpoint, capsys):
    """Two folders with CTs of one name, two CTs of one output name, a link to nothing, a text file, own outputs."""
    data = tmp_path / "data"
    save(image_of(small_ct()), data / "one" / "scan.nii.gz")
    save(image_of(small_ct(seed=1)), data / "two" / "scan.nii.gz")
    whole = (data / "one" / "scan.nii.gz").read_bytes()
    (data / "ct.nii.gz").write_bytes(whole)
    (data / "ct.nii").write_bytes(gzip.decompress(whole))
    (data / "lost.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    (data / "notes.txt").write_text("about the scans")
    out = data / "out"
    for _ in range(2):
        assert run(f"--input={data}", f"--output_dir={out}", f"--checkpoint_dir={checkpoint}") == 1
        said = capsys.readouterr()
        for name, words in {"ct.nii": "as would", "ct.nii.gz": "as would", "lost.nii.gz": "is a link"}.items():
            assert sum(f"{data / name}: " in line and words in line for line in said.err.splitlines()) == 1
        assert len(said.err.splitlines()) == 3 and "skipped, as no CT: notes.txt\n" in said.out
    written = ["one_scan_segmentation", "two_scan_segmentation"]
    names = sorted([*(name + end for name in written for end in (".nii.gz", ".json")), "summary.csv"])
    assert sorted(path.name for path in out.iterdir()) == names
    rows = list(csv.DictReader(open(out / "summary.csv", newline="")))
    assert sorted(row["status"] for row in rows) == ["done", "done", "failed", "failed", "failed"]


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
    assert labels == {path.name.split("_")[0] for path in out.iterdir()} and 1 <= len(labels) < 16
    assert run(*flags) == 0
