"""Photos turned by TensorFlow as numpy turns them, and windows that find their way back."""

import numpy as np
import pytest
import tensorflow as tf

from data_builders.reading import upright
from micle_tf.data import orientation as orientations
from tests.kinds_of_images import ORIENTATIONS, picture, saved

STORED = picture(5, 8)


@pytest.mark.parametrize("turned", ORIENTATIONS)
@pytest.mark.parametrize("in_a_graph", [False, True])
def test_turned_as_numpy_turns(turned, in_a_graph):
    turn = tf.function(orientations.turn) if in_a_graph else orientations.turn
    expected = upright.turn(STORED, turned)
    np.testing.assert_array_equal(turn(tf.constant(STORED), tf.constant(turned)), expected)
    size = orientations.upright_size(tf.constant([5, 8]), tf.constant(turned))
    assert size.numpy().tolist() == list(expected.shape[:2])
    again = orientations.upright_size(size, tf.constant(turned))
    assert again.numpy().tolist() == [5, 8]  # its own inverse


@pytest.mark.parametrize("turned", ORIENTATIONS)
def test_every_window_of_the_upright_picture_is_found_in_the_stored_one(turned):
    whole = upright.turn(STORED, turned)
    high, wide = whole.shape[:2]
    windows = [
        (y, x, h, w)
        for y in range(0, high, 2) for x in range(0, wide, 3)
        for h in (1, high - y) for w in (1, wide - x)
    ]  # fmt: skip
    assert len(windows) >= 32
    for y, x, h, w in windows:
        found = orientations.stored_window(
            tf.constant([y, x, h, w]), tf.constant([high, wide]), tf.constant(turned)
        ).numpy()
        assert found.min() >= 0
        top, left, height, width = found
        part = STORED[top : top + height, left : left + width]
        np.testing.assert_array_equal(upright.turn(part, turned), whole[y : y + h, x : x + w])


def test_what_is_up_already_adds_nothing():
    image, size = tf.constant(STORED), tf.constant([5, 8])
    window = tf.constant([1, 2, 3, 4])
    assert orientations.turn(image, orientations.UPRIGHT) is image
    assert orientations.upright_size(size, orientations.UPRIGHT) is size
    assert orientations.stored_window(window, size, orientations.UPRIGHT) is window


@pytest.mark.parametrize("encoding", ["JPEG", "PNG"])
def test_marks_of_a_whole_batch_are_read_at_once(encoding):
    plain = saved(STORED, encoding)
    contents = [upright.marked(plain, turned) for turned in ORIENTATIONS]
    found = orientations.stored_orientation(tf.constant([contents, contents[::-1]]))
    assert found.dtype == tf.int32
    assert found.numpy().tolist() == [list(ORIENTATIONS), list(ORIENTATIONS)[::-1]]
    # EXIF alone is no mark, nor is one of another number.
    others = [saved(STORED, encoding, turned=6), plain, b"text" * 20]
    others.append(
        contents[5].replace(b"upright\0\x06", b"upright\0\x09").replace(b"upRt\x06", b"upRt\x09")
    )
    assert orientations.stored_orientation(tf.constant(others)).numpy().tolist() == [1] * 4
