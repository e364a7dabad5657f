"""The configuration that a run directory keeps."""

import json

import pytest
import tensorflow as tf

from micle_tf import run_config
from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.training import state


def test_damaged_config_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"seed":')
    for text in (b'{"seed":', b"[1]", b'{"mode": "cook"}', b"\xff\xfe"):
        (tmp_path / "config.json").write_bytes(text)
        with pytest.raises(BadInput, match=r"--checkpoint=.*: its config.json is damaged"):
            state.read_config(str(tmp_path))


def write(folder, **facts):
    stated = json.loads(Config(seed=3, resnet_depth=18).to_json()) | facts
    kept = {name: value for name, value in stated.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))
    return str(folder)


def test_a_config_and_what_else_is_known_of_the_run(tmp_path):
    run = write(tmp_path, data="derm_cases/synthetic", targets={"names": ["a"]})
    config, facts = run_config.read_config(run)
    assert config == Config(seed=3, resnet_depth=18)
    assert facts == {"data": "derm_cases/synthetic", "targets": {"names": ["a"]}}


def test_a_directory_that_is_no_run(tmp_path):
    assert not run_config.is_run(str(tmp_path))
    with pytest.raises(BadInput) as caught:
        run_config.read_config(str(tmp_path), "--model_dir")
    assert str(caught.value) == f"--model_dir={tmp_path}: not a run directory (no config.json)"
    (tmp_path / "config.json").mkdir()  # nor is a folder of that name
    assert not run_config.is_run(str(tmp_path))


@pytest.mark.parametrize("name", ["mode", *run_config.ARCHITECTURE])
def test_what_weights_cannot_be_read_without_has_to_be_there(tmp_path, name):
    run = write(tmp_path, **{name: None})
    with pytest.raises(BadInput) as caught:
        run_config.read_config(run)
    assert str(caught.value) == f"--checkpoint={run}: its config.json is damaged (no {name} in it)"


def test_a_run_in_tensorflows_memory(tmp_path):
    run = f"ram://{tmp_path.name}"
    assert not run_config.is_run(run)
    text = Config(seed=7).to_json()
    tf.io.gfile.makedirs(run)
    with tf.io.gfile.GFile(f"{run}/config.json", "w") as file:
        file.write(text)
    assert run_config.is_run(run) and run_config.read_config(run) == (Config(seed=7), {})


@pytest.mark.parametrize(
    "path, reason",
    [
        ("runs/a[1]", "TensorFlow cannot read where there is a ["),
        ("runs/a*", "TensorFlow cannot read where there is a *"),
        ("runs/what?", "TensorFlow cannot read where there is a ?"),
        ("foo://bucket/run", "TensorFlow has no file system for foo://"),
    ],
)
def test_places_that_no_run_can_have(path, reason):
    with pytest.raises(BadInput) as caught:
        run_config.check_place(path, "--model_dir")
    assert str(caught.value) == f"--model_dir={path}: {reason}"


def test_places_that_a_run_can_have(tmp_path):
    for path in ("", "runs/a", str(tmp_path / "a b"), "ram://a/b"):
        assert run_config.check_place(path, "--model_dir") is None
