"""Run directories, exports and predictions anywhere that TensorFlow reads and writes."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from micle_tf import cli
from micle_tf.evaluation import compare
from tests.generated_cases import TINY, write_cases

gfile = tf.io.gfile
MEMORY = "ram://storage/run"  # of this process


def read(path):
    with gfile.GFile(path, "rb") as file:
        return file.read()


def pretraining(base):
    return [
        "--mode=pretrain", "--manifest=photos/cases.csv", "--data_dir=data", *TINY,
        "--train_steps=4", "--checkpoint_every=2steps", "--log_every=1", f"--model_dir={base}",
    ]  # fmt: skip


def chain(base):
    few = "--bootstrap_samples=10"
    return [
        pretraining(base),
        ["--mode=linear_eval", f"--checkpoint={base}", f"--model_dir={base}/linear", few],
        ["--mode=finetune", f"--checkpoint={base}", f"--model_dir={base}/tuned", few,
         "--train_batch_size=8", "--train_steps=4", "--validate_every=2steps"],
        ["--mode=evaluate", f"--checkpoint={base}/tuned", f"--model_dir={base}/judged", few],
        ["--mode=export", f"--checkpoint={base}/tuned", f"--model_dir={base}/exported"],
    ]  # fmt: skip


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """(in memory, local): the base directories of the same chain."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("storage"))
        write_cases("photos")
        local = tmp_path_factory.mktemp("local") / "run"
        for base in (MEMORY, str(local)):
            for command in chain(base):
                assert cli.main(command) == 0
        yield MEMORY, str(local)


def weights(base):
    """{name: array} of the last checkpoint of a pretraining, optimizer and all."""
    reader = tf.compat.v1.train.NewCheckpointReader(f"{base}/checkpoints/ckpt-4")
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.endswith(".ATTRIBUTES/VARIABLE_VALUE")
    }


def assert_same_weights(bases):
    memory, local = map(weights, bases)
    assert memory.keys() == local.keys()
    assert len([name for name in local if name.startswith("encoder/")]) == 14
    for name, value in local.items():
        np.testing.assert_array_equal(memory[name], value, err_msg=name)


def logged(base):
    lines = [json.loads(line) for line in read(f"{base}/metrics.jsonl").decode().splitlines()]
    return [(line["step"], line["loss"], line["contrastive_accuracy"]) for line in lines]


@pytest.mark.slow
def test_a_chain_in_memory_gives_what_the_local_one_gives(bases):
    assert_same_weights(bases)
    assert logged(bases[0]) == logged(bases[1]) and len(logged(bases[1])) == 4
    for run in ("linear", "tuned", "judged"):
        memory, local = (read(f"{base}/{run}/predictions.csv") for base in bases)
        assert memory == local and local.count(b"\n") > 20
        memory, local = (json.loads(read(f"{base}/{run}/result.json")) for base in bases)
        assert memory["metrics"] == local["metrics"]
        assert memory["intervals"] == local["intervals"]


@pytest.mark.slow
def test_nothing_unfinished_is_left(bases):
    for base in bases:
        names = [name for _, _, files in gfile.walk(base) for name in files]
        assert {"features-test.npy", "head.keras", "metrics.jsonl"} <= set(names)
        assert not [name for name in names if "tmp" in name or "unfinished" in name]


@pytest.mark.slow
def test_features_and_head_are_whole(bases):
    features, scores = [], []
    for base in bases:
        with gfile.GFile(f"{base}/linear/features-test.npy", "rb") as file:
            features.append(np.load(file))
        head = keras.saving.load_model(f"{base}/linear/head.keras")
        scores.append(head.predict(features[-1], verbose=0))
    np.testing.assert_array_equal(*features)
    np.testing.assert_array_equal(*scores)
    assert features[0].shape[1] == 16


@pytest.mark.slow
def test_features_kept_in_memory_are_used_and_damaged_ones_computed_again(bases):
    run = f"{bases[0]}/linear"
    before = read(f"{run}/predictions.csv")
    whole = read(f"{run}/features-test.npy")

    def again(content):
        for name in ("features-test.npy", "result.json"):
            gfile.remove(f"{run}/{name}")
        with gfile.GFile(f"{run}/features-test.npy", "wb") as file:
            file.write(content)
        assert cli.main(chain(bases[0])[1]) == 0
        return read(f"{run}/predictions.csv")

    assert again(whole) == before
    zeros = whole[:128] + bytes(len(whole) - 128)  # all after the header
    predicted = [line.split(b",")[-1] for line in again(zeros).splitlines()[1:]]
    assert len(predicted) > 20 and len(set(predicted)) == 1
    assert again(whole[:-9]) == before
    assert read(f"{run}/features-test.npy") == whole


@pytest.mark.slow
def test_the_exported_model_answers_from_memory(bases):
    images = np.random.default_rng(0).random((3, 20, 24, 3), np.float32)
    answers = []
    for base in bases:
        signature = tf.saved_model.load(f"{base}/exported/model/1").signatures["images"]
        answers.append(signature(images=tf.constant(images))["probabilities"].numpy())
        encoder = keras.saving.load_model(f"{base}/exported/model.keras")
        assert encoder.output_shape == (None, 16)
        assert b"Research software" in read(f"{base}/exported/MODEL_CARD.md")
    np.testing.assert_array_equal(*answers)
    np.testing.assert_allclose(answers[0].sum(axis=1), 1, atol=1e-6)


@pytest.mark.slow
def test_runs_in_memory_are_compared(bases, capsys):
    memory, local = bases
    across = compare.compare(f"{memory}/linear", f"{local}/tuned", samples=10)
    alone = compare.compare(f"{local}/linear", f"{local}/tuned", samples=10)
    assert list(across) == list(alone)
    np.testing.assert_array_equal([*across.values()], [*alone.values()])  # nan among them
    assert any(value != (0, 0, 0) for value in across.values())
    assert compare.main([f"{memory}/linear", "ram://storage/nothing"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ram://storage/nothing/predictions.csv: cannot be read: ")
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_stopped_run_in_memory_goes_on(bases, capsys):
    memory, _ = bases
    gfile.remove(f"{memory}/result.json")
    for path in gfile.glob(f"{memory}/checkpoints/ckpt-4*"):
        gfile.remove(path)
    assert cli.main(pretraining(memory)) == 0
    assert "resumed at step 2" in capsys.readouterr().out
    assert_same_weights(bases)
    assert logged(memory) == logged(bases[1])
    assert json.loads(read(f"{memory}/result.json"))["steps"] == 4
    assert cli.main(pretraining(memory)) == 0
    assert "finished before" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["model_dir", "checkpoint"])
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("foo://x/run", "TensorFlow has no file system for foo://"),
        ("gs:///run", "GCS path doesn't contain a bucket name"),
    ],
)
def test_a_place_that_cannot_be_reached(tmp_path, monkeypatch, capsys, flag, path, reason):
    monkeypatch.chdir(tmp_path)
    write_cases("photos")
    argv = ["--mode=pretrain", "--manifest=photos/cases.csv", "--data_dir=data", *TINY]
    assert cli.main([*argv, "--train_steps=1", f"--{flag}={path}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --{flag}={path}: {reason}") and error.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["photos"]  # nothing was prepared
