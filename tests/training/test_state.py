"""Proves that states come back, which runs a folder resumes, and what training starts from."""

import contextlib
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from kits_tf.config import preset
from kits_tf.errors import InputError, UsageError
from kits_tf.training import state as states
from kits_tf.training.state import STATE_FOLDER, Settings, TrainingError, TrainingState, check_folder, saved_states
from tests.tiny import tiny_configs, write_checkpoint


@pytest.fixture(name="make")
def maker(tmp_path):
    """make(width) -> (model, optimizer, TrainingState) of one folder, freshly initialised."""

    def make(width=2):
        models = [keras.Sequential([keras.Input((3,)), keras.layers.Dense(width)]) for _ in range(2)]
        optimizer = keras.optimizers.Adam(0.1)
        optimizer.build(models[0].trainable_variables)
        return models[0], optimizer, TrainingState(tmp_path, {"model": models[0], "optimizer": optimizer}, models[1])

    return make


def take_step(model, optimizer):
    optimizer.apply([np.ones(v.shape, np.float32) for v in model.trainable_variables], model.trainable_variables)


def save_five(make):
    """Save after each of five steps; return the weights after each."""
    model, optimizer, state = make()
    weights = {}
    for step in range(1, 6):
        take_step(model, optimizer)
        weights[step] = model.get_weights()
        state.save(step, weights[step])
    return weights


def test_the_newest_state_comes_back_and_three_are_kept(make, tmp_path):
    weights = save_five(make)
    assert [step for step, _ in saved_states(tmp_path)] == [3, 4, 5]
    model, optimizer, state = make()
    state.restore()
    assert state.step == 5 and int(optimizer.iterations) == 5
    state.network.load_weights(tmp_path / "model.weights.h5")
    for network in (model, state.network):
        for found, expected in zip(network.get_weights(), weights[5], strict=True):
            np.testing.assert_array_equal(found, expected)


DAMAGES = {"cut": lambda content: content[:99], "empty": lambda content: b"", "bits": lambda content: content[::-1]}


@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "bits"])
def test_a_damaged_newest_state_is_skipped(make, tmp_path, capsys, damage):
    weights = save_five(make)
    [data] = (tmp_path / STATE_FOLDER).glob("step-5.data-*")
    data.unlink() if damage == "gone" else data.write_bytes(DAMAGES[damage](data.read_bytes()))
    model, _, state = make()
    state.restore()
    assert state.step == 4 and "step-5 is skipped" in capsys.readouterr().err
    np.testing.assert_array_equal(model.get_weights()[0], weights[4][0])
    state.save(5, model.get_weights())
    again = make()[2]
    again.restore()
    assert again.step == 5


def test_states_that_cannot_be_used_are_errors_and_none_is_a_start(make, tmp_path):
    make()[2].restore()
    save_five(make)
    before = {path: path.read_bytes() for path in (tmp_path / STATE_FOLDER).iterdir()}
    with pytest.raises(InputError, match="step-5: is the state of another network"):
        make(width=3)[2].restore()
    assert before == {path: path.read_bytes() for path in (tmp_path / STATE_FOLDER).iterdir()}
    for path in (tmp_path / STATE_FOLDER).glob("step-*.data-*"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="no saved state can be read"):
        make()[2].restore()


def test_what_cannot_be_saved_is_one_line_and_leaves_earlier_states(make, tmp_path, monkeypatch):
    save_five(make)
    model, _, state = make()
    state.restore()

    def fail(self, checkpoint_number):
        (tmp_path / STATE_FOLDER / "step-6.data-00000-of-00001.tempstate17").write_bytes(b"part")
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.train.CheckpointManager, "save", fail)
    with pytest.raises(InputError, match="step 6 cannot be written .*No space left on device"):
        state.save(6, model.get_weights())
    monkeypatch.setattr(keras.Model, "save_weights", lambda self, path: open("/dev/full", "w").write("x" * 9999))
    with pytest.raises(InputError, match="model.weights.h5: cannot be written .*No space left"):
        state.save(7, model.get_weights())
    with pytest.raises(TrainingError, match="a weight is not finite at step 8"):
        state.save(8, [np.full_like(weight, np.nan) for weight in model.get_weights()])
    assert state.step == 5 and [step for step, _ in saved_states(tmp_path)] == [3, 4, 5]
    assert not list((tmp_path / STATE_FOLDER).glob("step-6*"))


@pytest.mark.parametrize("schedule, may", [("constant", True), ("step", True), ("cosine", False)])
def test_more_steps_are_fine_if_the_rate_does_not_depend_on_their_number(tmp_path, schedule, may):
    config = dataclasses.replace(preset("small", "tumor"), schedule=schedule, num_steps=10)
    states.write_settings(tmp_path, config, Settings(seed=1))
    (tmp_path / "model.weights.h5").touch()
    check_folder(tmp_path, config, Settings(seed=1))
    with pytest.raises(UsageError, match="seed is 1 there, 2 here"):
        check_folder(tmp_path, config, Settings(seed=2))
    with pytest.raises(UsageError, match="num_steps"):
        check_folder(tmp_path, dataclasses.replace(config, num_steps=9), Settings(seed=1))
    refused = pytest.raises(UsageError, match="num_steps is 10 there, 20 here; the rates of schedule=cosine")
    with contextlib.nullcontext() if may else refused:
        check_folder(tmp_path, dataclasses.replace(config, num_steps=20), Settings(seed=1))
    (tmp_path / "model.weights.h5").unlink()
    check_folder(tmp_path, config, Settings(seed=2))  # nothing was saved


def test_pretrained_weights_fit_the_architecture(tmp_path):
    config = tiny_configs()["kidney_axial"]
    folder, said = write_checkpoint(tmp_path / "there", {"kidney_axial": config}), []
    assert states.find_pretrained(str(folder), config, said.append) == folder / "kidney_axial"
    other = dataclasses.replace(config, clip_low_hu=-500.0, num_steps=7, batch_norm_momentum=0.5)
    assert not said and states.find_pretrained(str(folder), other, said.append)
    assert "clip_low_hu is -200.0 there, -500.0 here" in said[0]
    with pytest.raises(UsageError, match="pretrained: .*base_filters is 2 there, 4 here"):
        states.find_pretrained(str(folder), dataclasses.replace(config, base_filters=4), said.append)
    with pytest.raises(UsageError, match="pretrained: .* holds no kidney_coronal"):
        states.find_pretrained(str(folder), tiny_configs()["kidney_coronal"], said.append)


def test_the_float32_network_ignores_the_dtype_policy():
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        network = states.float32_network(tiny_configs()["tumor"])
        assert keras.mixed_precision.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in network._flatten_layers()} == {"float32"}
