"""The loop: what it computes, when it logs, and how a collapse shows in what it logs."""

import contextlib
import json
import math
import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from micle_tf import cli, monitors
from micle_tf.config import Pace
from micle_tf.data import cases, pipeline
from micle_tf.data.targets import is_labelled
from micle_tf.errors import Stopped
from micle_tf.models import resnet_encoder
from micle_tf.modes import pretrain
from micle_tf.training import loop as the_loop
from micle_tf.training import state
from tests.generated_cases import TINY
from tests.training.small_training import by_hand, train

SPEED = {"images_per_second", "images_per_second_per_device", "input_wait", "seconds"}


def logged(run, without=()):
    """The lines of metrics.jsonl, without the values named."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: v for name, v in line.items() if name not in without} for line in lines]


def in_tensorboard(run):
    """{step: {name: value}} of the scalars."""
    events, found = EventAccumulator(str(run), {"tensors": 0}).Reload(), {}
    for tag in events.Tags()["tensors"]:
        for event in events.Tensors(tag):
            value = tf.make_ndarray(event.tensor_proto)
            if value.shape == ():
                values = found.setdefault(event.step, {})
                assert tag not in values  # once each
                values[tag] = float(value)
    return found


def weights(run):
    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    names = [name for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    return {name: reader.get_tensor(name) for name in names}


@pytest.mark.parametrize("is_chief", [True, False])
def test_a_call_of_several_steps_ends_where_a_profile_does_on_every_worker(tmp_path, is_chief):
    run, training = SimpleNamespace(path=str(tmp_path)), SimpleNamespace(hooks=(), total_steps=40)
    training.validation = None
    pace = Pace(profile="3:5", log_every=10, steps_per_loop=8)
    hooks = the_loop._hooks(training, pace, run, contextlib.ExitStack(), is_chief)
    calendar = the_loop._calendar(training, pace, None, hooks)
    assert [calendar.steps_until_due(step, 8) for step in (1, 2, 5)] == [1, 3, 5]


@pytest.mark.parametrize("compiled", [False, True])
def test_training_by_hand(tmp_path, compiled):
    values = train(tmp_path / "run", 12, log_every=1, jit_compile=compiled)
    expected, matrix = by_hand(12)
    lines = logged(tmp_path / "run")
    assert [line["step"] for line in lines] == list(range(1, 13))
    np.testing.assert_allclose(
        [(line["loss"], line["gradient_norm"]) for line in lines], expected, rtol=2e-5
    )
    found = weights(tmp_path / "run")["optimizer/_trainable_variables/0/.ATTRIBUTES/VARIABLE_VALUE"]
    np.testing.assert_allclose(found, matrix, rtol=1e-5)
    assert values["steps"] == 12 and values["loss"] == lines[-1]["loss"]
    assert all(line["learning_rate"] == 0.1 and line["chance"] == 0.25 for line in lines)


@pytest.mark.parametrize("compiled", [False, True])
def test_several_steps_in_a_call_are_the_same_steps(tmp_path, compiled):
    """A call ends where something is due: the log each 7 steps, a checkpoint each 5."""
    settings = {"log_every": 7, "keep_checkpoints": 9, "jit_compile": compiled}
    for loop in (1, 4, 100):
        train(tmp_path / str(loop), 23, steps_per_loop=loop, **settings)
    one = logged(tmp_path / "1", SPEED)
    assert [line["step"] for line in one] == [1, 7, 14, 21, 23]
    for loop in ("4", "100"):
        assert logged(tmp_path / loop, SPEED) == one
        found, expected = weights(tmp_path / loop), weights(tmp_path / "1")
        assert found.keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
        saved = sorted(path.name for path in (tmp_path / loop).glob("checkpoints/ckpt-*.complete"))
        assert saved == sorted(f"ckpt-{step}.complete" for step in (0, 5, 10, 15, 20, 23))


@pytest.mark.parametrize("compiled", [False, True])
def test_a_resumed_training_logs_each_step_once(tmp_path, compiled):
    """It was stopped at step 13, after its checkpoint of step 10."""
    settings = {"log_every": 1, "jit_compile": compiled}
    train(tmp_path / "whole", 20, **settings)
    with pytest.raises(Stopped):
        train(tmp_path / "run", 20, spoil=nan_at(13), **settings)
    assert logged(tmp_path / "run")[-1]["step"] == 13
    train(tmp_path / "run", 20, **settings)
    whole = logged(tmp_path / "whole", SPEED)
    assert logged(tmp_path / "run", SPEED) == whole and len(whole) == 20
    shown = in_tensorboard(tmp_path / "run")
    assert sorted(shown) == list(range(1, 21))
    for line in whole:
        np.testing.assert_allclose(shown[line["step"]]["loss"], line["loss"], rtol=1e-6)


def nan_at(bad):
    """One nan among the inputs of the step after `bad` steps."""
    hole = np.where(np.arange(12).reshape(4, 3) == 7, np.nan, 0).astype(np.float32)
    return lambda x, step: tf.where(step == bad, x + hole, x)


@pytest.mark.parametrize("loop", [1, 4])
def test_what_is_not_finite_stops_the_run(tmp_path, loop):
    with pytest.raises(Stopped) as stopped:
        train(tmp_path / "nan", 20, steps_per_loop=loop, spoil=nan_at(7))
    assert str(stopped.value) == (
        "the loss is nan, its gradient's norm nan at step 8, learning rate 0.1; the last good "
        "checkpoint is of step 5. A lower --learning_rate often helps"
    )
    with pytest.raises(Stopped) as stopped:
        train(tmp_path / "high", 60, rate=1e4, steps_per_loop=loop)
    losses = [loss for loss, _ in by_hand(30, rate=1e4)[0]]
    first = next(step for step, loss in enumerate(losses, 1) if loss > np.finfo(np.float32).max)
    assert str(stopped.value).startswith("the loss is ")
    assert f" at step {first}, learning rate 1e+04; the last good checkpoint is of step " in str(
        stopped.value
    )
    for run, last in (("nan", 5), ("high", 5 * ((first - 1) // 5))):
        found = weights(tmp_path / run)
        assert all(np.isfinite(value).all() for value in found.values())
        assert (tmp_path / f"{run}/checkpoints/ckpt-{last}.complete").exists()
        assert [line["step"] for line in logged(tmp_path / run)] == [1]


# ------------------------------------------------------------ a pretraining's log


@pytest.fixture(scope="module")
def folder(small_set, tmp_path_factory):
    return shutil.copytree(small_set, tmp_path_factory.mktemp("loop") / "set")


def arguments(folder, name, *more):
    return [
        "--mode=pretrain", f"--manifest={folder / 'photos/cases.csv'}",
        f"--data_dir={folder / 'data'}",
        f"--model_dir={folder / name}", "--train_steps=4", "--log_every=1",
        "--checkpoint_every=1steps", "--keep_checkpoints=9", *TINY, *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_what_each_line_of_a_pretraining_says(folder):
    assert cli.main(arguments(folder, "run", "--knn_every=2steps")) == 0
    lines, shown = logged(folder / "run"), in_tensorboard(folder / "run")
    assert [line["step"] for line in lines] == sorted(shown) == [1, 2, 3, 4]
    always = {
        "step", "loss", "loss_of_chance", "contrastive_accuracy", "chance", "gradient_norm",
        "embedding_norm", "effective_rank", "learning_rate", "seconds",
    }  # fmt: skip
    speed = {"images_per_second", "images_per_second_per_device", "input_wait"}
    judged = {"validation/knn_accuracy"}
    assert [set(line) for line in lines] == [
        always, always | speed | judged, always | speed, always | speed | judged
    ]  # fmt: skip
    for line in lines:
        assert line["chance"] == 1 / 15 and line["loss_of_chance"] == math.log(15)
        assert 0 < line["loss"] < 20 and 0 <= line["contrastive_accuracy"] <= 1
        assert line["gradient_norm"] > 0 and line["embedding_norm"] > 0
        assert 1 <= line["effective_rank"] <= 16
        assert 0 <= line.get("input_wait", 0) <= 1
        assert line.get("images_per_second") == line.get("images_per_second_per_device")
        values = {name: value for name, value in line.items() if name not in ("step", "seconds")}
        assert shown[line["step"]] == pytest.approx(values, rel=1e-6)
    for step in (2, 4):
        expected = knn_accuracy(folder / "run", step)
        assert lines[step - 1]["validation/knn_accuracy"] == expected and 0 <= expected <= 1


def knn_accuracy(run, step):
    """Of the validation images by the training images, with the encoder of a checkpoint."""
    config, _ = state.read_config(str(run))
    encoder = resnet_encoder(10, 0.125, input_shape=(16, 16, 3))
    path = str(run / f"checkpoints/ckpt-{step}")
    tf.train.Checkpoint(encoder=encoder).read(path).expect_partial()
    data, found = cases.open_cases(config), []
    for split in ("train", "validation"):
        reader = data.open(split)
        images = np.concatenate(list(pipeline.image_dataset(reader, 7, 16).as_numpy_iterator()))
        known = is_labelled(reader.index.class_label)
        assert 0 < known.sum() < len(images)
        found += [encoder.predict(images[known], verbose=0), reader.index.class_label[known]]
    return monitors.knn_accuracy(*found)


def test_profile_beyond_the_run_is_refused(folder, capsys):
    assert cli.main(arguments(folder, "refused", "--profile=3:5")) == 2
    assert capsys.readouterr().err == "error: --profile=3:5: the run has 4 steps\n"
    assert not (folder / "refused").exists()


@pytest.mark.slow
def test_a_collapse_shows(folder, monkeypatch):
    """Without batch norm and with a rate far too high, all embeddings come to point one way."""
    monkeypatch.setattr(
        pretrain, "batch_norm", lambda *_: lambda name, **_: keras.layers.Identity(name=name)
    )
    flags = ["--optimizer=adam", "--learning_rate=1", "--warmup_epochs=0", "--train_steps=12"]
    assert cli.main(arguments(folder, "collapsed", *flags)) == 0
    for line in logged(folder / "collapsed")[4:]:
        assert abs(line["loss"] - line["loss_of_chance"]) < 1e-3 and line["effective_rank"] < 1.1
    for line in logged(folder / "run"):  # while one with batch norm does not
        assert line["effective_rank"] > 5
