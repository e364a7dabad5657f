"""Weights of others serve every stage: on made-up ones, whose outputs are computed in plain
TensorFlow by `originals`."""

import contextlib
import json
import pathlib
import shutil
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from micle_tf import cli
from micle_tf.models.heads import projection_head
from micle_tf.models.resnet import resnet_encoder
from micle_tf.training import state
from tests.pretrained.originals import Original, images, tf1_names, write_checkpoint, write_tf1

pytestmark = pytest.mark.usefixtures("whole_networks")

ROOT = pathlib.Path(__file__).parents[2]
SIDE = 40
LINE = "weights: published-"


@pytest.fixture(scope="module")
def net():
    return Original(10, head=3, classes=4)


@pytest.fixture(scope="module")
def weights(net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "published"
    write_checkpoint(folder, net)
    return str(folder)


def words(small_set, weights, *more, mode="pretrain"):
    data = [f"--manifest={small_set / 'photos/cases.csv'}", f"--data_dir={small_set / 'data'}"]
    sizes = {"pretrain": ["--train_batch_size=4", "--train_steps=2"],
             "finetune": ["--train_batch_size=4", "--train_steps=2", "--bootstrap_samples=10"],
             "linear_eval": ["--bootstrap_samples=10"]}  # fmt: skip
    size = [f"--image_size={SIDE}", "--preset=paper"]
    return [f"--mode={mode}", *data, f"--checkpoint={weights}", *size, *sizes[mode], *more]


def of_step_0(run, net, head=True):
    """(features, embeddings) of the models in a run's checkpoint of step 0."""
    encoder = resnet_encoder(10, 1 / 16, input_shape=(SIDE, SIDE, 3), name="encoder")
    models = {"encoder": encoder}
    if head:
        models["projection_head"] = projection_head(
            3, net.outputs(images())["proj_head_output"].shape[-1]
        )
        models["projection_head"].build(encoder.output_shape)
    tf.train.Checkpoint(**models).restore(f"{run}/checkpoints/ckpt-0").expect_partial()
    features = encoder(images(SIDE), training=False)
    return features, models["projection_head"](features, training=False) if head else None


def close(found, expected):
    assert np.abs(np.asarray(found) - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_pretraining_begins_with_encoder_and_head(small_set, weights, tmp_path, *, net, capsys):
    run = tmp_path / "run"
    more = ["--method=micle", "--keep_checkpoints=9", "--checkpoint_every=1steps"]
    assert cli.main(words(small_set, weights, *more, f"--model_dir={run}")) == 0
    said = capsys.readouterr().out
    assert LINE in said and "encoder and projection head of a ResNet-10 0.0625x came in" in said
    assert "left out: classifier (4 outputs" in said
    features, embeddings = of_step_0(run, net)
    expected = net.outputs(images(SIDE))
    close(features, expected["final_avg_pool"])
    close(embeddings, expected["proj_head_output"])
    facts = json.loads((run / "config.json").read_text())
    assert facts["weights"].startswith("published-") and facts["num_proj_layers"] == 3


@pytest.mark.parametrize(
    "more, layers", [(["--num_proj_layers=2"], 2), (["--new_projection_head"], 3)]
)
def test_a_new_head_is_said(small_set, weights, tmp_path, *, net, capsys, more, layers):
    run = tmp_path / "run"
    keep = ["--keep_checkpoints=9", "--checkpoint_every=1steps", f"--model_dir={run}"]
    assert cli.main(words(small_set, weights, *more, *keep)) == 0
    said = capsys.readouterr().out
    line = next(line for line in said.splitlines() if line.startswith(LINE))
    assert "projection head (3 layers" in line.partition("left out: ")[2]
    assert line.count("new: projection head") == 1
    features, _ = of_step_0(run, net, head=False)
    close(features, net.outputs(images(SIDE))["final_avg_pool"])
    assert json.loads((run / "config.json").read_text())["num_proj_layers"] == layers


@pytest.mark.slow
def test_finetune_linear_eval_and_export(small_set, weights, tmp_path, *, net, capsys):
    run = tmp_path / "tuned"
    keep = ["--ft_proj_selector=1", "--keep_checkpoints=9", "--checkpoint_every=1steps"]
    assert cli.main(words(small_set, weights, *keep, f"--model_dir={run}", mode="finetune")) == 0
    assert "encoder and projection head" in capsys.readouterr().out
    features, _ = of_step_0(run, net, head=False)
    expected = net.outputs(images(SIDE))["final_avg_pool"]
    close(features, expected)
    assert cli.main(["--mode=evaluate", f"--checkpoint={run}", "--bootstrap_samples=10"]) == 0

    linear = tmp_path / "linear"
    assert cli.main(words(small_set, weights, f"--model_dir={linear}", mode="linear_eval")) == 0
    assert "encoder of a ResNet-10" in capsys.readouterr().out
    stored = np.load(linear / "features-test.npy")
    assert stored.shape[1] == expected.shape[1] and stored.std() > 0
    # A fine-tuning goes on from a linear evaluation too.
    after = words(small_set, linear, f"--model_dir={tmp_path}/after", mode="finetune")
    assert cli.main(after) == 0

    exported = ["--mode=export", f"--checkpoint={weights}", f"--model_dir={tmp_path}/out"]
    assert cli.main([*exported, f"--image_size={SIDE}"]) == 0
    capsys.readouterr()
    encoder = keras.saving.load_model(tmp_path / "out/model.keras")
    close(encoder(images(SIDE), training=False), expected)
    card = (tmp_path / "out/MODEL_CARD.md").read_text()
    assert "published-" in card
    # What was exported comes in again.
    again = words(small_set, tmp_path / "out/model.keras", f"--model_dir={tmp_path}/again")
    assert cli.main(again) == 0
    assert "came in" in capsys.readouterr().out


def test_a_run_goes_on_without_its_source(small_set, weights, tmp_path, capsys):
    source = tmp_path / "copy" / "published"
    shutil.copytree(weights, source)
    command = words(small_set, source, "--checkpoint_every=1steps", f"--model_dir={tmp_path}/run")
    command[command.index("--train_steps=2")] = "--train_steps=4"
    assert cli.main(command) == 0
    whole = weights_of(tmp_path / "run", 4)
    for path in (tmp_path / "run/checkpoints").glob("ckpt-4*"):
        path.unlink()
    (tmp_path / "run/result.json").unlink()
    shutil.rmtree(source)
    capsys.readouterr()
    assert cli.main(command) == 0
    assert "resumed at step 3" in capsys.readouterr().out
    again = weights_of(tmp_path / "run", 4)
    for name, value in whole.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)
    assert cli.main([*command[:-1], f"--model_dir={tmp_path}/other"]) == 2
    assert "not a run directory" in capsys.readouterr().err


def weights_of(run, step):
    reader = tf.train.load_checkpoint(f"{run}/checkpoints/ckpt-{step}")
    names = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in names if "/.ATTRIBUTES/VARIABLE" in name}


