"""Fine-tuning on two replicas takes the steps of one on the whole batch."""

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.config import Config
from micle_tf.data import cases
from micle_tf.modes import finetune, opening
from micle_tf.training import strategy as strategies
from micle_tf.training.step import make_train_step
from tests.modes.test_finetune import FINDINGS, write_manifests

pytestmark = pytest.mark.slow

STEPS, BATCH = 3, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replicas")
    write_manifests(folder)
    return folder


def trained(folder, kind, replicas):
    """(losses, weights after three steps, labels of each replica's parts) in float64."""
    settings = {"manifest": str(folder / "photos/cases.csv")}
    if kind == "findings":
        settings = {
            "manifest": str(folder / "photos/findings.csv"), "findings": ",".join(FINDINGS)
        }  # fmt: skip
    config = Config.of_mode(
        "finetune", **settings, data_dir=str(folder), image_size=16, resnet_depth=10,
        width_multiplier=0.125, train_batch_size=BATCH, train_steps=STEPS + 1,
        class_weights="balanced", precision="float64", ft_proj_selector=1,
        learning_rate_scaling="none", virtual_devices=replicas,
    )  # fmt: skip
    strategies.set_precision(config.precision)
    strategy = strategies.make_strategy(config)
    assert strategy.num_replicas_in_sync == replicas
    data = cases.open_cases(config)
    targets, splits = opening.labelled_data(config, data)
    units = len(splits["train"].images)
    finetune.check_batch(config, units, replicas)
    built = finetune.build(config, units, targets, strategy)
    models, *_ = built
    training = finetune.training_of(
        config, data, targets, splits, built, units=units, replicas=replicas
    )
    step = tf.function(make_train_step(training, strategy))
    losses, labels = [], []
    dataset = lambda _: training.dataset((0, STEPS), (0, 1))
    for batch in strategy.distribute_datasets_from_function(dataset):
        labels.append(strategy.experimental_local_results(batch["label"]))
        losses.append(float(step(batch)["loss"]))
    return losses, [v.numpy() for model in models.values() for v in model.variables], labels


@pytest.mark.parametrize("kind", ["classes", "findings"])
def test_float64_replicas_agree_to_1e9(folder, kind):
    losses, weights, labels = trained(folder, kind, 1)
    other_losses, other_weights, parts = trained(folder, kind, 2)
    assert len(set(losses)) == STEPS and np.isfinite(losses).all()
    for (whole,), both in zip(labels, parts, strict=True):
        assert [len(part) for part in both] == [BATCH // 2] * 2
        np.testing.assert_array_equal(np.concatenate(both), whole)
    if kind == "findings":  # the replicas know different numbers of entries
        known = np.array([[(np.array(part) >= 0).sum() for part in both] for both in parts])
        assert (known[:, 0] != known[:, 1]).sum() >= 2
    np.testing.assert_allclose(other_losses, losses, rtol=1e-9)
    for ours, theirs in zip(weights, other_weights, strict=True):
        scale = np.abs(ours).max() + 1e-30
        np.testing.assert_allclose(theirs / scale, ours / scale, atol=1e-9)
