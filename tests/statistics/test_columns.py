"""Classes and findings as columns of questions."""

import numpy as np
import pytest

from micle_tf.statistics.columns import (
    Columns,
    Key,
    OfColumns,
    certainty_of_classes,
    certainty_of_findings,
)

P = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]])


def test_classes_by_hand_of_equal_ones_the_higher_index_is_decided_for():
    columns = Columns.of_classes(np.array([1, 0]), P, "abc")
    assert columns.names == ("a", "b", "c") and len(columns) == 3
    np.testing.assert_array_equal(columns.truths, [[0, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(columns.decisions, [[0, 1, 0], [0, 1, 0]])
    assert columns.known.all()
    certainty = certainty_of_classes(columns)
    assert certainty.names == ("",)
    np.testing.assert_array_equal(certainty.truths, [[True], [False]])
    np.testing.assert_array_equal(certainty.scores, [[0.5], [0.4]])


def test_findings_by_hand_decided_from_one_half_on():
    columns = Columns.of_findings(np.array([[1, -1, 0], [0, 1, -2]]), P, "abc")
    np.testing.assert_array_equal(columns.truths, [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(columns.known, [[1, 0, 1], [1, 1, 0]])
    np.testing.assert_array_equal(columns.decisions, [[0, 1, 0], [0, 0, 0]])
    certainty = certainty_of_findings(columns)
    np.testing.assert_array_equal(certainty.truths[0, [0, 2]], [False, True])
    np.testing.assert_array_equal(certainty.scores, [[0.8, 0.5, 0.7], [0.6, 0.6, 0.8]])
    np.testing.assert_array_equal(certainty.known, columns.known)


def test_only_some_of_them_in_the_order_asked():
    columns = Columns.of_classes(np.array([1, 0]), P, "abc").only(["c", "a"])
    assert columns.names == ("c", "a")
    np.testing.assert_array_equal(columns.scores, P[:, [2, 0]])


def test_numbers_are_named_metric_by_metric():
    columns = Columns.of_classes(np.array([1, 0]), P[:, :2], "ab")
    statistic = OfColumns(columns, [("x", ""), ("y", "@z=1")], lambda w: np.outer([1, 10], [1, 2]))
    assert statistic.names == ("x/a", "x/b", "y/a@z=1", "y/b@z=1")
    np.testing.assert_array_equal(statistic(np.ones(2, int)), [1, 2, 10, 20])
    assert Key("x", "", "@z=1").name == "x@z=1"


@pytest.mark.parametrize(
    ("y", "p", "names", "message"),
    [
        ([0, 1], np.zeros((3, 2)), "ab", "expected"),
        ([], np.zeros((0, 2)), "ab", "no rows"),
        ([0, 1], np.zeros((2, 2)), "aa", "1 of them distinct"),
        ([0, 1], np.zeros((2, 2)), "a", "1 names"),
        ([0.0, 1.0], np.zeros((2, 2)), "ab", "expected integers"),
        ([0, 2], np.zeros((2, 2)), "ab", "expected 0 to 1"),
        ([0, -3], np.zeros((2, 2)), "ab", "expected"),
        ([0, 1], np.full((2, 2), np.nan), "ab", "nan or outside"),
        ([0, 1], np.full((2, 2), 1.5), "ab", "nan or outside"),
    ],
)
def test_what_does_not_fit_is_refused(y, p, names, message):
    with pytest.raises(ValueError, match=f"of_classes.*{message}"):
        Columns.of_classes(np.array(y), p, names)
    findings = np.repeat(np.array(y)[:, None], 2, axis=1)
    with pytest.raises(ValueError, match=f"of_findings.*{message.replace('0 to', '-2 to')}"):
        Columns.of_findings(findings, p, names)
