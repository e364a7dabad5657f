"""The mode: data is prepared and described, or only checked."""

import pytest

from micle_tf.config import Config
from micle_tf.modes.prepare import prepare
from tests.generated_cases import write_cases


@pytest.mark.parametrize("dry_run", [False, True])
def test_prepared_or_only_checked(tmp_path, capsys, dry_run):
    manifest = write_cases(tmp_path / "photos", num_cases=12, classes=("oval", "ring"))
    data_dir = tmp_path / "data"
    prepare(Config.of_mode(
        "prepare", manifest=str(manifest), data_dir=str(data_dir), dry_run=dry_run
    ))  # fmt: skip
    said = capsys.readouterr().out
    assert "12 cases" in said and "oval" in said
    assert said.endswith("dry run: nothing was written\n") == dry_run
    assert data_dir.exists() != dry_run
