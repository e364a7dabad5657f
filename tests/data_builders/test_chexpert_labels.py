"""The columns of findings of a CheXpert table, in whatever order a file has them."""

import random

import pytest

from data_builders import chexpert_labels as labels
from data_builders.reading.tables import Table
from data_builders.schema import BadData


def columns_of(tmp_path, header):
    path = tmp_path / "train.csv"
    path.write_text(",".join(header) + "\n" + "," * (len(header) - 1) + "\n")
    return labels.LabelColumns(Table(str(path)))


@pytest.mark.parametrize("shuffled", [False, True])
def test_values_are_in_our_order_whatever_the_file_has(tmp_path, shuffled):
    header = ["Path", *labels.FINDINGS]
    if shuffled:
        random.Random(0).shuffle(header)
    found = columns_of(tmp_path, header)
    stated = dict(
        zip(labels.FINDINGS, ["1.0", "1", "0.0", "0", "-1.0", "-1", *[""] * 8], strict=True)
    )
    fields = [stated.get(name, "a.jpg") for name in header]
    assert found.read("row 2", fields) == (1, 1, 0, 0, -1, -1) + (-2,) * 8
    assert found.read("row 3", list(fields)) is found.read("row 2", fields)  # once in memory
    blank = found.read("row 4", [""] * len(header))
    assert blank == labels.NOTHING_KNOWN == (-2,) * 14


@pytest.mark.parametrize("text", ["2", "yes", " 1", "1.00", "-2"])
def test_a_value_of_another_kind_is_named(tmp_path, text):
    found = columns_of(tmp_path, labels.FINDINGS)
    fields = [""] * 14
    fields[labels.FINDINGS.index("Edema")] = text
    with pytest.raises(BadData) as caught:
        found.read("t.csv row 7", fields)
    assert (
        str(caught.value) == f"t.csv row 7: column Edema holds {text}, expected 1, 0, -1 or blank"
    )


def test_a_finding_that_no_column_has(tmp_path):
    with pytest.raises(BadData, match=r"train.csv row 1: no column Fracture; it has No Finding, "):
        columns_of(tmp_path, [name for name in labels.FINDINGS if name != "Fracture"])


def test_names_that_others_use_are_names_of_ours():
    assert len(set(labels.FINDINGS)) == 14
    assert set(labels.COMPETITION) <= set(labels.FINDINGS)
    assert set(labels.SYNONYMS.values()) <= set(labels.FINDINGS)
    assert not set(labels.SYNONYMS) & set(labels.FINDINGS)
