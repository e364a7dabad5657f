"""Run directories: what is written, what is refused."""

import json

import keras
import numpy as np
import pytest

from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.training import state
from micle_tf.training.checkpoints import Checkpoints


def make_run(path, facts=None, **changes):
    return state.RunDirectory(str(path), Config(**changes), facts or {"replicas": 1})


def begin(run):
    with run.claimed() as status:
        return status


def test_fresh_unfinished_finished(tmp_path):
    run = make_run(tmp_path / "a" / "b")
    assert begin(run) == state.FRESH
    assert begin(run) == state.UNFINISHED
    run.finish(
        mode="pretrain",
        dataset="d",
        method="micle",
        steps=1,
        seconds=1.26,
        metrics={"loss": float("nan"), "x": 0.5},
        intervals={"x": [0.0, float("inf")]},
    )
    assert begin(run) == state.FINISHED
    result = state.read_result(run.path)
    assert result["metrics"] == {"loss": None, "x": 0.5}
    assert result["intervals"] == {"x": [0.0, None]} and result["seconds"] == 1.3


def test_other_facts_are_refused_by_name(tmp_path):
    begin(make_run(tmp_path / "run", {"replicas": 2, "data": "d-1"}))
    with pytest.raises(
        BadInput, match=r"another replicas \(2 there, 1 now\), data \(d-1 there, d-2 now\)"
    ):
        begin(make_run(tmp_path / "run", {"replicas": 1, "data": "d-2"}))


def test_fields_of_other_modes_are_not_compared(tmp_path):
    begin(make_run(tmp_path / "run", mode="linear_eval"))
    other = make_run(tmp_path / "run", mode="linear_eval", temperature=0.7, eval_batch_size=8)
    assert begin(other) == state.UNFINISHED
    with pytest.raises(BadInput, match="bootstrap_samples"):
        begin(make_run(tmp_path / "run", mode="linear_eval", bootstrap_samples=11))


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput, match="not empty, and not a run of ours"):
        begin(make_run(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_model_dir_that_cannot_be_one_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match=r"--model_dir=.*file: is a file"):
        begin(make_run(tmp_path / "file"))
    with pytest.raises(BadInput, match=r"--model_dir=.*file/below: cannot be written"):
        begin(make_run(tmp_path / "file" / "below"))


def test_a_run_killed_during_its_first_write_begins_again(tmp_path):
    (tmp_path / "unfinished-config.json").write_text('{"mo')
    assert begin(make_run(tmp_path)) == state.FRESH
    assert begin(make_run(tmp_path)) == state.UNFINISHED


def test_log_forgets_what_comes_after_the_checkpoint_and_what_was_cut_off(tmp_path):
    run = make_run(tmp_path / "run")
    begin(run)
    for step in (1, 5, 10):
        run.log(step, {"loss": step / 2}, 1.26)
    with open(run.file("metrics.jsonl"), "a", encoding="utf-8") as file:
        file.write('{"step": 1')
    run.forget_after(5)
    with open(run.file("metrics.jsonl"), encoding="utf-8") as file:
        assert [json.loads(line) for line in file] == [
            {"step": 1, "loss": 0.5, "seconds": 1.3}, {"step": 5, "loss": 2.5, "seconds": 1.3}
        ]  # fmt: skip


def test_log_is_json_where_a_metric_is_not_defined(tmp_path):
    run = make_run(tmp_path / "run")
    begin(run)
    run.log(3, {"loss": 0.5, "validation/image/auc_macro": float("nan")}, 2.0)
    with open(run.file("metrics.jsonl"), encoding="utf-8") as file:
        assert (
            file.read()
            == '{"step": 3, "loss": 0.5, "validation/image/auc_macro": null, "seconds": 2.0}\n'
        )
    assert run.last_logged() == {"step": 3, "loss": 0.5, "seconds": 2.0}


def test_config_survives_json():
    config = Config(seed=7, width_multiplier=0.375, columns="image=a", use_blur=False)
    assert Config.from_json(config.to_json()) == config
    assert Config.from_json('{"seed": 3, "of_a_later_version": 1}') == Config(seed=3)


def test_restore_refuses_other_shapes(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    save_model(tmp_path, encoder=model)
    same = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    state.restore_models(str(tmp_path), encoder=same)
    np.testing.assert_array_equal(same.weights[0], model.weights[0])
    name = state.identify_weights(state.chosen_checkpoint(str(tmp_path)))
    model.weights[0].assign_add(np.ones((3, 4)))
    save_model(tmp_path, encoder=model)
    assert (
        name.startswith("ckpt-7 (")
        and state.identify_weights(state.chosen_checkpoint(str(tmp_path))) != name
    )
    wider = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)])
    deeper = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(4)])
    for other in (wider, deeper):
        with pytest.raises(BadInput, match="weights of another model"):
            state.restore_models(str(tmp_path), encoder=other)
    with pytest.raises(BadInput, match="holds no checkpoint yet"):
        state.restore_models(str(tmp_path / "none"), encoder=same)


