"""The swap test against a loop over patients, and against all swaps that there are."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from micle_tf.evaluation import metrics
from micle_tf.statistics.permutation import swap_test


def rows_of(seed, num_groups=8, n=30):
    """(measure, scores of A, scores of B, groups); of unequal models."""
    rng = np.random.default_rng(seed)
    groups = np.append(np.arange(num_groups), rng.integers(0, num_groups, n - num_groups))
    y = rng.permutation(np.arange(n) < n // 3)
    a, b = rng.normal(size=n), rng.normal(size=n) + y
    return lambda scores: metrics.auc(y, scores), a, b, groups


def difference_of(measure, a, b, groups, swaps):
    """After the groups with a 1 have been swapped, row by row."""
    a, b = a.copy(), b.copy()
    for row, group in enumerate(groups.tolist()):
        if swaps[group]:
            a[row], b[row] = b[row], a[row]
    return abs(measure(b) - measure(a))


@pytest.mark.parametrize("on_ranks", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_equals_a_loop_and_comes_near_to_all_swaps(seed, on_ranks):
    measure, a, b, groups = rows_of(seed)
    p = swap_test(measure, a, b, groups, 2000, seed, on_ranks=on_ranks)
    if on_ranks:
        a, b = stats.rankdata(a), stats.rankdata(b)
    least = difference_of(measure, a, b, groups, [0] * 8) - 1e-9
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, 2, 8, dtype=bool) for _ in range(2000)]
    as_large = sum(difference_of(measure, a, b, groups, swaps) >= least for swaps in drawn)
    assert p == (as_large + 1) / 2001
    exact = np.mean(
        [
            difference_of(measure, a, b, groups, swaps) >= least
            for swaps in itertools.product([0, 1], repeat=8)
        ]
    )
    assert p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 2000))


def test_on_ranks_the_scale_of_a_model_does_not_count():
    measure, a, b, groups = rows_of(0)
    p = swap_test(measure, a, b, groups, 200, on_ranks=True)
    assert p == swap_test(measure, np.exp(a), 50 + 3 * b, groups, 200, on_ranks=True)
    assert p != swap_test(measure, np.exp(a), 50 + 3 * b, groups, 200)


def test_ranks_are_of_each_column():
    scores, b = np.array([[1.0, 30], [2, 20], [2, 10]]), np.arange(6.0).reshape(3, 2)
    seen = []

    def measure(scores):
        seen.append(scores)
        return 0.0

    swap_test(measure, scores, b, np.arange(3), 1, on_ranks=True)
    np.testing.assert_array_equal(seen[0], [[1, 3], [2.5, 2], [2.5, 1]])
    np.testing.assert_array_equal(seen[1], [[1, 1], [2, 2], [3, 3]])


def test_rows_of_a_patient_are_swapped_together_in_all_columns():
    groups = np.array(["y", "x", "y", "z", "x"])
    a, seen = np.zeros((5, 2)), []

    def measure(scores):
        seen.append(scores)
        return scores.sum()

    swap_test(measure, a, a + 1, groups, 50)
    for one, other in zip(seen[::2], seen[1::2], strict=True):
        np.testing.assert_array_equal(one + other, 1)
    for scores in seen:
        np.testing.assert_array_equal(scores[:, 0], scores[:, 1])
        assert scores[0, 0] == scores[2, 0] and scores[1, 0] == scores[4, 0]
    assert len({tuple(scores[:, 0]) for scores in seen}) == 2**3


def test_equal_models_differ_in_nothing():
    measure, a, _, groups = rows_of(1)
    assert swap_test(measure, a, a, groups, 20) == 1


def test_equal_differences_count_as_equal_whatever_is_rounded():
    # The two swaps of one group give a difference and its negative, summed in another order.
    values = np.array([0.1, 0.2, 0.3, 1e-9])
    orders = itertools.cycle([[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 1, 3]])

    def measure(scores):
        return float(sum(scores[next(orders)].tolist()))

    assert swap_test(measure, values, 7 * values, np.zeros(4), 50) == 1


def test_the_least_p_is_one_in_the_permutations_and_one():
    a, b = np.zeros(60), np.ones(60)
    assert swap_test(np.mean, a, b, np.arange(60), 199) == 1 / 200


@pytest.mark.parametrize("seed", range(2))
def test_without_a_difference_p_is_uniform(seed):
    rng = np.random.default_rng(seed)
    groups = np.arange(40) // 2
    of_patient = rng.normal(size=(400, 2, 20))[:, :, groups]
    p = [
        swap_test(np.mean, a, b, groups, 39, k)
        for k, (a, b) in enumerate(of_patient + rng.normal(size=(400, 2, 40)))
    ]
    for level in (0.05, 0.1, 0.25, 0.5):
        share = np.mean(np.array(p) <= level + 1e-9)
        assert share == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / 400))


def test_what_is_not_defined():
    _, a, b, groups = rows_of(2)
    assert math.isnan(swap_test(lambda scores: math.nan, a, b, groups, 5))
    observed = iter([0.0, 1.0])
    # A permutation that defines no difference does not speak against the hypothesis.
    assert swap_test(lambda scores: next(observed, math.nan), a, b, groups, 5) == 1


@pytest.mark.parametrize(
    "rows_of_b, rows_of_groups, permutations, message",
    [
        (3, 4, 5, r"scores \(4,\) and \(3,\) and groups \(4,\)"),
        (4, 3, 5, r"scores \(4,\) and \(4,\) and groups \(3,\)"),
        (4, 4, 0, "permutations=0, expected at least 1"),
    ],
)
def test_bad_input(rows_of_b, rows_of_groups, permutations, message):
    with pytest.raises(ValueError, match=message):
        swap_test(np.mean, np.zeros(4), np.zeros(rows_of_b), np.zeros(rows_of_groups), permutations)
