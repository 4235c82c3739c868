"""Proves that states come back, that three are kept, and that a damaged newest one is skipped with a warning."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kits_tf.errors import InputError
from kits_tf.training.checkpoints import STATE_FOLDER, Checkpoints, saved_states


@pytest.fixture(name="make")
def maker(tmp_path):
    """make(width) -> (model, optimizer, Checkpoints) of one folder, freshly initialised."""

    def make(width=2):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(width)])
        optimizer = keras.optimizers.Adam(0.1)
        optimizer.build(model.trainable_variables)
        return model, optimizer, Checkpoints(tmp_path, {"model": model, "optimizer": optimizer})

    return make


def take_step(model, optimizer):
    optimizer.apply([np.ones(v.shape, np.float32) for v in model.trainable_variables], model.trainable_variables)


def save_five(make):
    """Saves after each of five steps; returns the weights after each."""
    model, optimizer, checkpoints = make()
    weights = {}
    for step in range(1, 6):
        take_step(model, optimizer)
        checkpoints.save(step)
        weights[step] = model.get_weights()
    return weights


def test_the_newest_state_comes_back_and_three_are_kept(make, tmp_path):
    weights = save_five(make)
    assert [step for step, _ in saved_states(tmp_path / STATE_FOLDER)] == [3, 4, 5]
    model, optimizer, checkpoints = make()
    assert checkpoints.restore() == 5
    assert int(optimizer.iterations) == 5
    for found, expected in zip(model.get_weights(), weights[5], strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "bits"])
def test_a_damaged_newest_state_is_skipped(make, tmp_path, capsys, damage):
    weights = save_five(make)
    [data] = (tmp_path / STATE_FOLDER).glob("step-5.data-*")
    content = data.read_bytes()
    if damage == "gone":
        data.unlink()
    else:
        flipped = bytes(byte ^ 255 for byte in content)
        data.write_bytes({"cut": content[: len(content) // 3], "empty": b"", "bits": flipped}[damage])
    model, optimizer, checkpoints = make()
    assert checkpoints.restore() == 4
    assert "step-5 is skipped" in capsys.readouterr().err
    np.testing.assert_array_equal(model.get_weights()[0], weights[4][0])
    assert int(optimizer.iterations) == 4
    take_step(model, optimizer)
    checkpoints.save(5)
    assert make()[2].restore() == 5


def test_a_state_that_can_be_read_again_is_not_gone_back_to(make, tmp_path, capsys):
    """The newest one is out of reach at one start, as on a busy share; the run has gone on without it since."""
    save_five(make)
    [data] = (tmp_path / STATE_FOLDER).glob("step-5.data-*")
    data.rename(tmp_path / "away")
    checkpoints = make()[2]
    assert checkpoints.restore() == 4 and "step-5 is skipped" in capsys.readouterr().err
    (tmp_path / "away").rename(data)
    checkpoints.save(4)  # not further: what counts is that it lies before the other
    assert make()[2].restore() == 4
    assert (tmp_path / STATE_FOLDER / "skipped-step-5.index").is_file(), "nothing is deleted"


def test_no_readable_state_is_an_error_and_none_is_a_start(make, tmp_path):
    assert make()[2].restore() == 0
    save_five(make)
    for path in (tmp_path / STATE_FOLDER).glob("step-*.data-*"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="no saved state can be read"):
        make()[2].restore()


def test_the_state_of_another_network_is_refused_and_left_alone(make, tmp_path):
    save_five(make)
    before = {path: path.read_bytes() for path in (tmp_path / STATE_FOLDER).iterdir()}
    with pytest.raises(InputError, match="step-5: is the state of another network .* another --checkpoint_dir"):
        make(width=3)[2].restore()
    assert before == {path: path.read_bytes() for path in (tmp_path / STATE_FOLDER).iterdir()}


def test_a_full_disk_is_one_line_and_leaves_the_states_before(make, tmp_path, monkeypatch):
    save_five(make)
    model, _, checkpoints = make()
    assert checkpoints.restore() == 5

    def fail(self, checkpoint_number):
        (tmp_path / STATE_FOLDER / "step-6.data-00000-of-00001.tempstate17").write_bytes(b"part")
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.train.CheckpointManager, "save", fail)
    with pytest.raises(InputError, match="step 6 cannot be written .*No space left on device"):
        checkpoints.save(6)
    assert not list((tmp_path / STATE_FOLDER).glob("step-6*"))
    monkeypatch.undo()
    assert make()[2].restore() == 5
