"""Labels that are needed: closed forms, a search on a fine grid, intervals with infinite ends."""

import itertools
import math

import numpy as np
import pytest

from micle_tf.statistics.label_efficiency import interval, needed

FRACTIONS = np.array([0.01, 0.1, 0.3, 1.0])


@pytest.mark.parametrize("wanted", [0.0101, 0.02, 0.1, 0.17, 0.3, 0.95, 1.0])
def test_is_exact_where_the_curve_is_linear_in_log_fraction(wanted):
    target = 0.9 + 0.05 * math.log(wanted)
    assert needed(FRACTIONS, 0.9 + 0.05 * np.log(FRACTIONS), target) == pytest.approx(
        wanted, rel=1e-12
    )


def test_by_hand():
    # Half of the way from 0.1 to 0.3 is their geometric mean.
    assert needed([0.1, 0.3], [0.6, 0.8], 0.7) == pytest.approx(math.sqrt(0.03), rel=1e-12)
    # A quarter of the way from 0.01 to 1.
    assert needed([0.01, 1.0], [0.0, 1.0], 0.25) == pytest.approx(10**-1.5, rel=1e-12)


@pytest.mark.parametrize("place", range(4))
def test_a_measured_value_is_reached_at_its_fraction_to_the_bit(place):
    values = [0.5, 0.6, 0.65, 0.9]
    assert needed(FRACTIONS, values, values[place]) == FRACTIONS[place]


def test_the_smallest_fraction_if_it_does_already_and_nan_if_none_does():
    values = [0.7, 0.8, 0.85, 0.9]
    assert needed(FRACTIONS, values, 0.2) == 0.01
    assert math.isnan(needed(FRACTIONS, values, 0.9 + 1e-9))
    assert math.isnan(needed(FRACTIONS, values, math.nan))


def test_a_curve_does_not_fall():
    # The running maximum is 0.5, 0.8, 0.8, 0.9.
    values = [0.5, 0.8, 0.2, 0.9]
    assert needed(FRACTIONS, values, 0.8) == 0.1
    assert needed(FRACTIONS, values, 0.85) == pytest.approx(math.sqrt(0.3), rel=1e-12)
    assert needed(FRACTIONS, [0.9, 0.1, 0.1, 0.1], 0.9) == 0.01


def test_what_is_not_known_is_left_out():
    values = [math.nan, 0.6, math.nan, 0.8]
    assert needed(FRACTIONS, values, 0.7) == needed([0.1, 1.0], [0.6, 0.8], 0.7)
    assert needed(FRACTIONS, values, 0.1) == 0.1
    assert math.isnan(needed(FRACTIONS, [math.nan] * 4, 0.1))


@pytest.mark.parametrize("seed", range(8))
def test_is_the_first_point_of_a_fine_grid_that_reaches_the_target(seed):
    rng = np.random.default_rng(seed)
    fractions = np.sort(rng.uniform(0.005, 1, 5))
    values, target = rng.normal(0.7, 0.1, 5), rng.normal(0.75, 0.1)
    grid = np.linspace(*np.log(fractions[[0, -1]]), 200_001)
    curve = np.interp(grid, np.log(fractions), np.maximum.accumulate(values))
    got, reached = needed(fractions, values, target), curve >= target
    if not reached.any():
        assert math.isnan(got)
    else:
        assert math.log(got) == pytest.approx(grid[reached.argmax()], abs=2 * (grid[1] - grid[0]))


@pytest.mark.parametrize("seed", range(5))
def test_more_is_never_reached_with_fewer_labels(seed):
    rng = np.random.default_rng(seed)
    values = rng.random(4)
    found = [needed(FRACTIONS, values, target) for target in np.linspace(0, values.max(), 50)]
    assert all(a <= b for a, b in itertools.pairwise(found))


@pytest.mark.parametrize("samples, skipped", [(1, 0), (41, 1), (200, 4), (1000, 24)])
@pytest.mark.parametrize("level", [0.6, 0.8, 1.0])
def test_an_interval_is_of_sorted_resamples(samples, skipped, level):
    """As many are outside at each end as are wholly below 2.5 %: floor(0.025 (samples - 1))."""
    rng = np.random.default_rng(samples)
    drawn = np.sort(rng.random((samples, 4)), axis=1)
    targets = rng.normal(level, 0.1, samples)
    found = [needed(FRACTIONS, *one) for one in zip(drawn, targets, strict=True)]
    found = sorted(math.inf if math.isnan(one) else one for one in found)
    assert interval(FRACTIONS, drawn, targets) == (found[skipped], found[-1 - skipped])


def test_ends_that_are_not_reached_are_infinite_and_never_nan():
    curves = np.tile([0.5, 0.6, 0.7, 0.8], (100, 1))
    for misses, low, high in [
        (0, 0.1, 0.1), (2, 0.1, 0.1), (3, 0.1, math.inf), (97, 0.1, math.inf),
        (98, math.inf, math.inf), (100, math.inf, math.inf),
    ]:  # fmt: skip
        targets = np.where(np.arange(100) < misses, 0.9, 0.6)
        assert interval(FRACTIONS, curves, targets) == (low, high), misses


def test_resamples_with_nan_are_left_out():
    rng = np.random.default_rng(0)
    drawn, targets = rng.random((60, 4)), rng.random(60)
    wanted = interval(FRACTIONS, drawn[10:], targets[10:])
    drawn[:6, 2], targets[6:10] = math.nan, math.nan
    assert interval(FRACTIONS, drawn, targets) == wanted
    assert all(map(math.isnan, interval(FRACTIONS, drawn[:10], targets[:10])))


def test_the_bootstrap_of_curve_and_target_together_keeps_what_they_share():
    """What is easy or hard about the patients of a resample moves both, and cancels out."""
    shared = np.random.default_rng(0).normal(0, 0.2, 500)
    drawn = 0.9 + 0.05 * np.log(FRACTIONS) + shared[:, None]
    targets = 0.9 + 0.05 * math.log(0.2) + shared
    assert interval(FRACTIONS, drawn, targets) == pytest.approx((0.2, 0.2), rel=1e-9)


@pytest.mark.parametrize(
    "fractions", [[], [[0.1, 1.0]], [0.0, 1.0], [0.1, 1.1], [0.1, 0.1], [1.0, 0.1], [0.1, math.nan]]
)
def test_fractions_that_are_none(fractions):
    with pytest.raises(ValueError, match="needed: fractions"):
        needed(fractions, np.zeros(np.shape(fractions)), 0.5)
    with pytest.raises(ValueError, match="interval: fractions"):
        interval(fractions, np.zeros((3, 2)), np.zeros(3))


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"needed: fractions \(4,\) and values \(3,\)"):
        needed(FRACTIONS, [0.1, 0.2, 0.3], 0.5)
    for drawn, targets in [((3, 3), 3), ((3, 4), 2), ((4,), 4)]:
        with pytest.raises(ValueError, match="interval: fractions"):
            interval(FRACTIONS, np.zeros(drawn), np.zeros(targets))
