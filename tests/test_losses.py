import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax

from micle_tf.losses import masked_softmax_cross_entropy, nt_xent, nt_xent_and_accuracy

# Temperature: loss, sum of the absolute gradient, row 0 of the gradient for z1, by
# lightly 1.6.0 (NTXentLoss, float32) for r = RandomState(0); z1 = r.randn(6, 16), z2 likewise.
LIGHTLY = {
    0.1: (
        4.9302191734313965,
        16.335193634033203,
        [
            -0.007713912986,
            0.01871917956,
            -0.01416734606,
            0.0256309174,
            -0.0225174129,
            0.03245712444,
            0.05779895186,
            0.01126267388,
            0.03548773751,
            -0.091838561,
            0.01715917699,
            0.06696504354,
            -0.06268215179,
            -0.05062607676,
            -0.07362116128,
            0.03346266598,
        ],
    ),
    0.5: (
        2.59987211227417,
        3.2017574310302734,
        [
            0.007960001938,
            -0.01151789725,
            -0.001369317062,
            0.01071573049,
            -0.01535863429,
            0.0141549781,
            0.02264998481,
            -0.01090085134,
            0.01672160253,
            -0.03091900796,
            0.003603675403,
            0.02253514715,
            -0.02129414678,
            -0.01701764762,
            -0.02909850702,
            -0.001308064675,
        ],
    ),
    1.0: (
        2.4708306789398193,
        1.600551962852478,
        [
            0.004676750861,
            -0.007006634027,
            -0.0009190882556,
            0.006273356266,
            -0.008692665026,
            0.006940789521,
            0.01207056455,
            -0.00663817348,
            0.009727250785,
            -0.01643057726,
            0.001928390004,
            0.01147787273,
            -0.01167794038,
            -0.008739986457,
            -0.01543799229,
            -0.001428173739,
        ],
    ),
}


def embeddings(n=6, d=16, seed=0, dtype="float32"):
    rng = np.random.RandomState(seed)
    return rng.randn(n, d).astype(dtype), rng.randn(n, d).astype(dtype)


def value_and_gradients(z1, z2, **options):
    z1, z2 = tf.constant(z1), tf.constant(z2)
    with tf.GradientTape() as tape:
        tape.watch([z1, z2])
        loss = nt_xent(z1, z2, **options)
    return loss.numpy(), [g.numpy() for g in tape.gradient(loss, [z1, z2])]


def algorithm_1(z1, z2, temperature, groups=None):
    """Loss and accuracy as Algorithm 1 of the SimCLR paper spells them, pair by pair."""
    n = len(z1)
    z = np.empty((2 * n, z1.shape[1]))
    z[0::2], z[1::2] = z1, z2
    group = np.repeat(np.arange(n) if groups is None else groups, 2)
    s = np.array([[a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for b in z] for a in z])

    def candidates(i, j):
        return [k for k in range(2 * n) if k == j or (k != i and group[k] != group[i])]

    def ell(i, j):
        return -np.log(
            np.exp(s[i, j] / temperature)
            / sum(np.exp(s[i, k] / temperature) for k in candidates(i, j))
        )

    def hit(i, j):
        return max(candidates(i, j), key=lambda k: s[i, k]) == j

    pairs = [(2 * k, 2 * k + 1) for k in range(n)]
    loss = sum(ell(i, j) + ell(j, i) for i, j in pairs) / (2 * n)
    return loss, np.mean([(hit(i, j), hit(j, i)) for i, j in pairs])


@pytest.mark.parametrize("temperature", LIGHTLY)
@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_equals_lightly(temperature, jit_compile):
    z1, z2 = embeddings()
    run = value_and_gradients
    if jit_compile is not None:

        @tf.function(jit_compile=jit_compile)
        def compiled(z1, z2):
            loss = nt_xent(z1, z2, temperature=temperature)
            return loss, tf.gradients(loss, [z1, z2])

        def run(z1, z2, temperature):
            loss, gradients = compiled(tf.constant(z1), tf.constant(z2))
            return loss.numpy(), [g.numpy() for g in gradients]

    loss, gradients = run(z1, z2, temperature=temperature)
    expected, absolute_sum, row = LIGHTLY[temperature]
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(gradients[0][0], row, atol=1e-6 * np.abs(gradients).max())
    np.testing.assert_allclose(np.abs(gradients).sum(), absolute_sum, rtol=1e-6)


@pytest.mark.parametrize("groups", [None, [0, 1, 2, 3, 4, 5], [7, 7, 0, 2, 0, 7], [1] * 6])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_equals_algorithm_1(groups, temperature):
    z1, z2 = embeddings(dtype="float64")
    z2 += z1
    groups = None if groups is None else np.array(groups)
    loss, accuracy = nt_xent_and_accuracy(z1, z2, temperature=temperature, groups=groups)
    expected_loss, expected_accuracy = algorithm_1(z1, z2, temperature, groups)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-12, atol=1e-12)
    assert float(accuracy) == expected_accuracy
    assert float(nt_xent(z1, z2, temperature=temperature, groups=groups)) == float(loss)


