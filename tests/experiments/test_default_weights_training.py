"""Prove the training of the default weights, which needs PyTorch: fast layers, batches, a whole run."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch")

from experiments.default_weights import batches, cubes, samples, slabs  # noqa: E402
from experiments.default_weights.networks import KIDNEY, NETWORKS, PHASES, config_of  # noqa: E402
from kits_tf import checkpoint, geometry  # noqa: E402
from kits_tf.arrays import NumPy  # noqa: E402
from kits_tf.inference import kidney as prediction  # noqa: E402
from kits_tf.simulation.fields import random_generator  # noqa: E402
from tests.experiments import painted  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAME = """
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras, numpy as np
from kits_tf import models
rng = np.random.default_rng(0)
networks = [
    models.KidneyNetwork(base_filters=4, depth=2, size=(24, 16)),
    models.KidneyNetwork(base_filters=4, depth=2, pooling="max", size=(24, 16)),
    models.TumorNetwork(base_filters=4, depth=2, attention="both", size=(16, 8, 8)),
]
inputs = [rng.random((2, *shape)).astype("float32") for shape in ((24, 16, 3), (24, 16, 3), (16, 8, 8, 1))]

def outputs(training):
    found = [network(x, training=training) for network, x in zip(networks, inputs)]
    return [part.detach().numpy() for part in keras.tree.flatten(found)]

slow = outputs(False)
import experiments.default_weights.fast
for one, other in zip(slow, outputs(False), strict=True):
    np.testing.assert_allclose(one, other, atol=2e-5)
def moving():
    return [network.non_trainable_variables[0].numpy().copy() for network in networks]

before = moving()
assert all(np.isfinite(part).all() for part in outputs(True))
assert not any(np.allclose(one, other) for one, other in zip(before, moving())), "moving averages do not move"
print("same")
"""


def python(*arguments):
    """Run Python with this checkout; return its output."""
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two samples of each kind, one of them with a tumor."""
    folder = tmp_path_factory.mktemp("samples")
    for kind in ("real", "simulated"):
        for number in range(2):
            case = painted.case(number)
            tumor = case.kidney & (np.arange(painted.SHAPE[0]) < 14 * number)[:, None, None]
            case = samples.Case(case.hu - 30 * tumor.astype(np.int16), case.kidney, tumor, case.spacing_mm)
            (folder / kind).mkdir(exist_ok=True)
            assert samples.write(case, folder / kind / str(number), painted.Finder())
    return folder


def test_fast_layers_compute_the_same():
    assert python("-c", SAME) == "same\n"


@pytest.mark.parametrize("name", KIDNEY)
def test_slabs_before_augmentation_are_those_of_prediction(home, name, monkeypatch):
    monkeypatch.setattr(slabs, "varied_contrast", lambda hu, label, rng: hu)
    monkeypatch.setattr(slabs, "moved_slabs", lambda image, label, size: (image, label))
    config = config_of(name)
    volume = slabs.volume_of(home / "real" / "0", config.plane)
    hu, label = volume.image.numpy(), volume.label.numpy()
    known = {}
    for half, mirrored in zip(geometry.halves(NumPy, config.plane, hu.shape), (False, True), strict=True):
        height, width = prediction.slab_size(half, hu.shape, config.plane)
        indices = np.arange(*half.indices, dtype=np.int32)
        slab = prediction.slab_batch(NumPy, config, hu, half, indices, mirrored)[:, :height, :width]
        scaled = label.astype(np.int16) * 600 - 200  # as HU that are scaled to 0 and 1
        labels = prediction.slab_batch(NumPy, config, scaled, half, indices, mirrored)[:, :height, :width, 1]
        known |= {one.tobytes(): centre for one, centre in zip(np.round(slab, 4), np.round(labels), strict=True)}
    rng, sides = random_generator(1), 0
    for _ in range(6):
        image, found = slabs.slabs(volume, config, rng)
        for one, centre in zip(image.permute(0, 2, 3, 1).numpy(), found[:, 0].numpy(), strict=True):
            np.testing.assert_array_equal(known[np.round(np.ascontiguousarray(one), 4).tobytes()], centre)
            sides += centre.any()
    assert sides


@pytest.mark.parametrize("name", NETWORKS)
def test_batches_have_the_networks_shape_and_range(home, name):
    config = config_of(name)
    pool_class = cubes.CubePool if name == "tumor" else slabs.SlabPool
    pool = pool_class(config, [home / "real", home / "simulated"], np.random.default_rng(0), PHASES[config.stage][0])
    pool.load()
    pool.load()
    assert [len(items) for items in pool.items] == ([4, 4] if name == "tumor" else [2, 2])
    foreground, phases = 0, iter(PHASES[config.stage])
    for _ in range(4):
        batch = pool.batch()
        size = {"axial": (144, 96), "coronal": (96, 96), "sagittal": (96, 144)}.get(name[7:], (pool.phase.grid,) * 3)
        assert tuple(batch["image"].shape) == (pool.phase.batch_size, *size, 1 if name == "tumor" else 3)
        assert tuple(batch["label"].shape) == (pool.phase.batch_size, *size, 1)
        for array in (batch["image"], batch["label"]):
            assert 0 <= array.min() and array.max() <= 1 + 1e-5
        foreground += batch["label"].sum()
        pool.phase = next(phases, pool.phase)
    assert foreground > 0