@pytest.mark.slow
def test_killed_from_weights_of_others_and_going_on(small_set, weights, tmp_path):
    command = words(small_set, weights, "--checkpoint_every=1steps", f"--model_dir={tmp_path}/run")
    command[command.index("--train_steps=2")] = "--train_steps=12"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run.py"), *command], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    with contextlib.ExitStack() as stack:
        stack.callback(process.wait)
        stack.callback(process.kill)
        while not list((tmp_path / "run/checkpoints").glob("ckpt-3.complete")):
            assert process.poll() is None
            time.sleep(0.02)
    assert cli.main(command) == 0
    assert cli.main([*command[:-1], f"--model_dir={tmp_path}/whole"]) == 0
    killed, whole = (weights_of(tmp_path / name, 12) for name in ("run", "whole"))
    assert killed.keys() == whole.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(killed[name], value, err_msg=name)


def test_version_1_with_kernels_brought_to_scale(small_set, tmp_path, capsys):
    net = Original(10, head=2)
    for layer in net.convs:
        layer.kernel.assign(16 * layer.kernel)
    for layer in net.norms:  # of the same network
        layer.moving_mean.assign(16 * layer.moving_mean)
        layer.moving_variance.assign(256 * layer.moving_variance)
    path = write_tf1(tmp_path / "published", tf1_names(net))
    run = tmp_path / "run"
    more = ["--rescale_kernels", "--keep_checkpoints=9", "--checkpoint_every=1steps"]
    assert cli.main(words(small_set, path, *more, f"--model_dir={run}")) == 0
    assert "kernels: rescaled by 0.0" in capsys.readouterr().out
    features, _ = of_step_0(run, net, head=False)
    expected = net.outputs(images(SIDE))["final_avg_pool"]
    assert np.abs(np.asarray(features) - expected).max() < 0.01 * np.abs(expected).max()