def save_model(path, **models):
    Checkpoints(str(path / "checkpoints"), models, 1, "").save(7)


def dense(*widths, names=None):
    names = names or [f"layer{number}" for number in range(len(widths))]
    layers = [keras.layers.Dense(w, name=name) for w, name in zip(widths, names, strict=True)]
    return keras.Sequential([keras.Input((3,)), *layers], name="encoder")


@pytest.mark.parametrize(
    "model, reason",
    [
        (dense(4, 5), "encoder/layer1/kernel is [4, 2] there, [4, 5] here, "
                      "encoder/layer1/bias is [2] there, [5] here"),
        (dense(6, 5, 3), "encoder/layer0/kernel is [3, 4] there, [3, 6] here, "
                         "encoder/layer0/bias is [4] there, [6] here, "
                         "encoder/layer1/kernel is [4, 2] there, [6, 5] here and 3 more tensors"),
        (dense(4, 2, 3), "encoder/layer2/kernel is not there, encoder/layer2/bias is not there"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_named(tmp_path, model, reason):
    save_model(tmp_path, encoder=dense(4, 2))
    with pytest.raises(BadInput) as error:
        state.restore_models(str(tmp_path), encoder=model)
    assert str(error.value) == f"--checkpoint={tmp_path}: weights of another model: {reason}"


def test_a_model_that_was_not_saved_is_named(tmp_path):
    save_model(tmp_path, encoder=dense(4, 2))
    head = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="logits")], name="head")
    with pytest.raises(BadInput, match="weights of another model: head/logits/kernel is not there"):
        state.restore_models(str(tmp_path), encoder=dense(4, 2), classifier=head)


def test_more_may_be_saved_than_is_asked_for(tmp_path):
    encoder, head = dense(4, 2), dense(1)
    save_model(tmp_path, encoder=encoder, projection_head=head)
    found = dense(4, 2)
    state.restore_models(str(tmp_path), encoder=found)
    for ours, theirs in zip(found.weights, encoder.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("left", [0, 40, -40])
def test_a_truncated_checkpoint_is_damaged(tmp_path, suffix, left):
    save_model(tmp_path, encoder=dense(400, 2))
    path = tmp_path / f"checkpoints/ckpt-7{suffix}"
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    with pytest.raises(BadInput) as error:
        state.restore_models(str(tmp_path), encoder=dense(400, 2))
    sizes = f"{len(whole[:left]):,} bytes of {len(whole):,}"
    assert str(error.value) == f"--checkpoint={tmp_path}: {path.name} is damaged: {sizes}"


def test_a_flipped_bit_is_damage(tmp_path):
    save_model(tmp_path, encoder=dense(400, 2))
    path = tmp_path / "checkpoints/ckpt-7.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput) as error:
        state.restore_models(str(tmp_path), encoder=dense(400, 2))
    assert str(error.value).startswith(f"--checkpoint={tmp_path}: ckpt-7 is damaged: ")
    assert "\n" not in str(error.value)


def test_the_best_checkpoint_is_the_chosen_one(tmp_path):
    save_model(tmp_path, encoder=dense(1))
    assert state.chosen_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoints/ckpt-7")
    (tmp_path / "checkpoints/best").mkdir()
    save_model(tmp_path / "checkpoints/best", encoder=dense(1))
    (tmp_path / "checkpoints/best/checkpoints").rename(tmp_path / "best")
    (tmp_path / "checkpoints/best").rmdir()
    (tmp_path / "best").rename(tmp_path / "checkpoints/best")
    best = str(tmp_path / "checkpoints/best/ckpt-7")
    assert state.chosen_checkpoint(str(tmp_path)) == best
    assert (
        state.describe_weights(str(tmp_path), "x/ckpt-7")
        == f"{tmp_path}, step 7 (of an unfinished run)"
    )
