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


def with_patients(rows, patients):
    return {"image": rows["image"] | {"patient": np.array(patients)}}


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


def test_patients_are_those_that_any_run_names(capsys):
    one = with_patients(table(NAMES), ["p1", "\0a", "\0b", "a long name", "\0c"])
    two = with_patients(table(NAMES), ["p1", "p1", "\0b", "\0b", "p3"])
    for tables in ([("one", one), ("two", two)], [("two", two), ("one", one)]):
        for rows in matched(tables, common=False):
            assert rows["image"]["patient"].tolist() == ["p1", "p1", "\0b", "a long name", "p3"]
    assert capsys.readouterr().out.splitlines()[:2] == [
        "note: one does not name the patients of 2 images; taken from two",
        "note: two does not name the patients of 1 image; taken from one",
    ]
    assert one["image"]["patient"][1] == "\0a"
    assert len(matched([("one", one), ("one again", one)], common=False)) == 2
    assert capsys.readouterr().out == ""


def test_runs_that_name_different_patients():
    one = with_patients(table(NAMES), ["p1", "p1", "p2", "p2", "\0c"])
    two = with_patients(table(NAMES), ["p1", "p1", "\0b", "p7", "p8"])
    two["image"] = {name: values[::-1] for name, values in two["image"].items()}
    with pytest.raises(BadInput) as error:
        matched([("one", one), ("two", two), ("one again", one)], common=False)
    assert str(error.value) == "two: names another patient than one for 1 image, such as b.2"
