"""Sub-groups against their rows alone, and the p of their gap where there is none and one."""

import math

import numpy as np
import pytest

from micle_tf.evaluation import metrics
from micle_tf.statistics import bootstrap
from micle_tf.statistics.attributes import SEVERAL, UNKNOWN
from micle_tf.statistics.auc import area
from micle_tf.statistics.counts import Ranking
from micle_tf.statistics.statistic import Statistic
from micle_tf.statistics.subgroups import _Exchange, _Rows, compare_groups


def auc_of(y, scores):
    ranking = Ranking(y == 1, scores, y >= 0)
    return Statistic(["auc"], lambda weights: np.array([area(ranking(weights))]))


def mean_of(values):
    return Statistic(["mean"], lambda weights: np.array([weights @ values / weights.sum()]))


def rows_of(seed, gap=0.0, num_patients=150):
    """(y, scores, labels, patients): a label a patient, b worse by a gap; one of three unknown."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(num_patients), rng.integers(1, 4, num_patients))
    labels = rng.choice(["a", "b", UNKNOWN], num_patients)[patients]
    y = (rng.random(num_patients) < 0.4).astype(int)[patients]
    scores = rng.normal(size=len(patients)) + (1.5 - gap * (labels == "b")) * y
    return y, scores, labels, patients


@pytest.mark.parametrize("seed", range(3))
def test_a_group_is_what_its_rows_alone_are(seed):
    y, scores, labels, patients = rows_of(seed)
    y[:5] = -1  # not known
    groups, gap = compare_groups(
        auc_of(y, scores), y, labels, patients, samples=60, permutations=1, seed=seed
    )
    assert list(groups) == ["a", "b", UNKNOWN]
    draws = list(bootstrap.weights_of(patients, 60, seed))
    resampled = {}
    for name, group in groups.items():
        there = (labels == name) & (y >= 0)

        def auc(weights, there=there):
            at = np.repeat(np.flatnonzero(there), weights[there])
            return metrics.auc(y[at] == 1, scores[at])

        assert (group.positives, group.negatives) == (
            (y[there] == 1).sum(),
            (y[there] == 0).sum(),
        )
        assert group.rows == (labels == name).sum() and group.reason == ""
        assert group.patients == len(set(patients[labels == name]))
        assert group.estimate.value == auc(np.ones(len(y), int))
        resampled[name] = np.array([auc(weights) for weights in draws])
        ends = np.percentile(resampled[name], (2.5, 97.5))
        assert (group.estimate.low, group.estimate.high) == tuple(ends)
    a, b = (groups[name].estimate.value for name in "ab")
    assert (gap.highest, gap.lowest) == (("a", "b") if a > b else ("b", "a"))
    assert gap.estimate.value == abs(a - b)
    ends = np.percentile(abs(resampled["a"] - resampled["b"]), (2.5, 97.5))
    assert (gap.estimate.low, gap.estimate.high) == tuple(ends)


def test_ten_positives_and_ten_negatives_are_needed():
    y = np.tile([1, 0], 30)
    labels = np.array(["a"] * 20 + ["b"] * 19 + ["c"] * 21)
    groups, gap = compare_groups(
        auc_of(y, np.arange(60.0)), y, labels, np.arange(60), samples=5, permutations=5
    )
    assert groups["a"].estimate and groups["c"].estimate and groups["b"].estimate is None
    assert groups["b"].reason == "10 positives and 9 negatives, 10 of each needed"
    assert {gap.highest, gap.lowest} == {"a", "c"}
    labels[labels == "c"] = "b"
    labels[:2] = "b"
    groups, gap = compare_groups(
        auc_of(y, np.arange(60.0)), y, labels, np.arange(60), samples=5, permutations=5
    )
    assert groups["a"].estimate is None and groups["b"].estimate and gap is None


def test_of_several_columns_the_one_with_least_counts():
    classes = np.repeat([0, 1, 2], 40)
    truth = np.eye(3, dtype=int)[classes]
    labels = np.array(["a", "b"])[np.where(classes == 2, np.arange(120) % 5 == 0, 1)]
    groups, gap = compare_groups(
        mean_of(np.arange(120.0)), truth, labels, np.arange(120), samples=5, permutations=5
    )
    assert (groups["a"].positives, groups["a"].negatives, groups["a"].rows) == (0, 0, 32)
    assert (groups["b"].positives, groups["b"].negatives) == (8, 48)
    assert gap is None


def test_the_gap_is_not_to_rows_of_unknown_label():
    y = np.tile([1, 0], 60)
    labels = np.repeat(["a", UNKNOWN, "b"], 40)
    values = np.repeat([1.0, 100, 3], 40)
    groups, gap = compare_groups(mean_of(values), y, labels, np.arange(120), samples=5)
    assert groups[UNKNOWN].estimate.value == 100
    assert (gap.highest, gap.lowest, gap.estimate.value) == ("b", "a", 2)
    labels[labels == "b"] = UNKNOWN
    assert compare_groups(mean_of(values), y, labels, np.arange(120), samples=5)[1] is None


def test_a_metric_that_is_not_defined_has_no_part_in_the_gap():
    y, labels = np.tile([1, 0], 60), np.repeat(["a", "b", "c"], 40)

    def mean_unless_a(weights):
        return np.array([np.nan if weights[:40].any() else weights.sum()])

    groups, gap = compare_groups(
        Statistic(["x"], mean_unless_a), y, labels, np.arange(120), samples=5, permutations=9
    )
    assert math.isnan(groups["a"].estimate.value) and groups["a"].estimate.dropped == 5
    assert (gap.highest, gap.lowest, gap.estimate.value) == ("c", "b", 0) and gap.p == 1


def exchanged(y, labels, patients, times=200):
    """Distinct label vectors, [times, n], of labels that are exchanged."""
    rows = _Rows.of(mean_of(np.zeros(len(y))), y, labels, patients)
    exchange, rng = _Exchange(rows), np.random.default_rng(0)
    return np.array(rows.names)[[exchange(rng) for _ in range(times)]]


def test_patients_of_one_label_exchange_it_whole_where_their_truth_is_alike():
    #  patient   0  0  1  2  2  3  4  5
    patients = [0, 0, 1, 2, 2, 3, 4, 5]
    y = np.array([1, 0, 1, 0, 0, 0, 1, 0])
    labels = np.array(["a", "a", "b", "c", "c", "d", UNKNOWN, "d"])
    drawn = exchanged(y, labels, patients)
    assert {tuple(one) for one in drawn[:, [0, 1, 2]]} == {("a", "a", "b"), ("b", "b", "a")}
    assert {tuple(one) for one in drawn[:, [3, 4, 5, 7]]} == {
        ("c", "c", "d", "d"), ("d", "d", "c", "d"), ("d", "d", "d", "c"),
    }  # fmt: skip
    assert set(drawn[:, 6]) == {UNKNOWN}


def test_in_patients_of_several_labels_rows_of_one_truth_exchange_them():
    patients = np.array([7, 7, 7, 7, 5, 5, 5, 9, 8])
    y = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0])
    labels = np.array(["a", "b", "a", "c", "a", UNKNOWN, "b", "a", "b"])
    drawn = exchanged(y, labels, patients)
    assert {"".join(one) for one in drawn[:, :2]} == {"ab", "ba"}
    assert {"".join(one) for one in drawn[:, 2:4]} == {"ac", "ca"}
    assert {tuple(one) for one in drawn[:, 4:7]} == {("a", UNKNOWN, "b"), ("b", UNKNOWN, "a")}
    assert {"".join(one) for one in drawn[:, 7:]} == {"ab", "ba"}
    assert len({"".join(one) for one in drawn}) == 2**4


def test_where_labels_vary_within_patients_those_of_one_label_need_as_many_rows():
    patients = np.array([0, 0, 1, 1, 2, 3, 4, 4])
    labels = np.array(list("aabbcdxy"))
    drawn = exchanged(np.zeros(8), labels, patients)
    assert {"".join(one) for one in drawn[:, :4]} == {"aabb", "bbaa"}
    assert {"".join(one) for one in drawn[:, 4:6]} == {"cd", "dc"}
    drawn = exchanged(np.zeros(6), labels[:6], patients[:6])
    assert {"".join(one) for one in drawn[:, :2]} == {"aa", "bb", "cc", "dd"}


def test_of_several_columns_patients_with_the_same_ones_positive_exchange():
    truth = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1]])
    drawn = exchanged(truth, np.array(list("abcde")), np.arange(5))
    assert len({tuple(one) for one in drawn}) == 4
    assert all(sorted(one[:2]) == ["a", "b"] and one[4] == "e" for one in drawn.tolist())


def test_p_is_the_share_of_permutations_with_as_large_a_gap():
    y, scores, labels, patients = rows_of(4)
    gap = compare_groups(auc_of(y, scores), y, labels, patients, samples=1, permutations=200)[1]
    rows = _Rows.of(auc_of(y, scores), y, labels, patients)
    exchange, rng = _Exchange(rows), np.random.default_rng(0)

    def gap_of(labels):
        a, b = (metrics.auc(y[labels == x] == 1, scores[labels == x]) for x in "ab")
        return abs(a - b)

    as_large = sum(
        gap_of(np.array(rows.names)[exchange(rng)]) >= gap_of(labels) - 1e-9 for _ in range(200)
    )
    assert gap.p == (as_large + 1) / 201


def test_a_gap_is_found():
    y, scores, labels, patients = rows_of(0, gap=1.4, num_patients=400)
    gap = compare_groups(auc_of(y, scores), y, labels, patients, samples=50, permutations=199)[1]
    assert gap.p == 1 / 200 and gap.estimate.value > 0.2
    views = np.random.default_rng(0).choice(["frontal", "lateral"], len(y))
    scores = scores - 2 * ((views == "lateral") & (y == 1))
    gap = compare_groups(auc_of(y, scores), y, views, patients, samples=50, permutations=199)[1]
    assert (gap.highest, gap.p) == ("frontal", 1 / 200)


@pytest.mark.parametrize("of_patients", [True, False])
def test_without_a_gap_p_is_uniform_although_prevalences_differ(of_patients):
    p = []
    for seed in range(300):
        rng = np.random.default_rng([7, seed])
        patients = np.repeat(np.arange(60), rng.integers(1, 4, 60))
        label = rng.choice(3, 60, p=(0.5, 0.3, 0.2))
        y = (rng.random(60) < np.array([0.4, 0.5, 0.6])[label]).astype(int)[patients]
        labels = np.array(["a", "b", "c"])[
            label[patients] if of_patients else rng.choice(2, len(y), p=(0.6, 0.4))
        ]
        values = rng.normal(size=len(y)) + rng.normal(size=60)[patients] + 2 * y
        mean = mean_of(values * y + 3 * values * (1 - y))
        gap = compare_groups(mean, y, labels, patients, samples=1, permutations=39, seed=seed)[1]
        if gap is not None:
            p.append(gap.p)
    assert len(p) > 200
    for level in (0.05, 0.1, 0.25, 0.5):
        share = np.mean(np.array(p) <= level + 1e-9)
        assert share == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / len(p)))


def test_progress_is_told():
    y, scores, labels, patients = rows_of(0)
    steps = []
    compare_groups(
        auc_of(y, scores), y, labels, patients, samples=3, permutations=2,
        progress=lambda *at: steps.append(at),
    )  # fmt: skip
    assert steps == [(k + 1, 5) for k in range(5)]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"labels": np.full(3, "a")}, r"truth \(4,\), labels \(3,\) and patients \(4,\)"),
        ({"truth": np.zeros((4, 1, 1))}, r"truth \(4, 1, 1\)"),
        ({"patients": np.zeros((4, 1))}, r"patients \(4, 1\)"),
        ({"statistic": Statistic(["a", "b"], lambda weights: np.zeros(2))}, "2 metrics"),
        ({"permutations": 0}, "permutations=0"),
        ({"samples": 0}, "samples=0"),
    ],
)
def test_bad_input(changes, message):
    arguments = {
        "statistic": mean_of(np.zeros(4)),
        "truth": np.zeros(4, int),
        "labels": np.full(4, "a"),
        "patients": np.arange(4),
    }
    with pytest.raises(ValueError, match=message):
        compare_groups(**arguments | changes)


def test_no_rows():
    with pytest.raises(ValueError, match="no rows"):
        compare_groups(mean_of(np.zeros(0)), np.zeros(0, int), np.zeros(0, str), np.zeros(0))


@pytest.mark.parametrize("apart", [UNKNOWN, SEVERAL])
def test_the_gap_is_between_groups_that_are_one(apart):
    y, scores, labels, patients = rows_of(0)
    options = {"samples": 20, "permutations": 20}
    groups, gap = compare_groups(auc_of(y, scores), y, labels, patients, **options)
    other = np.where(labels == UNKNOWN, apart, labels)
    found, same = compare_groups(auc_of(y, scores), y, other, patients, **options)
    assert same == gap and found[apart] == groups[UNKNOWN]


def test_a_group_of_one_patient_has_no_interval():
    rng = np.random.default_rng(0)
    patients = np.append(np.zeros(30, int), np.arange(1, 61))
    labels = np.where(patients == 0, "a", "b")
    y = np.arange(90) % 2
    groups, _ = compare_groups(
        auc_of(y, rng.normal(size=90)), y, labels, patients, samples=20, permutations=1
    )
    one, many = groups["a"].estimate, groups["b"].estimate
    assert 0 < one.value < 1 and math.isnan(one.low) and math.isnan(one.high)
    assert many.low < many.value < many.high
