"""Networks are whole here."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def whole(whole_networks):
    pass
