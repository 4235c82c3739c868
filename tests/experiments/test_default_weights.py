"""Prove the recipe of the default weights but for training: painted lesions, samples, scores, packing, its order."""

import argparse
import dataclasses

import h5py
import numpy as np
import pytest
from scipy import ndimage

from experiments.default_weights import pack, paint, run, samples, score, simulate
from experiments.default_weights.networks import KIDNEY, NETWORKS, config_of, recorded
from kits_tf import checkpoint, config
from kits_tf.simulation.fields import random_generator
from tests.experiments import painted


def test_released_networks_are_those_of_the_recipe():
    for name in NETWORKS:
        released = config.load(checkpoint.find("default") / name / checkpoint.CONFIG_NAME)
        assert released == config_of(name, num_steps=released.num_steps)


@pytest.mark.parametrize("texture", [None, paint.tumor_texture, paint.clear_cell_texture])
def test_a_lesion_is_where_its_mask_is_and_as_large_as_drawn(texture):
    """Its HU are other than the kidney's, cysts watery; far from it no voxel changes."""
    is_cyst = texture is None
    case, most_ml = painted.case(), (paint.CYST_ML if is_cyst else paint.TUMOR_ML)[1]
    right = case.kidney & (np.arange(painted.SHAPE[2]) < painted.SHAPE[2] // 2)
    voxel_ml = np.prod(case.spacing_mm) / 1000
    differences = []
    for seed in range(6):
        hu = case.hu.astype(np.float32)
        mask = paint.paint(hu, right, case.spacing_mm, random_generator(seed), texture)
        again = case.hu.astype(np.float32)
        assert (paint.paint(again, right, case.spacing_mm, random_generator(seed), texture) == mask).all()
        np.testing.assert_array_equal(hu, again)
        assert mask.any() and ndimage.label(mask)[1] == 1
        assert mask.sum() * voxel_ml <= 1.6 * most_ml
        changed = np.abs(hu - case.hu) > 1
        assert ndimage.distance_transform_edt(~mask, case.spacing_mm)[changed].max() < 12
        inside = ndimage.binary_erosion(mask)
        if inside.any():
            differences.append(np.median(hu[inside]) - 150)
            assert not is_cyst or -20 < np.median(hu[inside]) < 35
    assert max(map(abs, differences)) > 15


def test_variants_keep_tumors_inside_kidneys_and_all_arrays_alike():
    case, tumors, thicker, shorter = painted.case(), 0, 0, 0
    for number in range(12):
        made = paint.vary(case, random_generator(3, number))
        assert made.hu.shape == made.kidney.shape == made.tumor.shape
        assert not (made.tumor & ~made.kidney).any() and made.kidney.any()
        tumors += made.tumor.any()
        thicker += made.spacing_mm[0] > case.spacing_mm[0]
        length_mm = made.hu.shape[0] * made.spacing_mm[0]
        shorter += length_mm < 0.9 * painted.SHAPE[0] * painted.SPACING_MM[0]
    assert 4 <= tumors <= 12 and thicker and shorter and not case.tumor.any()


def test_fine_pixels_are_skipped_and_slices_averaged():
    fine = dataclasses.replace(painted.case(), spacing_mm=(1.0, 0.6, 0.6))
    coarse = paint.coarsened(fine, random_generator(0))
    assert coarse.hu.shape[1:] == (40, 56) and coarse.spacing_mm == (1.0, 1.2, 1.2)
    thick = next(made for seed in range(9) if (made := paint.thickened(fine, random_generator(seed))) is not fine)
    step = round(thick.spacing_mm[0])
    assert step >= 2 and len(thick.hu) in (len(fine.hu) // step, -(-len(fine.hu) // step))
    assert thick.hu.std() < fine.hu.std()


def test_no_sample_is_made_of_held_out_people(tmp_path):
    for name in ("hcc_006", "hcc_015_portal", "hcc_015_arterial", "tcga_ov_2043"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kidney.nii.gz").touch()
    assert paint.training_cases(tmp_path) == ["hcc_006"]
    assert score.held_out(tmp_path) == ["hcc_015_arterial", "hcc_015_portal", "tcga_ov_2043"]


def test_a_sample_holds_the_working_grid_and_a_cube_around_each_kidney(tmp_path):
    case = painted.case()
    tumor = case.kidney & (np.arange(painted.SHAPE[0]) < 14)[:, None, None]
    case = dataclasses.replace(case, tumor=tumor)
    assert samples.write(case, tmp_path / "one", painted.Finder())
    image, label = (np.load(tmp_path / "one" / name) for name in (samples.IMAGE, samples.LABEL))
    assert image.dtype == np.int16 and image.shape == label.shape == (36, 72, 112)
    assert label.sum() * 3 * 2 * 2 == pytest.approx(case.kidney.sum() * 12, rel=0.02)
    cubes = np.load(tmp_path / "one" / samples.CUBES)
    kinds = ("image", "label", "near", "voxel_mm", "tumor_ml")
    assert sorted(cubes) == sorted(f"{kind}_{i}" for kind in kinds for i in (0, 1))
    for number in (0, 1):
        assert cubes[f"image_{number}"].shape == (64, 64, 64)
        bright = cubes[f"image_{number}"] > 0.45 * samples.CUBE_UNIT
        share = (cubes[f"label_{number}"] / 255).sum() / bright.sum()
        assert share == pytest.approx(tumor.sum() / case.kidney.sum(), rel=0.1)
        near = cubes[f"near_{number}"]
        assert (near > 220).sum() == pytest.approx(bright.sum(), rel=0.15) and near[0, 0, 0] == 0
        assert np.sum(cubes[f"label_{number}"] / 255) * cubes[f"voxel_mm_{number}"] ** 3 / 1000 == pytest.approx(
            cubes[f"tumor_ml_{number}"], rel=0.02
        )
        assert cubes[f"tumor_ml_{number}"] == pytest.approx(tumor.sum() / 2 * 0.012, rel=0.01)
    (tmp_path / f"two{samples.WRITING}").mkdir()
    assert samples.complete(tmp_path) == [tmp_path / "one"]
    samples.remove_unfinished(tmp_path)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "one"]
    nothing = dataclasses.replace(case, kidney=np.zeros_like(tumor))
    assert not samples.write(nothing, tmp_path / "none", painted.Finder()) and not (tmp_path / "none").exists()


def test_where_no_kidney_is_found_the_true_ones_are_taken(tmp_path):
    pale = dataclasses.replace(painted.case(), hu=np.full(painted.SHAPE, 40, np.int16))
    assert samples.write(pale, tmp_path / "pale", painted.Finder())
    assert "near_1" in np.load(tmp_path / "pale" / samples.CUBES)


def test_simulations_of_training_and_of_scoring_share_no_spacing():
    case = simulate.draw(1, 0, random_generator(0))
    assert case.hu.shape[1] in simulate.SIZES and not (case.tumor & ~case.kidney).any()
    assert any(low <= case.spacing_mm[0] <= high for low, high in simulate.SLICE_SPACINGS_MM)
    first, last = score.SIMULATED["slice_spacing_mm"]
    assert not any(low <= last and first <= high for low, high in simulate.SLICE_SPACINGS_MM)


def test_scores_are_those_computed_by_hand():
    """A perfect result, then one with a false piece of 5 x 4 x 3 voxels in a corner, called tumor."""
    case = painted.case()
    tumor = case.kidney & (np.arange(painted.SHAPE[0]) < 14)[:, None, None]
    case = dataclasses.replace(case, tumor=tumor)
    found = case.kidney.astype(np.uint8) + tumor
    perfect = score.score(case, found)
    assert perfect["kidney_dice"] == perfect["tumor_dice"] == 1 and perfect["tumor_found"]
    assert perfect["far_ml"] == perfect["false_tumor_ml"] == 0
    assert perfect["tumor_ml"] == pytest.approx(tumor.sum() * 0.012, abs=0.01)
    found[:5, :4, :3] = 2
    false = score.score(case, found)
    assert false["far_ml"] == false["false_tumor_ml"] == pytest.approx(60 * 0.012, abs=0.01)
    assert false["kidney_dice"] == pytest.approx(2 * case.kidney.sum() / (2 * case.kidney.sum() + 60), abs=1e-4)
    missed = score.score(case, case.kidney.astype(np.uint8))
    assert missed["tumor_dice"] == 0 and missed["tumor_found"] is False
    without = score.score(dataclasses.replace(case, tumor=np.zeros_like(tumor)), found)
    assert without["tumor_dice"] is None and without["tumor_found"] is None


def test_a_comb_changes_more_often_along_rows():
    comb = np.zeros((4, 8, 8), bool)
    comb[1:3, 1:7:2, 2:6] = True
    assert score.transitions(comb) == pytest.approx((3 * 2 * 4) / (3 * 2), abs=1e-3)
    assert score.transitions(comb.transpose(0, 2, 1)) == pytest.approx(1 / 4, abs=1e-3)
    assert score.transitions(np.zeros((2, 2, 2), bool)) is None


def test_a_summary_is_of_the_cases_that_have_the_number():
    one = {"kidney_dice": 0.9, "far_ml": 1.0, "false_tumor_ml": 0.0, "tumor_ml": 0.0, "tumor_dice": None}
    one |= {"tumor_found": None, "rows_to_columns": None}
    two = one | {"kidney_dice": 0.8, "far_ml": 3.0, "tumor_ml": 9.0, "tumor_dice": 0.5, "tumor_found": True}
    found = score.summary({"real": {"a": one, "b": two}, "planted": {"c": two, "d": two | {"tumor_ml": 3.0}}})
    assert found["real_kidney_dice"] == pytest.approx(0.85) and found["real_lowest_kidney_dice"] == 0.8
    assert found["real_most_far_ml"] == 3 and found["planted_tumor_dice"] == 0.5 and found["planted_found"] == "1 of 1"
    assert found["simulated_kidney_dice"] is found["real_shaped_tumor_dice"] is found["real_shaped_found"] is None
    bright, dark = two | {"contrast_hu": 15.0}, two | {"contrast_hu": -40.0, "tumor_dice": 0.3}
    found = score.summary({"real_shaped": {"a": dark, "b": bright}})
    assert found["real_shaped_dark_tumor_dice"] == pytest.approx(0.3)
    assert found["real_shaped_tumor_dice"] == pytest.approx(0.4) and found["real_shaped_found"] == "2 of 2"


def test_planted_tumors_are_the_same_each_time():
    case = painted.case()
    one, other = score.planted(case, 1), score.planted(case, 1)
    np.testing.assert_array_equal(one.hu, other.hu)
    assert one.tumor.any() and not (one.tumor & ~one.kidney).any()
    assert not np.array_equal(one.tumor, score.planted(case, 2).tumor)


def test_packed_weights_are_half_as_precise_and_complete(tmp_path):
    rng = np.random.default_rng(0)
    large, small = rng.normal(size=(40, 40)).astype(np.float32), rng.normal(size=9).astype(np.float32)
    with h5py.File(tmp_path / "whole.h5", "w") as file:
        file.attrs["keras_version"] = "3"
        file["layers/conv/vars/0"] = large
        file["layers/norm/vars/0"] = small
    pack.pack(tmp_path / "whole.h5", tmp_path / "packed.h5")
    with h5py.File(tmp_path / "packed.h5") as file:
        assert file.attrs["keras_version"] == "3"
        np.testing.assert_allclose(file["layers/conv/vars/0"][()], large, rtol=2**-11)
        np.testing.assert_array_equal(file["layers/norm/vars/0"][()], small)
        assert file["layers/conv/vars/0"].dtype == np.float16


def test_the_config_of_packed_weights_has_their_number_of_steps(tmp_path):
    for name in NETWORKS:
        (tmp_path / f"{name}.csv").write_text("step,seconds\n20,3.1\n37,9.0\n")
        h5py.File(tmp_path / f"{name}.weights.h5", "w").close()
    pack.pack_all(tmp_path, tmp_path / "out")
    assert checkpoint.load_configs(tmp_path / "out", NETWORKS)["tumor"] == config_of("tumor", num_steps=37)


def test_kidney_networks_train_in_turn_and_the_tumor_network_beside_them(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(run.common, "run", lines.append)
    options = {"minutes": 90.0, "threads": 1, "precision": "float32", "pretrained": "default"}
    run.train_all(tmp_path, argparse.Namespace(**options))
    flags = [dict(flag.removeprefix("--").split("=") for flag in line[3:]) for line in lines]
    minutes = {own["network"]: float(own["minutes"]) for own in flags}
    assert [own["network"] for own in flags if own["network"] != "tumor"] == list(KIDNEY)
    assert sum(minutes[name] for name in KIDNEY) == pytest.approx(90) and minutes["tumor"] == 90
    assert all(own["pretrained"] == "default" for own in flags) and list(run.pretrained("")) == []


def test_tries_are_recorded_once_each(tmp_path):
    result = tmp_path / "result.json"
    result.write_text('{"scores": null, "tries": []}')
    for name, dice in (("a", 0.1), ("b", 0.2), ("a", 0.3)):
        score.add_try(name, {"real_kidney_dice": dice}, result)
    assert recorded(result)["scores"] is None
    tries = recorded(result)["tries"]
    assert [(one["name"], one["real_kidney_dice"]) for one in tries] == [("b", 0.2), ("a", 0.3)]