@pytest.mark.parametrize("n", [1, 2, 17])
def test_collapsed_embeddings_give_log_2n_minus_1(n):
    z = np.ones((n, 3), "float32")
    np.testing.assert_allclose(nt_xent(z, z), np.log(2 * n - 1), rtol=1e-6, atol=1e-7)


def test_symmetric_and_blind_to_lengths_and_order():
    z1, z2 = embeddings(dtype="float64")
    loss = float(nt_xent(z1, z2))
    order = [3, 1, 5, 0, 2, 4]
    lengths = np.arange(1, 7)[:, None]
    np.testing.assert_allclose(nt_xent(z2, z1), loss, rtol=1e-14)
    np.testing.assert_allclose(nt_xent(z1[order], z2[order]), loss, rtol=1e-14)
    np.testing.assert_allclose(nt_xent(1e4 * lengths * z1, 1e-3 * z2), loss, rtol=1e-13)


def test_gradient_equals_finite_differences_with_groups():
    z1, z2 = embeddings(n=4, d=3, dtype="float64")
    groups = np.array([0, 1, 0, 2])
    _, gradients = value_and_gradients(z1, z2, groups=groups)
    step = np.zeros_like(z1)
    for index in np.ndindex(z1.shape):
        step[:] = 0
        step[index] = 1e-6
        slope = (
            nt_xent(z1 + step, z2, groups=groups) - nt_xent(z1 - step, z2, groups=groups)
        ) / 2e-6
        np.testing.assert_allclose(gradients[0][index], slope, rtol=1e-5, atol=1e-8)


def test_accuracy_counts_both_directions():
    z1 = np.eye(4, dtype="float32")
    z2 = np.eye(4, dtype="float32")
    assert float(nt_xent_and_accuracy(z1, z2)[1]) == 1.0
    assert float(nt_xent_and_accuracy(z1, z2[::-1])[1]) == 0.0
    # z1[0] and z2[0] now lie nearer to the second pair than to each other.
    z2[0] = z1[0] = [0, 1, 0, 0]
    z1[0, 0], z2[0, 0] = 0.5, -0.5
    assert float(nt_xent_and_accuracy(z1, z2)[1]) == 6 / 8
    assert float(nt_xent_and_accuracy(z1, z2, groups=[0, 0, 1, 2])[1]) == 1.0


@pytest.mark.parametrize(
    "dtype, expected",
    [
        ("float16", "float32"),
        ("bfloat16", "float32"),
        ("float32", "float32"),
        ("float64", "float64"),
    ],
)
def test_half_precisions_are_raised_and_float64_stays(dtype, expected):
    z1, z2 = (tf.cast(z, dtype) for z in embeddings())
    loss, accuracy = nt_xent_and_accuracy(z1, z2)
    assert keras.backend.standardize_dtype(loss.dtype) == expected
    assert keras.backend.standardize_dtype(accuracy.dtype) == expected
    raised = algorithm_1(*(tf.cast(z, "float64").numpy() for z in (z1, z2)), 0.1)[0]
    rtol = {"float32": 1e-6, "float64": 1e-13}[expected]
    np.testing.assert_allclose(loss, raised, rtol=rtol)


def test_exact_at_a_temperature_of_a_hundredth():
    z1, z2 = embeddings(n=32, d=8)
    loss, gradients = value_and_gradients(z1, z2, temperature=0.01)
    exact = [z.astype("float64") for z in (z1, z2)]
    expected, expected_gradients = value_and_gradients(*exact, temperature=0.01)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    scale = np.abs(expected_gradients).max()
    np.testing.assert_allclose(gradients, expected_gradients, atol=2e-5 * scale)
    close, _ = value_and_gradients(z1, z1, temperature=0.01)  # 100 against at most 100
    assert np.isfinite(close) and close >= 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_zero_rows_give_finite_loss_and_gradients(dtype):
    z1, z2 = embeddings(dtype=dtype)
    z1[2] = z2[2] = z1[4] = 0
    loss, gradients = value_and_gradients(z1, z2, temperature=0.01)
    assert np.isfinite(loss) and all(np.isfinite(g).all() for g in gradients)
    loss, gradients = value_and_gradients(0 * z1, 0 * z2)
    np.testing.assert_allclose(loss, np.log(11), rtol=1e-6)
    assert all(np.isfinite(g).all() for g in gradients)


def test_rows_of_up_to_a_millionth_stay_as_they_are():
    z1, z2 = np.array([[1, 0], [0.3, -0.4]]), np.array([[0.6, 0.2], [-0.2, 0.5]])  # 1 is the limit
    z = np.concatenate([z1, z2])
    products = np.where(np.eye(4), -np.inf, z @ z.T)
    expected = -np.mean(log_softmax(products, axis=1)[np.arange(4), [2, 3, 0, 1]])
    loss = nt_xent(1e-6 * z1, 1e-6 * z2, temperature=1e-12)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    beyond, _ = value_and_gradients(1.001e-6 * z1, 1e-6 * z2, temperature=1e-12)
    assert beyond > 1000 * loss  # the first row was scaled up to 1


