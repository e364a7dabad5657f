"""Embeddings of pairs, their loss, and what of it is logged and shown."""

import math

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.config import Encoder, Inputs, Pretraining, ProjectionHead
from micle_tf.losses import nt_xent
from micle_tf.models import factory
from micle_tf.training import contrastive

RNG = np.random.default_rng(0)


def test_both_views_go_through_the_models_as_one_batch():
    models = factory.contrastive_models(Encoder(10, 0.125), ProjectionHead(2, 6), 16)
    views = RNG.random((2, 4, 16, 16, 3), np.float32)
    z1, z2 = contrastive.embed(models, {"view1": views[0], "view2": views[1]})
    together = factory.applied(models, np.concatenate(views), training=True)
    np.testing.assert_allclose(np.concatenate([z1, z2]), together, atol=1e-5)
    apart = factory.applied(models, views[0], training=True)  # other statistics of batch norm
    assert np.abs(apart - z1).max() > 1e-3


@pytest.mark.parametrize("mask", ["none", "patient"])
def test_the_loss_is_nt_xent_of_the_temperature(mask):
    embeddings = tuple(tf.constant(RNG.normal(size=(6, 5))) for _ in range(2))
    batch = {"group": tf.constant([0, 0, 1, 2, 3, 3])}
    loss, values = contrastive.contrastive_loss(
        embeddings, batch, temperature=0.3, mask_negatives=mask, pairs=6
    )
    groups = batch["group"] if mask == "patient" else None
    np.testing.assert_allclose(loss, nt_xent(*embeddings, temperature=0.3, groups=groups))
    norms = np.linalg.norm(np.concatenate(embeddings), axis=1)
    np.testing.assert_allclose(values["embedding_norm"], norms.mean(), rtol=1e-6)
    logged = contrastive.logged({"loss": loss, **values})
    assert set(logged) == {"loss", "contrastive_accuracy", "embedding_norm", "effective_rank"}
    assert 1 < logged["effective_rank"] <= 5 and type(logged["loss"]) is float


@pytest.mark.parametrize(
    "pairs, width, there", [(0, 5, False), (6, 5, True), (2000, 2049, False), (1024, 4096, True)]
)
def test_the_spectrum_of_large_matrices_is_left_out(pairs, width, there):
    embeddings = tuple(tf.constant(RNG.normal(size=(3, width))) for _ in range(2))
    _, values = contrastive.contrastive_loss(embeddings, {}, temperature=0.1, pairs=pairs)
    assert ("spectrum" in values) == there
    rank = contrastive.logged(values).get("effective_rank", math.nan)
    assert (rank == rank) == there


def test_the_text_beside_the_bar():
    values = {
        "loss": 3.14159, "loss_of_chance": 4.844, "contrastive_accuracy": 0.255,
        "chance": 1 / 127, "validation/knn_accuracy": 0.5,
    }  # fmt: skip
    assert contrastive.note(values) == "loss 3.14/4.84 acc 26%/0.8% kNN 50.0%"
    values |= {"images_per_second": 250.0, "input_wait": 0.5}
    assert contrastive.note(values) == "loss 3.14/4.84 acc 26%/0.8% 250/s wait 50% kNN 50.0%"


def test_without_the_flag_no_neighbours_are_asked():
    assert contrastive.neighbour_validation(
        Pretraining(), None, None, Inputs(), units=9, batch_size=3, eval_batch_size=8
    ) is None  # fmt: skip
