"""Rows of several runs in one order; what is said of rows that differ stands in test_compare."""

import numpy as np
import pytest

from micle_tf.errors import BadInput
from micle_tf.evaluation.matching import matched


def table(images, label=lambda image: len(image) % 2):
    """Rows of images named "case.number"."""
    ids = np.array([["image", image.partition(".")[0], "", image] for image in images])
    return {
        "image": {
            "ids": ids,
            "patient": ids[:, 1],
            "label": np.array([label(image) for image in images]),
            "score": np.array([[hash(image) % 97, k] for k, image in enumerate(images)]),
        }
    }


NAMES = ["a.1", "a.10", "b.1", "b.2", "c.100"]


def test_three_runs_come_into_the_order_of_the_first():
    tables = [("one", table(NAMES)), ("two", table(NAMES[::-1])), ("three", table(sorted(NAMES)))]
    parts = matched(tables, common=False)
    for rows in parts:
        assert rows["image"]["ids"][:, 3].tolist() == NAMES
        np.testing.assert_array_equal(rows["image"]["score"][:, 0], [hash(n) % 97 for n in NAMES])
    assert parts[1]["image"]["score"][:, 1].tolist() == [4, 3, 2, 1, 0]


def test_in_common_is_what_all_have(capsys):
    tables = [("one", table(NAMES[:4])), ("two", table(NAMES[1:])), ("three", table(NAMES[:3]))]
    parts = matched(tables, common=True)
    assert [rows["image"]["ids"][:, 3].tolist() for rows in parts] == [["a.10", "b.1"]] * 3
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_findings_are_the_same_where_all_of_them_are():
    label = lambda image: [len(image) % 2, -2]
    other = lambda image: [len(image) % 2, -1 if image == "b.2" else -2]
    tables = [("one", table(NAMES, label)), ("two", table(NAMES, other))]
    with pytest.raises(BadInput, match="in B 4 are the same, 1 have another label; --common"):
        matched(tables, common=False)
    assert len(matched(tables, common=True)[0]["image"]["label"]) == 4
