"""The group of each row."""

import numpy as np

from micle_tf.statistics.attributes import UNKNOWN, assign, in_order


def test_a_number_belongs_to_the_group_from_its_cut_on():
    values = ["39.9", "40", " 59 ", "60", "1e3", "", "old", "nan", "inf", "-3"]
    assert assign(values, (40, 60)).tolist() == [
        "<40", "40-<60", "40-<60", ">=60", ">=60", *[UNKNOWN] * 4, "<40",
    ]  # fmt: skip
    assert assign(np.array(["7", "7.5"]), (7.5,)).tolist() == ["<7.5", ">=7.5"]


def test_a_text_is_its_own_group():
    assert assign(["F", " M", "", "  ", "m"]).tolist() == ["F", "M", UNKNOWN, UNKNOWN, "m"]
    assert assign(np.array([], str)).shape == assign([], (1.0,)).shape == (0,)
    assert assign([]).dtype.kind == assign(["x"], (1.0,)).dtype.kind == "U"


def test_groups_are_shown_by_their_cuts_or_the_alphabet_unknown_ones_last():
    labels = assign(["70", "", "12", "45", "99"], (9, 40, 60))
    assert in_order(labels, (9, 40, 60)) == ["9-<40", "40-<60", ">=60", UNKNOWN]
    assert in_order(["x", UNKNOWN, "a", "z", "x"]) == ["a", "x", "z", UNKNOWN]
