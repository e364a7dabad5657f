"""Holm's adjustment against its definition as a procedure that rejects step by step."""

import math

import numpy as np
import pytest

from micle_tf.statistics import holm


def rejected(p, level):
    """The indices of those that Holm's procedure rejects at a level."""
    rejected, order = set(), sorted(range(len(p)), key=lambda i: p[i])
    for step, i in enumerate(order):
        if p[i] > level / (len(p) - step):
            break
        rejected.add(i)
    return rejected


@pytest.mark.parametrize("decimals", [6, 1])
@pytest.mark.parametrize("seed", range(5))
def test_is_the_lowest_level_at_which_a_test_is_rejected(seed, decimals):
    p = (np.random.default_rng(seed).random(7) ** 3).round(decimals).tolist()
    values = holm.adjusted(p)
    for level in (*np.linspace(0.0005, 0.9995, 1000), *values[values < 1] + 1e-12):
        assert {i for i in range(7) if values[i] <= level} == rejected(p, level)


def test_by_hand():
    np.testing.assert_allclose(holm.adjusted([0.01, 0.04, 0.03, 0.5]), [0.04, 0.09, 0.09, 0.5])
    np.testing.assert_allclose(holm.adjusted([0.6, 0.7]), [1, 1])
    np.testing.assert_allclose(holm.adjusted([0.02]), [0.02])
    assert holm.adjusted([]).shape == (0,)


def test_what_is_not_defined_stays_so_and_is_not_counted():
    values = holm.adjusted([math.nan, 0.01, math.nan, 0.02])
    np.testing.assert_allclose(values, [math.nan, 0.02, math.nan, 0.02])


def test_by_name():
    got = holm.adjusted_by_name({"b": 0.04, "a": 0.01, "c": math.nan})
    assert list(got) == ["b", "a", "c"] and math.isnan(got.pop("c"))
    assert got == {"b": pytest.approx(0.04), "a": pytest.approx(0.02)}


@pytest.mark.parametrize("p, message", [([1.1], "outside"), ([-0.1], "outside"), ([[0.1]], "m]")])
def test_bad_input(p, message):
    with pytest.raises(ValueError, match=message):
        holm.adjusted(p)
