"""--lineareval_while_pretraining: a classifier that watches, and changes nothing."""

import numpy as np
import pytest
import tensorflow as tf

from micle_tf import cli
from micle_tf.training import state
from tests.generated_cases import TINY


def train(small_set, path, *more):
    data = [f"--manifest={small_set / 'photos/cases.csv'}", f"--data_dir={small_set / 'data'}"]
    words = ["--mode=pretrain", *data, *TINY, "--train_steps=6", "--log_every=2", *more]
    assert cli.main([*words, f"--model_dir={path}"]) == 0


def tensors(path):
    """{key: array} of encoder and head in a run's last checkpoint."""
    reader = tf.train.load_checkpoint(str(path / "checkpoints/ckpt-6"))
    names = reader.get_variable_to_shape_map()
    return {n: reader.get_tensor(n) for n in names if n.startswith(("encoder", "projection_head"))}


@pytest.mark.parametrize("more", [["--method=micle"], ["--method=simclr", "--microbatch_size=4"]])
def test_encoder_and_head_are_the_same_bit_for_bit(small_set, tmp_path, *, more):
    train(small_set, tmp_path / "without", *more)
    train(small_set, tmp_path / "beside", *more, "--lineareval_while_pretraining")
    without, beside = tensors(tmp_path / "without"), tensors(tmp_path / "beside")
    assert without.keys() == beside.keys() and len(without) == 18
    for name, value in without.items():
        np.testing.assert_array_equal(value, beside[name], err_msg=name)
    logs = [state.read_log(str(tmp_path / name)) for name in ("without", "beside")]
    for plain, watched in zip(*logs, strict=True):
        assert plain["loss"] == watched["loss"]
        assert plain["contrastive_accuracy"] == watched["contrastive_accuracy"]
        assert 0 <= watched["linear_accuracy"] <= 1
    losses = [entry["linear_loss"] for entry in logs[1]]
    assert losses[0] == pytest.approx(np.log(2), abs=0.2) and len(set(losses)) == len(losses)
    result = state.read_result(str(tmp_path / "beside"))["metrics"]
    assert result["linear_accuracy"] == logs[1][-1]["linear_accuracy"]


def test_it_asks_for_labels(tmp_path, capsys):
    import csv

    from tests.generated_cases import write_cases

    manifest = write_cases(tmp_path / "photos", num_cases=12)
    with open(manifest, encoding="utf-8") as file:
        rows = [{**row, "label": ""} for row in csv.DictReader(file)]
    with open(manifest, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    words = [f"--manifest={manifest}", f"--data_dir={tmp_path}/data", f"--model_dir={tmp_path}/run"]
    words += [*TINY, "--train_steps=2", "--train_batch_size=2", "--lineareval_while_pretraining"]
    assert cli.main(["--mode=pretrain", *words]) == 2
    assert "has no labels" in capsys.readouterr().err and not (tmp_path / "run").exists()
