"""Batches that can be made, the length of a run, its learning rate and its optimizer."""

from unittest import mock

import keras
import pytest
import tensorflow as tf

from micle_tf.config import Batches, Optimizer, Pace
from micle_tf.errors import BadInput
from micle_tf.models.heads import CLASSIFIER_PATH
from micle_tf.optimizers import LARS, SGDL2
from micle_tf.training import setup


@pytest.mark.parametrize(
    "batch, units, replicas, microbatch, least, expected, reason",
    [
        (96, 61, 1, 0, 2, 61, "there are 61"),
        (96, 61, 4, 0, 2, 60, "there are 61"),
        (96, 609, 5, 0, 2, 95, "5 divides it"),
        (96, 61, 1, 16, 2, 48, "there are 61"),
        (96, 609, 1, 0, 2, 96, ""),
        (96, 1, 1, 0, 2, 96, ""),  # and is refused
        (96, 2, 2, 0, 1, 2, "there are 2"),
        (96, 1, 1, 0, 1, 96, ""),
        (96, 6, 4, 0, 2, 96, ""),
    ],
)
def test_a_batch_that_nobody_stated_is_cut_to_the_data(
    batch, units, replicas, *, microbatch, least, expected, reason, capsys
):
    found = setup.batch_that_fits(
        batch, units, replicas=replicas, microbatch_size=microbatch, least=least
    )
    assert found == expected
    line = f"batch: {batch} cut to {expected}: {reason}\n" if reason else ""
    assert capsys.readouterr().out == line


@pytest.mark.parametrize("size, replicas, accepted", [(0, 2, True), (8, 2, True), (5, 2, False)])
def test_a_microbatch_divides_the_rows_of_a_device(size, replicas, accepted):
    if accepted:
        return setup.check_microbatch(32, size, replicas)
    with pytest.raises(BadInput) as error:
        setup.check_microbatch(32, size, replicas)
    assert str(error.value) == "--microbatch_size=5: does not divide the 16 rows of a device"
    return None


@pytest.mark.parametrize(
    "kind, replicas, message",
    [
        (tf.distribute.Strategy, 1, ""),
        (
            tf.distribute.MirroredStrategy,
            2,
            "--jit_compile: compiles the step of one device, and there are 2; leave it out, or "
            "train on one with --strategy=one_device",
        ),
        (
            tf.distribute.TPUStrategy,
            1,
            "--jit_compile: a TPU compiles every step; leave it out",
        ),
    ],
)
def test_a_step_is_compiled_on_one_cpu_or_gpu(kind, replicas, message):
    strategy = mock.Mock(spec=kind, num_replicas_in_sync=replicas)
    setup.check_compiled(Pace(), strategy)
    if not message:
        return setup.check_compiled(Pace(jit_compile=True), strategy)
    with pytest.raises(BadInput) as error:
        setup.check_compiled(Pace(jit_compile=True), strategy)
    assert str(error.value) == message
    return None


def test_a_profile_lies_inside_the_run():
    setup.check_profile(Pace(), 1)
    setup.check_profile(Pace(profile="3:4"), 4)
    with pytest.raises(BadInput) as error:
        setup.check_profile(Pace(profile="3:5"), 4)
    assert str(error.value) == "--profile=3:5: the run has 4 steps"


def test_epochs_and_warm_up_in_steps(capsys):
    """100 units in batches of 32 are 3 steps an epoch; the rate is 0.3 x 32 / 256."""
    optimizer = Optimizer(learning_rate=0.3, warmup_epochs=2.0)
    schedule = setup.make_schedule(Batches(train_batch_size=32, train_epochs=40), optimizer, 100)
    assert (schedule.total_steps, schedule.warmup_steps) == (120, 6)
    assert schedule.base_learning_rate == pytest.approx(0.0375)
    assert capsys.readouterr().out == ""
    batches = Batches(train_batch_size=32, train_epochs=40, train_steps=50)  # which beats epochs
    schedule = setup.make_schedule(batches, optimizer, 100)
    assert (schedule.total_steps, schedule.warmup_steps) == (50, 5)
    assert capsys.readouterr().out == "warm-up: 6 steps cut to 5, a tenth of the run\n"


def test_the_optimizer_that_the_flags_ask_for():
    lars = setup.make_optimizer(Optimizer("lars", 0.1, momentum=0.8), 0.1, finetune=False)
    assert type(lars) is LARS and (lars.momentum, lars.weight_decay) == (0.8, None)
    assert lars.get_config()["weight_decay"] == 1e-6
    # The classifier, in fine-tuning or beside a pretraining, which has no other.
    tuned = setup.make_optimizer(Optimizer("lars"), 0.1, finetune=True)
    for one in (lars, tuned):
        assert one.get_config()["exclude"] == [CLASSIFIER_PATH]
    plain, nesterov = (
        setup.make_optimizer(Optimizer("momentum"), 0.1, finetune=finetune)
        for finetune in (False, True)
    )
    assert type(plain) is SGDL2 and (plain.nesterov, nesterov.nesterov) == (False, True)
    adam = setup.make_optimizer(Optimizer("adam", weight_decay=0.01), 0.1, finetune=False)
    assert type(adam) is keras.optimizers.AdamW and adam.weight_decay == 0.01
