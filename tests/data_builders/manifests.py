"""What the tests of manifests share."""

import pytest

from data_builders.derm_cases.manifest import read_manifest
from data_builders.schema import BadData

GIF = bytes.fromhex("47494638396101000100800000000000ffffff2c00000000010001000002024401003b")


def read(text, **options):
    """Reads a manifest, cases.csv in the current folder, from its text."""
    with open("cases.csv", "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    return read_manifest("cases.csv", **options)


def expect_fault(text, message, **options):
    """Asserts that a manifest is refused with exactly this message."""
    with pytest.raises(BadData) as caught:
        read(text, **options)
    assert str(caught.value) == message


def cases_of(manifest):
    """{case_id: Case} of all splits."""
    return {case.case_id: case for cases in manifest.cases.values() for case in cases}


def split_of(manifest):
    """{case_id: split}."""
    return {case.case_id: split for split, cases in manifest.cases.items() for case in cases}
