"""The configuration that a run directory keeps."""

import pytest

from micle_tf.errors import BadInput
from micle_tf.training import state


def test_damaged_config_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"seed":')
    for text in (b'{"seed":', b"[1]", b'{"mode": "cook"}', b"\xff\xfe"):
        (tmp_path / "config.json").write_bytes(text)
        with pytest.raises(BadInput, match="--checkpoint=.*: its config.json is damaged"):
            state.read_config(str(tmp_path))
