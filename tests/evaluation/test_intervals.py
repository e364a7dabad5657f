import functools
import math
import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from micle_tf.evaluation.intervals import bootstrap_interval, bootstrap_intervals
from micle_tf.evaluation.metrics import auc, classification_metrics


def accuracy(y_true, y_score):
    return np.mean(y_true == y_score.argmax(axis=1))


def slow_bootstrap(metric, y_true, y_score, groups, samples, seed):
    """The same interval the long way: a list of rows, group by group."""
    unique = sorted(set(groups.tolist()))
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(samples):
        rows = []
        for drawn in rng.choice(len(unique), size=len(unique)):
            rows += [i for i, group in enumerate(groups.tolist()) if group == unique[drawn]]
        value = metric(y_true[rows], y_score[rows])
        if not math.isnan(value):
            values.append(value)
    return np.percentile(values, 2.5), np.percentile(values, 97.5)


@pytest.mark.parametrize("strings", [False, True])
def test_equals_a_slow_loop(strings):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 60)
    p = rng.dirichlet(np.ones(4), 60)
    groups = rng.integers(0, 17, 60)
    if strings:
        groups = np.array([f"patient {g}" for g in groups])  # sorts otherwise than the numbers
    for seed in (0, 7):
        got = bootstrap_interval(accuracy, y, p, groups, samples=80, seed=seed)
        assert got == pytest.approx(slow_bootstrap(accuracy, y, p, groups, 80, seed), abs=1e-12)
        assert all(type(end) is float for end in got)


def test_resamples_without_a_value_are_ignored():
    rng = np.random.default_rng(1)
    y = np.arange(12) < 2  # two positives in two groups: often none is drawn
    score = rng.normal(size=12) + y
    groups = np.arange(12) // 2 + np.arange(12) % 2 * 10
    got = bootstrap_interval(auc, y, score, groups, samples=200, seed=3)

    def judge(y, s):
        return roc_auc_score(y, s) if len(set(y.tolist())) == 2 else math.nan

    assert got == pytest.approx(slow_bootstrap(judge, y, score, groups, 200, 3), abs=1e-12)
    never = bootstrap_interval(lambda y, s: math.nan, y, score, groups, samples=5)
    assert all(math.isnan(end) for end in never)


def test_metrics_share_resamples_and_a_class_may_be_missing_from_some():
    rng = np.random.default_rng(2)
    y = np.where(np.arange(50) == 0, 4, rng.integers(0, 4, 50))  # class 4 has a single row
    p = rng.dirichlet(np.ones(5), 50)
    groups = np.arange(50) // 3
    metrics = functools.partial(classification_metrics, class_names=list("abcde"))
    steps = []
    got = bootstrap_intervals(
        metrics, y, p, groups, samples=60, seed=5, progress=lambda *at: steps.append(at)
    )
    assert steps == [(i + 1, 60) for i in range(60)]
    assert list(got) == list(metrics(y, p))
    for name, interval in got.items():
        alone = slow_bootstrap(
            lambda y, p, name=name: metrics(y, p).get(name, math.nan), y, p, groups, 60, 5
        )
        assert interval == pytest.approx(alone, abs=1e-12)


def test_groups_are_resampled_whole():
    # Ten groups of 50 equal rows: the mean varies as that of 10 values, not of 500.
    value = np.repeat(np.arange(10.0), 50)
    groups = np.repeat(np.arange(10), 50)
    low, high = bootstrap_interval(lambda y, s: s.mean(), value, value, groups)
    row_low, row_high = bootstrap_interval(lambda y, s: s.mean(), value, value, np.arange(500))
    standard_error = np.std(np.arange(10)) / math.sqrt(10)
    assert high - low == pytest.approx(2 * 1.96 * standard_error, rel=0.1)
    assert row_high - row_low == pytest.approx(2 * 1.96 * standard_error / math.sqrt(50), rel=0.1)


def test_same_seed_same_interval_and_one_group_is_a_point():
    rng = np.random.default_rng(3)
    y, p = rng.integers(0, 3, 30), rng.dirichlet(np.ones(3), 30)
    groups = np.arange(30)
    first = bootstrap_interval(accuracy, y, p, groups, samples=50, seed=1)
    assert first == bootstrap_interval(accuracy, y, p, groups, samples=50, seed=1)
    assert first != bootstrap_interval(accuracy, y, p, groups, samples=50, seed=2)
    point = bootstrap_interval(accuracy, y, p, np.zeros(30, int), samples=10)
    assert point == (accuracy(y, p), accuracy(y, p))


def test_a_thousand_samples_from_seed_0_unless_stated():
    value = np.random.default_rng(6).normal(size=8)
    expected = slow_bootstrap(lambda y, s: y.mean(), value, value, np.arange(8), 1000, 0)
    steps = []
    got = bootstrap_intervals(
        lambda y, s: {"mean": y.mean()}, value, value, np.arange(8),
        progress=lambda *at: steps.append(at),
    )  # fmt: skip
    assert got == {"mean": pytest.approx(expected, abs=1e-12)} and steps[-1] == (1000, 1000)
    assert bootstrap_interval(lambda y, s: y.mean(), value, value, np.arange(8)) == got["mean"]


def test_one_sample_is_both_ends():
    value = np.random.default_rng(7).normal(size=8)
    low, high = bootstrap_interval(lambda y, s: y.mean(), value, value, np.arange(8), samples=1)
    drawn = np.random.default_rng(0).choice(8, size=8)
    assert low == high == pytest.approx(value[drawn].mean(), abs=1e-15)


@pytest.mark.parametrize(
    "n, samples, message",
    [
        (4, 10, "differ in length"),
        (0, 10, "no rows"),
        (5, 0, "samples=0"),
    ],
)
def test_bad_input(n, samples, message):
    rows = 0 if n == 0 else 5
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(
            accuracy, np.zeros(rows, int), np.zeros((rows, 2)), np.arange(n), samples=samples
        )


def test_a_thousand_samples_take_seconds():
    rng = np.random.default_rng(4)
    y, p = rng.integers(0, 8, 1000), rng.dirichlet(np.ones(8), 1000)
    metrics = functools.partial(classification_metrics, class_names=list("abcdefgh"))
    start = time.process_time()
    got = bootstrap_intervals(metrics, y, p, np.arange(1000) // 2)
    assert time.process_time() - start < 3  # 0.3 s when written
    low, high = got["top1"]
    assert low < metrics(y, p)["top1"] < high
