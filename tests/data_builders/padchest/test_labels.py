"""The label lists of PadChest's reports: what each says of the findings that are stored."""

import pytest

from data_builders.padchest import labels


@pytest.mark.parametrize("name", labels.FINDINGS)
def test_every_finding_is_stored_under_its_own_name(name):
    values = labels.LabelReader().read("row 2", f"['{name}']")
    assert values[labels.FINDINGS.index(name)] == 1