def test_runs_of_ours_go_on_whatever_their_head(small_set, tmp_path, capsys):
    """SimCLR with two layers, MICLe with three; MICLe from a classifier; its features stay."""
    data = [f"--manifest={small_set / 'photos/cases.csv'}", f"--data_dir={small_set / 'data'}"]
    tiny = ["--image_size=16", "--resnet_depth=10", "--width_multiplier=0.125", "--preset=paper"]
    few = ["--train_steps=1", "--bootstrap_samples=10", "--train_batch_size=4"]
    run = lambda mode, name, *flags: cli.main(
        [f"--mode={mode}", *flags, f"--model_dir={tmp_path / name}",
         *(few if mode == "finetune" else [few[0], few[2]])]
    )  # fmt: skip
    assert run("pretrain", "two", *data, *tiny, "--method=simclr") == 0
    capsys.readouterr()
    assert run("pretrain", "three", f"--checkpoint={tmp_path}/two", "--num_proj_layers=3") == 0
    assert "two, step 1: encoder came in; left out: projection head; new: " in (
        capsys.readouterr().out
    )
    assert run("finetune", "tuned", f"--checkpoint={tmp_path}/three") == 0
    assert "three, step 1: encoder came in; left out: projection head\n" in capsys.readouterr().out
    assert run("pretrain", "micle", f"--checkpoint={tmp_path}/tuned", "--method=micle") == 0
    line = "tuned, step 1: encoder came in; left out: classifier; new: projection head\n"
    assert line in capsys.readouterr().out
    assert state.read_result(str(tmp_path / "micle"))["method"] == "micle"


def test_a_linear_evaluation_goes_on_without_its_source(small_set, weights, tmp_path, capsys):
    source = tmp_path / "copy" / "published"
    shutil.copytree(weights, source)
    command = words(small_set, source, f"--model_dir={tmp_path}/run", mode="linear_eval")
    assert cli.main(command) == 0
    whole = (tmp_path / "run/predictions.csv").read_bytes()
    shutil.rmtree(source)
    capsys.readouterr()
    assert cli.main(command) == 0
    assert "finished before" in capsys.readouterr().out
    for name in ("result.json", "features-test.npy", "head.keras"):
        (tmp_path / "run" / name).unlink()
    assert cli.main(command) == 0
    assert (tmp_path / "run/predictions.csv").read_bytes() == whole


def test_the_default_place_is_found_without_the_source(small_set, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(weights, tmp_path / "published")
    command = words(small_set, "published")
    assert cli.main(command) == 0
    shutil.rmtree(tmp_path / "published")
    (place,) = pathlib.Path("runs").glob("*/pretrain-micle-published-*")
    (place / "result.json").unlink()
    assert cli.main(command) == 0
    assert (place / "result.json").exists()


def test_from_an_object_store(small_set, net, weights, tmp_path, capsys):
    store = "ram://weights/published"
    tf.io.gfile.makedirs(store)
    for path in pathlib.Path(weights).iterdir():
        tf.io.gfile.copy(str(path), f"{store}/{path.name}")
    for number, checkpoint in enumerate((store, f"{store}/ckpt-100")):
        run = tmp_path / f"run{number}"
        more = ["--keep_checkpoints=9", "--checkpoint_every=1steps", f"--model_dir={run}"]
        assert cli.main(words(small_set, checkpoint, *more)) == 0
        close(of_step_0(run, net)[0], net.outputs(images(SIDE))["final_avg_pool"])
    # And a run of ours there, whose head is another one.
    assert cli.main(words(small_set, weights, "--model_dir=ram://weights/run")) == 0
    capsys.readouterr()
    more = ["--num_proj_layers=2", f"--model_dir={tmp_path}/from-run"]
    assert cli.main(words(small_set, "ram://weights/run", *more)) == 0
    assert "left out: projection head; new: projection head" in capsys.readouterr().out