def test_what_stage_2_sees_reaches_a_few_mm_beyond_the_kidney_and_never_all_of_a_lost_tumor(home):
    cube = cubes.cubes_of(home / "real" / "1", config_of("tumor"))[0]
    near = cube.near.numpy()
    kidney, distance_mm = near == 255, (1 - near / 255) * samples.NEAR_MM
    reaches, everything, lost = set(), 0, 0
    for seed in range(40):
        seen = cubes.seen(cube, np.random.default_rng(seed)).numpy() > 0
        if seen.all():
            everything += 1
        elif seen[kidney].all():
            reaches.add(round(distance_mm[seen].max()))
        else:
            lost += 1
            assert (cube.label.numpy()[kidney & ~seen] > 127).all(), "only tumor is taken as not found"
    assert everything and lost and min(reaches) <= 2 and max(reaches) <= 8 and len(reaches) > 2


@pytest.mark.parametrize("has_tumor", [True, False])
def test_a_tumor_or_cysts_are_painted_into_a_kidney_and_found_with_it(home, has_tumor):
    config = config_of("tumor")
    cube = cubes.cubes_of(home / "real" / "0", config)[0]
    assert not cube.has_tumor
    before, kidney, looks = cubes.cube_values(cube.image).numpy(), cube.near.numpy() > 250, set()
    for seed in range(6):
        made = cubes.painted(cube, config, np.random.default_rng(seed), has_tumor)
        tumor, found = made.label.numpy() > 127, made.near.numpy() > 250
        change = np.abs(cubes.cube_values(made.image).numpy() - before)
        assert made.has_tumor == has_tumor == tumor.any() and found[tumor | kidney].all()
        assert made.tumor_ml == pytest.approx(tumor.sum() * cube.voxel_mm**3 / 1000)
        changed = change > 20 / 600
        assert changed.any() and (changed & ndimage.binary_dilation(found, iterations=6) == changed).all()
        looks.add(changed.sum())
    assert len(looks) == 6
    nowhere = dataclasses.replace(cube, near=torch.zeros_like(cube.near))
    assert cubes.painted(nowhere, config, np.random.default_rng(0), has_tumor) is nowhere


def test_recoloring_changes_the_contrast_of_a_tumor_and_nothing_else(home):
    config = config_of("tumor")
    cube = cubes.cubes_of(home / "real" / "1", config)[0]
    before, tumor = cubes.cube_values(cube.image).numpy(), cube.label.numpy()
    assert cube.contrast_hu == pytest.approx(-30, abs=2)
    contrasts = []
    for seed in range(20):
        after = cubes.recolored(cube, config, np.random.default_rng(seed)).numpy()
        np.testing.assert_array_equal(after[tumor == 0], before[tumor == 0])
        contrasts.append(cube.contrast_hu + 600 * np.median((after - before)[tumor > 200]))
    low, high = cubes.RECOLORED_HU
    assert min(contrasts) < 0 < 60 < max(contrasts)
    assert low - 20 < min(contrasts) and max(contrasts) < high + 20
    bright = dataclasses.replace(cube, contrast_hu=20.0)
    np.testing.assert_array_equal(cubes.recolored(bright, config, np.random.default_rng(0)), before)


def test_curves_keep_air_and_order():
    hu = torch.linspace(-1024, 2000, 400).reshape(1, 1, 20, 20)
    for seed in range(5):
        curve = batches.other_phase(hu, np.random.default_rng(seed)).flatten()
        assert (curve.diff() > 0).all() and torch.allclose(curve[0], hu.flatten()[0], atol=2)
        flat = slabs.unenhanced(hu, np.random.default_rng(seed))
        assert (flat[hu <= -900] == hu[hu <= -900]).all()
    points = batches.piecewise_linear(torch.tensor([-5.0, 0.0, 5.0, 15.0]), [-10, 0, 10, 20], [-10, 0, 20, 20])
    assert points.tolist() == [-5, 0, 10, 20]


def test_unmoved_interpolation_is_the_identity(monkeypatch):
    monkeypatch.setattr(torch, "randn", lambda *shape: torch.zeros(*shape))
    monkeypatch.setattr(torch, "rand", lambda *shape: torch.full(shape, 0.5))
    image, label = torch.arange(2.0 * 3 * 32 * 48).reshape(2, 3, 32, 48), torch.ones(2, 1, 32, 48)
    moved, same = slabs.moved_slabs(image, label, (32, 48))
    assert torch.allclose(moved, image, atol=1e-2) and torch.allclose(same, label, atol=1e-4)
    cut, _ = slabs.moved_slabs(image, label, (16, 32))
    assert torch.allclose(cut, image[..., 8:24, 8:40], atol=1e-2)
    cube = torch.arange(512.0).reshape(1, 1, 8, 8, 8)
    assert torch.allclose(cubes.moved_cubes(cube, 8), cube, atol=1e-2)
    halved = cube.reshape(4, 2, 4, 2, 4, 2).mean((1, 3, 5))
    assert torch.allclose(cubes.moved_cubes(cube, 4)[0, 0], halved, atol=1e-2)


def test_a_whole_run_makes_a_checkpoint_and_scores(tmp_path):
    """On one made-up person, for a second each; no CT is held out, so simulations and the bundled CT are scored."""
    painted.write(tmp_path / "ct" / "hcc_001")
    flags = ["--minutes=0.01", "--num_samples=2", "--first_samples=1", "--precision=float32", "--simulated=1"]
    line = [
        "-m",
        "experiments.default_weights.run",
        f"--real_ct={tmp_path / 'ct'}",
        f"--output_dir={tmp_path / 'out'}",
    ]
    python(*line, *flags)
    configs = checkpoint.load_configs(tmp_path / "out" / "checkpoint", NETWORKS)
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    for name in NETWORKS:
        assert result["networks"][name]["step"] == configs[name].num_steps >= 1
        assert np.isfinite(result["networks"][name]["cross_entropy"])
        assert checkpoint.load_network(tmp_path / "out" / "checkpoint", name)
    assert set(result["scores"]["cases"]) == {"real", "simulated"} and result["samples"]["real"] >= 1
    assert (tmp_path / "out" / "failures.png").is_file()
