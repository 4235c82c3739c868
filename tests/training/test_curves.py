"""Proves that curves are drawn from the files of a run, and what one point of them is."""

import numpy as np
import pytest

from kits_tf.training import curves


def test_a_point_is_the_mean_of_a_stretch():
    steps = np.arange(1.0, 3 * curves.POINTS + 2)  # one step more than three times the points
    found, values = curves.thinned(steps, 2 * steps)
    assert len(found) == curves.POINTS
    np.testing.assert_array_equal(found[:2], [2.0, 5.0])
    np.testing.assert_array_equal(values, 2 * found)


@pytest.mark.parametrize("validated", [False, True])
def test_the_picture_is_written(tmp_path, validated):
    (tmp_path / "history.csv").write_text("step,learning_rate,loss,dice\n1,0.1,0.9,0.8\n2,0.1,0.7,0.6\n")
    if validated:
        (tmp_path / "validation.csv").write_text("step,kidney_dice,case_00000\n2,0.5,0.5\n")
    assert curves.draw(tmp_path)
    assert (tmp_path / curves.NAME).read_bytes().startswith(b"\x89PNG")
