"""Monitors against the SVD of the whole batch, brute force, and cases known in closed form."""

import collections

import numpy as np
import pytest
import tensorflow as tf
from sklearn.neighbors import KNeighborsClassifier

from micle_tf import monitors
from micle_tf.training.strategy import gather_replicas


def embeddings(n, d, seed=0, dtype=np.float32):
    """Two [n, d] whose directions differ in strength."""
    scale = np.arange(1, d + 1) ** -0.7
    return (scale * np.random.default_rng(seed).normal(size=(2, n, d))).astype(dtype)


def rankme(z):
    """Equations 1 and 2 of Garrido et al. (2023), from the SVD in float64."""
    s = np.linalg.svd(z.astype(np.float64), compute_uv=False)
    p = s / s.sum() + 1e-7
    return np.exp(-(p * np.log(p)).sum())


@pytest.mark.parametrize(("n", "d"), [(12, 8), (4, 8), (3, 40), (1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_replica_gives_the_rank_of_the_whole_matrix(n, d, dtype):
    z1, z2 = embeddings(n, d, dtype=dtype)
    matrix = monitors.spectrum(tf.constant(z1), tf.constant(z2)).numpy()
    assert matrix.shape == (min(2 * n, d),) * 2
    assert matrix.dtype == dtype
    z = np.concatenate([z1, z2])
    s = np.linalg.svd(z.astype(np.float64), compute_uv=False)
    tolerance = 1e-6 if dtype == np.float32 else 1e-13
    found = np.linalg.eigvalsh(matrix)[::-1]
    np.testing.assert_allclose(found, s**2 / (2 * n), atol=tolerance * s[0] ** 2)
    expected = min(max(rankme(z), 1), len(matrix))
    assert monitors.effective_rank(matrix) == pytest.approx(expected, rel=1000 * tolerance)


# d of at most 2n, from 2n to 2N, and above 2N.
@pytest.mark.parametrize("d", [6, 14, 40])
def test_the_mean_over_two_replicas_is_the_matrix_of_one(d):
    n = 4
    z1, z2 = embeddings(2 * n, d, dtype=np.float64)
    matrices, widths = [], []
    for own in (slice(0, n), slice(n, 2 * n)):
        parts = {True: np.concatenate([z1[:n], z2[:n]]), False: np.concatenate([z1[n:], z2[n:]])}

        def gather(x, own=own, parts=parts):
            widths.append(x.shape[1])
            np.testing.assert_array_equal(x, parts[own.start == 0][:, : x.shape[1]])
            return tf.concat([parts[True], parts[False]], 0)[:, : x.shape[1]], 2 * own.start

        matrices.append(monitors.spectrum(tf.constant(z1[own]), tf.constant(z2[own]), gather))
    mean = np.mean(matrices, axis=0)
    alone = monitors.spectrum(tf.constant(z1), tf.constant(z2)).numpy()
    assert mean.shape == alone.shape == (min(4 * n, d),) * 2
    np.testing.assert_allclose(np.linalg.eigvalsh(mean), np.linalg.eigvalsh(alone), atol=1e-14)
    expected = rankme(np.concatenate([z1, z2]))
    assert monitors.effective_rank(mean) == pytest.approx(expected, rel=1e-9)
    # Whole embeddings are exchanged only where there is no other way.
    assert widths == {6: [], 14: [1, 1], 40: [1, 40] * 2}[d]


def test_two_devices_of_a_strategy():
    strategy = tf.distribute.MirroredStrategy(
        ["/cpu:0", "/cpu:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    z1, z2 = embeddings(6, 20)

    @tf.function
    def measured():
        def replica_step():
            first = 3 * tf.distribute.get_replica_context().replica_id_in_sync_group
            parts = tf.constant(z1)[first : first + 3], tf.constant(z2)[first : first + 3]
            parts = [tf.ensure_shape(part, [3, 20]) for part in parts]
            return monitors.spectrum(*parts, gather_replicas), monitors.mean_norm(*parts)

        values = strategy.run(replica_step)
        return [strategy.reduce(tf.distribute.ReduceOp.MEAN, v, axis=None) for v in values]

    matrix, norm = measured()
    z = np.concatenate([z1, z2])
    assert matrix.shape == (12, 12)
    assert monitors.effective_rank(matrix) == pytest.approx(rankme(z), rel=1e-4)
    assert float(norm) == pytest.approx(np.linalg.norm(z, axis=1).mean(), rel=1e-6)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_compiles_under_xla_and_has_no_gradient(dtype):
    z1, z2 = (tf.cast(z, dtype) for z in embeddings(5, 7))

    @tf.function(jit_compile=True)
    def measured(z1, z2):
        with tf.GradientTape() as tape:
            tape.watch(z1)
            matrix, norm = monitors.spectrum(z1, z2), monitors.mean_norm(z1, z2)
            values = tf.reduce_sum(matrix) + norm
        return matrix, norm, tape.gradient(values, z1, unconnected_gradients="zero")

    matrix, norm, gradient = measured(z1, z2)
    assert matrix.dtype == norm.dtype == tf.float32
    z = np.concatenate([z1.numpy(), z2.numpy()]).astype(np.float64)
    np.testing.assert_allclose(matrix, z.T @ z / 10, atol=1e-5)
    assert not np.any(gradient.numpy().astype(np.float32))


def test_effective_rank_in_closed_form():
    # The epsilon of the definition may not lead above the number of directions, or below one.
    assert monitors.effective_rank(np.eye(8)) == pytest.approx(8, abs=1e-5)
    assert monitors.effective_rank(np.eye(300)) == 300
    assert monitors.effective_rank(np.diag([1.0] * 5 + [0.0] * 3)) == pytest.approx(5, abs=1e-4)
    assert monitors.effective_rank([[3.0]]) == 1
    assert monitors.effective_rank(np.zeros((4, 4))) == 1
    assert np.isnan(monitors.effective_rank([[1.0, np.nan], [np.nan, 1.0]]))
    # Singular values 3 and 1: exp of the entropy of (3/4, 1/4).
    expected = (4 / 3) ** 0.75 * 4**0.25
    assert monitors.effective_rank(np.diag([9.0, 1.0])) == pytest.approx(expected, rel=1e-6)
    assert monitors.effective_rank(7 * np.diag([9.0, 1.0])) == pytest.approx(expected, rel=1e-6)


# Embeddings all alike; all on one line; on a plane.
@pytest.mark.parametrize("kind", ["constant", "line", "plane"])
def test_rounding_does_not_hide_a_collapse(kind):
    rng = np.random.default_rng(0)
    n, d = 128, 128
    if kind == "constant":
        z = np.tile(rng.normal(size=d), (2 * n, 1))
    else:
        rank = 1 if kind == "line" else 2
        z = rng.normal(size=(2 * n, rank)) @ rng.normal(size=(rank, d))
    z = z.astype(np.float32)
    matrix = monitors.spectrum(tf.constant(z[:n]), tf.constant(z[n:]))
    assert monitors.effective_rank(matrix) == pytest.approx(rankme(z), rel=0.02)
    assert monitors.effective_rank(matrix) < (2.05 if kind == "plane" else 1.02)


def test_mean_norm_of_half_precision_is_taken_in_float32():
    z1, z2 = tf.constant([[3.0, 4.0]], tf.float16), tf.constant([[300.0, 400.0]], tf.float16)
    found = monitors.mean_norm(z1, z2)
    assert found.dtype == tf.float32
    assert float(found) == pytest.approx(252.5, rel=1e-6)  # 300 squared overflows float16


def brute_force_knn(bank, bank_labels, rows, labels, k):
    hits = 0
    for row, label in zip(rows, labels, strict=True):
        cosine = [x @ row / (np.linalg.norm(x) * np.linalg.norm(row)) for x in bank]
        votes = collections.Counter()
        for i in sorted(range(len(bank)), key=lambda i: (-cosine[i], i))[:k]:
            votes[bank_labels[i]] += np.exp(cosine[i] / 0.07)
        hits += max(sorted(votes), key=votes.get) == label
    return hits / len(rows)


@pytest.mark.parametrize("k", [1, 5, 20, 60, 1000])
@pytest.mark.parametrize("at_once", [2**24, 130, 1])
def test_knn_against_a_loop_and_scikit_learn(k, at_once, monkeypatch):
    monkeypatch.setattr(monitors, "_SIMILARITIES_AT_ONCE", at_once)
    rng = np.random.default_rng(k)
    bank_labels, labels = rng.integers(0, 4, 60), rng.integers(0, 4, 35)
    centers = rng.normal(size=(4, 6))
    bank = 3 * (centers[bank_labels] + rng.normal(size=(60, 6)))
    rows = centers[labels] + rng.normal(size=(35, 6))
    found = monitors.knn_accuracy(bank, bank_labels, rows, labels, k)
    assert 0.4 < found < 1
    assert found == brute_force_knn(bank, bank_labels, rows, labels, k)
    other = KNeighborsClassifier(
        min(k, 60), metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
    )
    assert found == other.fit(bank, bank_labels).score(rows, labels)


def test_knn_of_separable_classes_does_not_depend_on_length():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 10)
    features = np.eye(3, 5)[labels] + rng.uniform(0, 0.1, (30, 5))
    lengths = rng.uniform(0.01, 100, (30, 1))
    assert monitors.knn_accuracy(features, labels, features * lengths, labels, 5) == 1
    assert monitors.knn_accuracy(features * lengths, labels, features, (labels + 1) % 3, 5) == 0


def test_knn_ties_go_to_the_first_row_and_the_lowest_class():
    bank = np.tile([[1.0, 0.0]], (6, 1))
    row = np.array([[2.0, 0.0]])
    knn = monitors.knn_accuracy
    # Three equal rows out of six: the first three, two of which are of class 5.
    assert knn(bank, [5, 1, 5, 1, 1, 1], row, [5], k=3) == 1
    assert knn(bank, [2, 1, 1, 2, 0, 0], row, [1], k=4) == 1
    # A nearer row is not crowded out by equal ones before it.
    assert knn([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]], [0, 0, 1], row, [1], k=2) == 1
    # Zeros have no direction: equally far from all.
    assert knn([[0.0, 1.0], [1.0, 0.0]], [3, 4], np.zeros((1, 2)), [3], k=1) == 1


def test_knn_says_what_does_not_fit():
    features, labels = np.eye(3), np.arange(3)
    bad = [
        (features, labels, features, labels, 0),
        (features[:0], labels[:0], features, labels, 1),
        (features, labels, features[:0], labels[:0], 1),
        (features, labels, features[:, :2], labels, 1),
        (features, labels[:2], features, labels, 1),
        (features, labels, features, labels[:2], 1),
        (features, labels - 1, features, labels, 1),
    ]
    for arguments in bad:
        with pytest.raises(ValueError, match="knn_accuracy"):
            monitors.knn_accuracy(*arguments)
    assert np.isnan(monitors.knn_accuracy(np.full((3, 3), np.inf), labels, features, labels))
