"""The label lists of PadChest's reports: what each says of the findings that are stored."""

import pytest

from data_builders.padchest import labels
from data_builders.schema import BadData


@pytest.mark.parametrize("name", labels.FINDINGS)
def test_every_finding_is_stored_under_its_own_name(name):
    values = labels.LabelReader().read("row 2", f"['{name}']")
    assert values[labels.FINDINGS.index(name)] == 1


def test_names_are_read_whatever_their_case_and_blanks():
    reader = labels.LabelReader()
    plain = reader.read("row 2", "['pleural effusion']")
    assert reader.read("row 3", "['  Pleural   EFFUSION ', 'Unchanged']") == plain
    assert sum(plain) == 1 and set(plain) == {0, 1}
    assert reader.read("row 4", "['normal']") == (0,) * len(labels.FINDINGS)
    assert reader.read("row 5", "['exclude']") == (-2,) * len(labels.FINDINGS)


def test_a_finer_name_counts_for_all_above_it():
    reader = labels.LabelReader()
    for finding, finer in labels._KINDS.items():
        for name in finer:
            assert reader.read("row 2", f"['{name}']")[labels.FINDINGS.index(finding)] == 1
    both = reader.read("row 3", "['hydropneumothorax']")
    named = {name for name, value in zip(labels.FINDINGS, both, strict=True) if value == 1}
    assert named == {"pleural effusion", "pneumothorax"}
    assert "hydropneumothorax" not in reader.others


def test_what_is_not_stored_is_counted_each_time_it_is_read():
    reader = labels.LabelReader()
    assert reader.note() == ""
    for _ in range(1200):
        reader.read("row 2", "['goiter', 'mass']")
    reader.read("row 3", "['goiter', 'nsg tube', 'normal', 'unchanged']")
    assert dict(reader.others) == {"goiter": 1201, "nsg tube": 1}
    assert reader.note() == (
        "labels in no finding that is stored: 2; most images: goiter (1,201), nsg tube (1)"
    )


@pytest.mark.parametrize("cell", ["goiter", "('goiter',)", "[1]", "{'goiter'}", "[['goiter']]"])
def test_a_cell_that_is_no_list_of_texts(cell):
    with pytest.raises(BadData) as caught:
        labels.LabelReader().read("t.csv row 9", cell)
    assert str(caught.value) == (
        f"t.csv row 9: column Labels holds {cell}, expected a list as "
        "['cardiomegaly', 'pleural effusion'] or blank"
    )


def test_names_of_other_sets_are_names_of_ours():
    assert list(labels.FINDINGS) == sorted(set(labels.FINDINGS)) and len(labels.FINDINGS) == 35
    assert set(labels.SYNONYMS.values()) <= set(labels.FINDINGS)
    assert set(labels._KINDS) <= set(labels.FINDINGS)
    assert labels.DEFAULT_FINDINGS == (
        "atelectasis", "cardiomegaly", "consolidation", "pulmonary edema", "pleural effusion",
    )  # fmt: skip
