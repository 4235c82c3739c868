"""Proves what TensorBoard is given: losses, scores, the configuration, and a picture of one sample's panels."""

import types

import numpy as np
import tensorflow as tf

from kits_tf.training.board import FOLDER, Board, picture
from kits_tf.training.plain_copy import PlainCopy
from tests.training.tiny_runs import tiny_config


def test_panels_stand_side_by_side_and_show_the_middle_slice():
    image = np.zeros((1, 5, 4, 6, 1), np.float32)
    image[0, 2] = 0.25  # the middle of five slices
    outputs = {"logits": tf.zeros((1, 5, 4, 6, 1)), "regression": tf.fill((1, 5, 4, 6, 1), 7.0)}
    shown = picture(image, np.ones_like(image), outputs)
    assert shown.shape == (1, 4, 24, 1)
    expected = np.repeat([0.25, 1.0, 0.5, 1.0], 6)  # the last is clipped
    np.testing.assert_allclose(shown[0, :, :, 0], np.tile(expected, (4, 1)))


def test_a_slab_is_shown_by_its_centre():
    image = np.zeros((1, 4, 6, 3), np.float32)
    image[..., 1] = 0.75
    shown = picture(image, np.zeros((1, 4, 6, 1)), {"logits": tf.zeros((1, 4, 6, 1))})
    np.testing.assert_allclose(shown[0, 0, :, 0], np.repeat([0.75, 0.0, 0.5], 6))


def test_the_sample_with_most_foreground_is_shown(tmp_path):
    label = np.zeros((3, 16, 16, 1), np.float32)
    label[1, :4], label[2, :2] = 1, 1
    sample = {"slab": np.stack([np.full((16, 16, 3), value, np.float32) for value in (0.1, 0.2, 0.3)]), "label": label}
    board = Board(tmp_path, 0, {}, sample, PlainCopy(tiny_config()))
    np.testing.assert_allclose(board._picture()[0, :, :16, 0], 0.2, rtol=1e-6)
    board.close()


def test_everything_reaches_the_files(tmp_path):
    sample = {"slab": np.zeros((2, 16, 16, 3), np.float32), "label": np.zeros((2, 16, 16, 1), np.float32)}
    board = Board(tmp_path, 4, {"config": {"depth": 1}}, sample, PlainCopy(tiny_config()))
    board.losses(4, ["loss"], np.full((3, 1), 0.5, np.float32))
    board.scores(7, "kidney_dice", types.SimpleNamespace(means={7: 0.875}))
    board.saved(7)
    board.close()
    [path] = (tmp_path / FOLDER).iterdir()
    found = {}
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        found |= {value.tag: (event.step, tf.make_ndarray(value.tensor)) for value in event.summary.value}
    assert found["loss/loss"] == (7, np.float32(0.5)) and found["validation/kidney_dice"] == (7, np.float32(0.875))
    assert b'"depth": 1' in found["config"][1].tobytes() or b'"depth": 1' in found["config"][1].item()
    [name] = [name for name in found if name.startswith("input, label")]
    assert found[name][0] == 7 and found[name][1][2].startswith(b"\x89PNG")
