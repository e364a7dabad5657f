"""Run directories: what is written, what is refused."""

import json

import keras
import numpy as np
import pytest

from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.training import state


def make_run(path, facts=None, **changes):
    return state.RunDirectory(str(path), Config(**changes), facts or {"replicas": 1})


def test_fresh_unfinished_finished(tmp_path):
    run = make_run(tmp_path / "a" / "b")
    assert run.begin() == state.FRESH
    assert run.begin() == state.UNFINISHED
    run.finish(mode="pretrain", dataset="d", method="micle", steps=1, seconds=1.26,
               metrics={"loss": float("nan"), "x": 0.5}, intervals={"x": [0.0, float("inf")]})  # fmt: skip
    assert run.begin() == state.FINISHED
    result = state.read_result(run.path)
    assert result["metrics"] == {"loss": None, "x": 0.5}
    assert result["intervals"] == {"x": [0.0, None]} and result["seconds"] == 1.3


def test_other_facts_are_refused_by_name(tmp_path):
    make_run(tmp_path / "run", {"replicas": 2, "data": "d-1"}).begin()
    with pytest.raises(
        BadInput, match=r"another replicas \(2 there, 1 now\), data \(d-1 there, d-2 now\)"
    ):
        make_run(tmp_path / "run", {"replicas": 1, "data": "d-2"}).begin()


def test_fields_of_other_modes_are_not_compared(tmp_path):
    make_run(tmp_path / "run", mode="linear_eval").begin()
    other = make_run(tmp_path / "run", mode="linear_eval", temperature=0.7, eval_batch_size=8)
    assert other.begin() == state.UNFINISHED
    with pytest.raises(BadInput, match="bootstrap_samples"):
        make_run(tmp_path / "run", mode="linear_eval", bootstrap_samples=11).begin()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput, match="not empty, and not a run of ours"):
        make_run(tmp_path).begin()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_model_dir_that_cannot_be_one_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="--model_dir=.*file: is a file"):
        make_run(tmp_path / "file").begin()
    with pytest.raises(BadInput, match="--model_dir=.*file/below: cannot be written"):
        make_run(tmp_path / "file" / "below").begin()


def test_a_run_killed_during_its_first_write_begins_again(tmp_path):
    (tmp_path / "config.json.tmp").write_text('{"mo')
    assert make_run(tmp_path).begin() == state.FRESH
    assert make_run(tmp_path).begin() == state.UNFINISHED


def test_log_forgets_what_comes_after_the_checkpoint_and_what_was_cut_off(tmp_path):
    run = make_run(tmp_path / "run")
    run.begin()
    for step in (1, 5, 10):
        run.log(step, {"loss": step / 2})
    with open(run.file("metrics.jsonl"), "a", encoding="utf-8") as file:
        file.write('{"step": 1')
    run.forget_after(5)
    with open(run.file("metrics.jsonl"), encoding="utf-8") as file:
        assert [json.loads(line) for line in file] == [
            {"step": 1, "loss": 0.5}, {"step": 5, "loss": 2.5}
        ]  # fmt: skip


def test_config_survives_json():
    config = Config(seed=7, width_multiplier=0.375, columns="image=a", use_blur=False)
    assert Config.from_json(config.to_json()) == config
    assert Config.from_json('{"seed": 3, "of_a_later_version": 1}') == Config(seed=3)


def test_damaged_config_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"seed":')
    for text in (b'{"seed":', b"[1]", b'{"mode": "cook"}', b"\xff\xfe"):
        (tmp_path / "config.json").write_bytes(text)
        with pytest.raises(BadInput, match="--checkpoint=.*: its config.json is damaged"):
            state.read_config(str(tmp_path))


def test_restore_refuses_other_shapes(tmp_path):
    import tensorflow as tf

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    checkpoint = tf.train.Checkpoint(encoder=model)
    tf.train.CheckpointManager(checkpoint, str(tmp_path / "checkpoints"), 1).save()
    same = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    state.restore_models(str(tmp_path), encoder=same)
    np.testing.assert_array_equal(same.weights[0], model.weights[0])
    name = state.identify_weights(str(tmp_path))
    model.weights[0].assign_add(np.ones((3, 4)))
    tf.train.CheckpointManager(checkpoint, str(tmp_path / "checkpoints"), 1).save(1)
    assert name.startswith("ckpt-1 (") and state.identify_weights(str(tmp_path)) != name
    wider = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)])
    deeper = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(4)])
    for other in (wider, deeper):
        with pytest.raises(BadInput, match="weights of another model"):
            state.restore_models(str(tmp_path), encoder=other)
    with pytest.raises(BadInput, match="holds no checkpoint yet"):
        state.restore_models(str(tmp_path / "none"), encoder=same)
