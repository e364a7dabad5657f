import numpy as np
import pytest

from micle_tf.models.heads import projection_head
from micle_tf.pretrained.contents import Source
from micle_tf.pretrained.heads import Head, classes_of, head_of, head_tensors, is_trained


def sources(shapes):
    return {name: Source(name, shape, name) for name, shape in shapes.items()}


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
def test_lists_what_the_head_is_built_of(num_layers):
    head = projection_head(num_layers, 5)
    head.build((None, 12))
    shapes = head_tensors(Head(num_layers, 5, 12))
    assert shapes == {weight.path: tuple(weight.shape) for weight in head.weights}
    assert head_of(sources(shapes), 12) == Head(num_layers, 5, 12)


def test_heads_that_are_none_of_ours():
    shapes = head_tensors(Head(2, 5, 12))
    assert head_of({}, 12) is None
    assert head_of(sources(shapes), 13) is None
    assert head_of(sources(shapes | {"projection_head/dense1/bias": (12,)}), 12) is None
    assert head_of(sources(shapes | {"projection_head/norm2/beta": (5,)}), 12) is None
    shapes.pop("projection_head/norm1/gamma")
    assert head_of(sources(shapes), 12) is None


def test_a_head_that_never_saw_a_batch():
    shapes = head_tensors(Head(2, 5, 12))
    start = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 1.0, "kernel": 0.3}
    arrays = {n: np.full(s, start[n.rpartition("/")[2]]) for n, s in shapes.items()}
    assert not is_trained(sources(shapes), arrays.__getitem__)
    arrays["projection_head/norm2/moving_mean"][3] = 1e-9
    assert is_trained(sources(shapes), arrays.__getitem__)


def test_classifiers():
    kernel, bias = "classifier/logits/kernel", "classifier/logits/bias"
    assert classes_of(sources({kernel: (12, 3), bias: (3,)})) == (12, 3)
    assert classes_of(sources({kernel: (12, 3)})) is None
    assert classes_of(sources({kernel: (12, 3), bias: (4,)})) is None
    assert classes_of({}) is None


def test_text_for_people():
    assert str(Head(1, 128, 2048)) == "1 layer, 2048 to 128"
    assert str(Head(3, 128, 2048)) == "3 layers, 2048 to 128"
