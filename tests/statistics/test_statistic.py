"""Statistics put together."""

import numpy as np
import pytest

from micle_tf.statistics.statistic import Statistic, difference, joined, selected, with_mean

ONCE = np.array([1])


def of_one_row(**values):
    return Statistic(tuple(values), lambda weights: weights[0] * np.array(list(values.values())))


def test_joined_says_one_after_the_other_under_a_prefix():
    both = joined(of_one_row(a=1.0, b=2.0), of_one_row(c=3.0), prefix="x/")
    assert both.names == ("x/a", "x/b", "x/c")
    np.testing.assert_array_equal(both(ONCE), [1, 2, 3])
    assert joined().names == () and len(joined()(ONCE)) == 0
    with pytest.raises(ValueError, match="a name is there twice"):
        joined(of_one_row(a=1.0), of_one_row(a=2.0))


def test_selected_are_some_in_the_order_asked():
    some = selected(of_one_row(a=1.0, b=2.0, c=3.0), ["c", "a"])
    assert some.names == ("c", "a")
    np.testing.assert_array_equal(some(2 * ONCE), [6, 2])
    assert len(selected(some, [])(ONCE)) == 0


def test_a_mean_of_all_stands_before_them():
    mean = with_mean(of_one_row(a=1.0, b=2.0, c=6.0), "mean")
    assert mean.names == ("mean", "a", "b", "c")
    np.testing.assert_array_equal(mean(ONCE), [3, 1, 2, 6])


def test_a_mean_of_some_stands_before_the_first_of_them():
    mean = with_mean(of_one_row(a=1.0, b=2.0, c=6.0), "mean", ["c", "b"])
    assert mean.names == ("a", "mean", "b", "c")
    np.testing.assert_array_equal(mean(ONCE), [1, 4, 2, 6])


def test_a_mean_is_not_defined_where_one_of_its_numbers_is_not_and_of_none():
    assert np.isnan(with_mean(of_one_row(a=1.0, b=np.nan), "mean")(ONCE)[0])
    assert with_mean(of_one_row(a=1.0, b=np.nan), "mean", ["a"])(ONCE)[0] == 1
    np.testing.assert_array_equal(with_mean(joined(), "mean")(ONCE), [np.nan])


def test_a_difference_is_what_the_second_has_more():
    more = difference(of_one_row(a=1.0, b=np.nan), of_one_row(a=3.0, b=2.0))
    assert more.names == ("a", "b")
    np.testing.assert_array_equal(more(2 * ONCE), [4, np.nan])
    with pytest.raises(ValueError, match="different names"):
        difference(of_one_row(a=1.0), of_one_row(b=1.0))
