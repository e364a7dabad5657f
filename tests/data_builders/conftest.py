import pytest


@pytest.fixture
def image_folder(tmp_path, monkeypatch):
    """Puts the test in a folder with "images" a.png ... f.png, which hold their letter."""
    monkeypatch.chdir(tmp_path)
    for name in "abcdef":
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    return tmp_path