@pytest.mark.parametrize("groups", [None, np.array([0, 1, 0, 2, 1, 3])])
@pytest.mark.parametrize("sizes", [(3, 3), (2, 4)])
def test_replicas_equal_the_whole_batch(groups, sizes):
    z1, z2 = embeddings(dtype="float64")
    expected, expected_gradients = value_and_gradients(z1, z2, groups=groups)
    _, expected_accuracy = nt_xent_and_accuracy(z1, z2, groups=groups)
    z1, z2 = tf.constant(z1), tf.constant(z2)
    starts = (0, sizes[0])

    def on_replica(replica, gather):
        rows = slice(starts[replica], starts[replica] + sizes[replica])
        own_groups = None if groups is None else groups[rows]
        return nt_xent_and_accuracy(z1[rows], z2[rows], groups=own_groups, gather=gather)

    with tf.GradientTape() as tape:
        tape.watch([z1, z2])
        # A first round notes what each replica sends, a second hands out the concatenations.
        sent = ([], [])
        for replica in (0, 1):
            on_replica(replica, lambda x, r=replica: (sent[r].append(x), (x, 0))[1])
        results = []
        for replica in (0, 1):
            rounds = iter([tf.concat(xs, axis=0) for xs in zip(*sent, strict=True)])
            results.append(on_replica(replica, lambda x, r=replica, i=rounds: (next(i), starts[r])))
        # Equal shares make the plain mean over replicas; others are weighted by their anchors.
        loss = sum(size * loss for size, (loss, _) in zip(sizes, results, strict=True)) / 6
    assert len(sent[0]) == (1 if groups is None else 2)
    np.testing.assert_allclose(loss, expected, rtol=1e-13)
    gradients = tape.gradient(loss, [z1, z2])
    np.testing.assert_allclose(gradients, expected_gradients, rtol=1e-11, atol=1e-14)
    accuracy = sum(size * a for size, (_, a) in zip(sizes, results, strict=True)) / 6
    np.testing.assert_allclose(accuracy, expected_accuracy, rtol=1e-13)


def test_unknown_batch_size_in_a_graph():
    spec = tf.TensorSpec((None, 16), "float32")

    @tf.function(input_signature=[spec, spec, tf.TensorSpec((None,), "int64")])
    def run(z1, z2, groups):
        return nt_xent_and_accuracy(z1, z2, groups=groups)

    for n in (2, 6):
        z1, z2 = embeddings(n)
        groups = np.arange(n) // 2
        loss, accuracy = run(z1, z2, groups)
        expected = algorithm_1(z1.astype("float64"), z2.astype("float64"), 0.1, groups)
        np.testing.assert_allclose((loss, accuracy), expected, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0, -0.1, float("nan"), float("inf")])
def test_refuses_temperatures_that_are_not_positive(temperature):
    with pytest.raises(ValueError, match="temperature must be positive"):
        nt_xent(*embeddings(), temperature=temperature)


@pytest.mark.parametrize("shapes", [((4, 3), (3, 3)), ((4, 3), (4, 2)), ((4,), (4,))])
def test_refuses_shapes_that_do_not_pair(shapes):
    with pytest.raises(ValueError, match=r"z1 and z2 must be \[n, d\] of one shape"):
        nt_xent(*(np.ones(shape, "float32") for shape in shapes))


@pytest.mark.parametrize("temperature", [0.5, 5.0])
def test_without_hidden_norm_similarities_are_plain_products(temperature):
    rng = np.random.default_rng(3)
    z1, z2 = rng.normal(size=(2, 5, 4))
    z = np.concatenate([z1, z2])
    logits = z @ z.T / temperature
    np.fill_diagonal(logits, -np.inf)
    positives = (np.arange(10) + 5) % 10
    expected = -log_softmax(logits, axis=1)[np.arange(10), positives].mean()
    found, accuracy = nt_xent_and_accuracy(z1, z2, temperature=temperature, hidden_norm=False)
    assert float(found) == pytest.approx(expected, abs=1e-12)
    assert float(accuracy) == (logits.argmax(axis=1) == positives).mean()
    scaled = nt_xent(3 * z1, 3 * z2, temperature=temperature, hidden_norm=False)
    assert float(scaled) != pytest.approx(expected, abs=1e-3)


def test_rows_without_a_label_take_no_part_in_the_softmax():
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(6, 3))
    labels = np.array([0, -1, 2, 1, -1, 0])
    known = labels >= 0
    expected = -log_softmax(logits, axis=1)[known, labels[known]].mean()
    hits = (logits.argmax(axis=1) == labels)[known].mean()
    loss, accuracy = masked_softmax_cross_entropy(logits, labels)
    assert (float(loss), float(accuracy)) == pytest.approx((expected, hits), abs=1e-12)
    halves = [
        masked_softmax_cross_entropy(
            logits[part],
            labels[part],
            mean_over_replicas=lambda count: tf.constant(2.0, count.dtype),
        )
        for part in (slice(0, 3), slice(3, 6))
    ]
    assert np.mean([float(loss) for loss, _ in halves]) == pytest.approx(expected, abs=1e-12)
    nothing = masked_softmax_cross_entropy(logits, np.full(6, -1))
    assert [float(value) for value in nothing] == [0, 0]
