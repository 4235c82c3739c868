"""Proves kits-request against a server of the real system: right labels, bounded retries, one line a failure."""

import numpy as np
import pytest

pytest.importorskip("tensorflow_serving")

from kits_tf import checkpoint  # noqa: E402
from kits_tf.cli import app, request  # noqa: E402
from kits_tf.export import saved_model  # noqa: E402
from kits_tf.export.system import System  # noqa: E402
from kits_tf.inference.segmenter import load_segmenter  # noqa: E402
from kits_tf.inference.tensorflow_engine import load_network  # noqa: E402
from kits_tf.volume import Volume, read_labels, read_volume, write_volume  # noqa: E402
from tests.export.decisive import decisive_checkpoint  # noqa: E402
from tests.serving.protocol_server import Model, grpc_server, rest_server  # noqa: E402
from tests.tiny import small_ct, tiny_configs  # noqa: E402

SPACING_MM = (4.0, 3.0, 3.0)
SERVERS = {"rest": rest_server, "grpc": grpc_server}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return decisive_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory):
    configs = checkpoint.load_configs(folder, tuple(tiny_configs()))
    networks = {name: load_network(folder / name, config) for name, config in configs.items()}
    saved = tmp_path_factory.mktemp("models") / "system" / "1"
    saved_model.save_system(saved, System(networks, configs), networks)
    return Model(saved)


@pytest.fixture(params=SERVERS)
def serve(request, model):
    """A function that starts a server, with a fault if asked."""
    return lambda fault=None: SERVERS[request.param](model, fault)


def ask(server, *arguments):
    return app.execute(
        request.main,
        request.FLAGS,
        ["kits-request", f"--server={server.url}", *map(str, arguments), "--wait_seconds=0"],
    )


def write_cts(folder, count):
    folder.mkdir()
    for seed in range(count):
        write_volume(Volume(small_ct((5, 32, 40), seed), SPACING_MM), folder / f"ct_{seed:02d}.nii.gz")
    return folder


def assert_labels_are_right(data, out, segmenter, names):
    assert sorted(path.name for path in out.iterdir()) == sorted(f"{name}_segmentation.nii.gz" for name in names)
    for name in names:
        volume = read_volume(data / f"{name}.nii.gz")
        expected = segmenter.segment(volume.hu, volume.spacing_mm)
        labels, _ = read_labels(out / f"{name}_segmentation.nii.gz")
        np.testing.assert_array_equal(labels, expected)


def test_eight_at_once_with_twenty_of_fifty_corrupt(serve, model, folder, tmp_path, capsys):
    data, out = write_cts(tmp_path / "data", 50), tmp_path / "out"
    names = [f"ct_{seed:02d}" for seed in range(50)]
    broken = names[::5] + names[1::5]
    for name in broken:
        path = data / f"{name}.nii.gz"
        path.write_bytes(path.read_bytes()[:300])
    model.most_at_once = 0
    with serve() as server:
        assert ask(server, f"--input={data}", f"--output_dir={out}", "--workers=8") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(broken) == len(lines) == 20
    for name in broken:
        assert sum(f"{name}.nii.gz" in line for line in lines) == 1
    assert model.most_at_once > 1
    assert_labels_are_right(data, out, load_segmenter(folder), [name for name in names if name not in broken])


@pytest.mark.parametrize(
    "fault, attempts, says",
    [
        ("stall", 2, "no reply within 1 s (2 attempts)"),
        ("close", 3, "(3 attempts)"),
        ("large", 1, "large"),
    ],
)
def test_a_faulty_server_costs_one_line_a_ct(serve, tmp_path, capsys, fault, attempts, says):
    data, out = write_cts(tmp_path / "data", 2), tmp_path / "out"
    flags = (f"--attempts={max(attempts, 2)}", "--max_reply_mb=4")
    flags += ("--timeout_seconds=1",) if fault == "stall" else ("--timeout_seconds=60",)
    with serve(fault) as server:
        assert ask(server, f"--input={data}", f"--output_dir={out}", *flags) == 1
        assert server.requests == 2 * attempts
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for name in ("ct_00.nii.gz", "ct_01.nii.gz"):
        assert sum(name in line and says in line for line in lines) == 1
    assert not out.exists() or not list(out.iterdir())


def test_a_busy_server_is_asked_again(model, tmp_path):
    data = write_cts(tmp_path / "data", 1)
    with rest_server(model, "busy") as server:
        assert ask(server, f"--input={data}", f"--output_dir={tmp_path / 'out'}") == 0
        assert server.requests == 2


def test_health(serve, capsys):
    with serve() as server:
        assert ask(server, "--check") == 0
        assert ask(server, "--check", "--model=other", "--timeout_seconds=5") == 1
    assert ask(server, "--check", "--timeout_seconds=5", "--attempts=2") == 1
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize(
    "arguments, named", [(["--input=."], "--output_dir"), (["--check", "--server=x"], "--server")]
)
def test_unusable_flags(arguments, named, capsys):
    assert app.execute(request.main, request.FLAGS, ["kits-request", *arguments]) == 2
    assert named in capsys.readouterr().err
