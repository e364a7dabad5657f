import pytest


@pytest.fixture
def no_cluster(monkeypatch):
    """As on a machine that is alone."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("SLURM_PROCID", raising=False)
