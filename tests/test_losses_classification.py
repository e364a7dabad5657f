import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, log_softmax, softmax

from micle_tf.losses import masked_sigmoid_cross_entropy, softmax_cross_entropy


def value_and_gradient(loss, logits, *arguments, **options):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(logits, *arguments, **options)
    return value.numpy(), tape.gradient(value, logits).numpy()


def classes(n=12, num_classes=5, seed=0):
    rng = np.random.default_rng(seed)
    return 3 * rng.normal(size=(n, num_classes)), rng.integers(0, num_classes, n)


def findings_of(n=12, num_findings=5, seed=0):
    """Logits and findings of all four values; the last finding is never known."""
    rng = np.random.default_rng(seed)
    findings = rng.choice(np.array([1, 0, -1, -2], np.int8), (n, num_findings))
    findings[:, -1] = np.where(findings[:, -1] > -1, -1, findings[:, -1])
    return 3 * rng.normal(size=(n, num_findings)), findings


def binary_terms(logits, findings, weights):
    """Weighted terms of the known entries, one by one, and the gradients of their sum."""
    terms, gradients = [], np.zeros(logits.shape)
    for i, k in np.argwhere((findings == 0) | (findings == 1)):
        p, y = expit(logits[i, k]), int(findings[i, k])
        terms.append(-weights[k, y] * (y * np.log(p) + (1 - y) * np.log1p(-p)))
        gradients[i, k] = weights[k, y] * (p - y)
    return np.array(terms), gradients


# ---------------------------------------------------------------- softmax_cross_entropy
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("label_dtype", ["int64", "int32", "uint8"])
def test_softmax_equals_brute_force(weighted, label_dtype):
    logits, labels = classes()
    weights = np.array([0.5, 2.0, 0.0, 1.25, 3.0]) if weighted else np.ones(5)
    options = {"class_weights": weights} if weighted else {}
    loss, gradient = value_and_gradient(
        softmax_cross_entropy, logits, labels.astype(label_dtype), **options
    )
    own = weights[labels]
    expected = -np.mean(own * log_softmax(logits, axis=1)[np.arange(12), labels])
    np.testing.assert_allclose(loss, expected, rtol=1e-13)
    expected_gradient = own[:, None] * (softmax(logits, axis=1) - np.eye(5)[labels]) / 12
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-11, atol=1e-16)


@pytest.mark.parametrize("num_classes", [2, 5, 27])
def test_equal_logits_give_log_of_the_number_of_classes(num_classes):
    labels = np.arange(6) % num_classes
    logits = np.full((6, num_classes), 7.0)
    np.testing.assert_allclose(softmax_cross_entropy(logits, labels), np.log(num_classes))
    weights = np.full(num_classes, 2.0)
    np.testing.assert_allclose(
        softmax_cross_entropy(logits, labels, class_weights=weights), 2 * np.log(num_classes)
    )


@pytest.mark.parametrize("weights", [None, [0.2, 1.0, 4.0, 0.0, 1.5]])
def test_softmax_of_equal_replicas_averages_to_the_whole_batch(weights):
    logits, labels = classes()
    whole, gradient = value_and_gradient(
        softmax_cross_entropy, logits, labels, class_weights=weights
    )
    parts = [
        value_and_gradient(softmax_cross_entropy, logits[rows], labels[rows], class_weights=weights)
        for rows in (slice(0, 4), slice(4, 8), slice(8, 12))
    ]
    np.testing.assert_allclose(np.mean([loss for loss, _ in parts]), whole, rtol=1e-12)
    joined = np.concatenate([g for _, g in parts]) / 3
    np.testing.assert_allclose(joined, gradient, rtol=1e-12, atol=1e-17)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_of_extreme_logits(dtype):
    logits = np.array([[1e30, -1e30, 0], [-1e30, 0, 0], [0, 1e4, 1e4]], dtype)
    loss, gradient = value_and_gradient(softmax_cross_entropy, logits, np.array([0, 2, 1]))
    np.testing.assert_allclose(loss, (0 + np.log(2) + np.log(2)) / 3, rtol=1e-6)
    expected = np.array([[0, 0, 0], [0, 0.5, -0.5], [0, -0.5, 0.5]]) / 3
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-12)


# ---------------------------------------------------------------- masked_sigmoid_cross_entropy
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("findings_dtype", ["int8", "int64"])
def test_masked_sigmoid_equals_brute_force(weighted, findings_dtype):
    logits, findings = findings_of()
    weights = np.random.default_rng(5).uniform(0, 3, (5, 2)) if weighted else np.ones((5, 2))
    options = {"weights": weights} if weighted else {}
    loss, gradient = value_and_gradient(
        masked_sigmoid_cross_entropy, logits, findings.astype(findings_dtype), **options
    )
    terms, gradients = binary_terms(logits, findings, weights)
    assert 10 < len(terms) < 50
    np.testing.assert_allclose(loss, terms.mean(), rtol=1e-13)
    np.testing.assert_allclose(gradient, gradients / len(terms), rtol=1e-11, atol=1e-17)
    assert (gradient[findings < 0] == 0).all()


def test_masked_sigmoid_gradient_equals_finite_differences():
    logits, findings = findings_of(n=4, num_findings=3)
    weights = np.array([[0.5, 2.0], [1.0, 3.0], [1.0, 1.0]])
    _, gradient = value_and_gradient(
        masked_sigmoid_cross_entropy, logits, findings, weights=weights
    )
    for index in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[index] = 1e-6
        above, below = (
            float(masked_sigmoid_cross_entropy(logits + sign * step, findings, weights=weights))
            for sign in (1, -1)
        )
        np.testing.assert_allclose(gradient[index], (above - below) / 2e-6, rtol=1e-6, atol=1e-9)


def test_zero_logits_give_log_2_whatever_is_unknown():
    findings = np.array([[1, 0, -1], [-2, 0, 1], [-2, -1, -2]], np.int8)
    loss, gradient = value_and_gradient(masked_sigmoid_cross_entropy, np.zeros((3, 3)), findings)
    np.testing.assert_allclose(loss, np.log(2), rtol=1e-14)
    expected = np.array([[-0.5, 0.5, 0], [0, 0.5, -0.5], [0, 0, 0]]) / 4
    np.testing.assert_allclose(gradient, expected, rtol=1e-14)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("unknown_parts", [0, 2])
def test_replicas_that_know_unlike_numbers_average_to_the_whole_batch(weighted, unknown_parts):
    logits, findings = findings_of(n=20)
    findings[10:] = np.where(np.random.default_rng(1).random((10, 5)) < 0.7, -2, findings[10:])
    parts = [slice(4 * part, 4 * part + 4) for part in range(5)]
    for part in parts[:unknown_parts]:
        findings[part] = -2
    weights = np.random.default_rng(5).uniform(0, 3, (5, 2)) if weighted else None
    whole, gradient = value_and_gradient(
        masked_sigmoid_cross_entropy, logits, findings, weights=weights
    )
    counts = [(findings[part] >= 0).sum() for part in parts]
    assert len(set(counts)) > 2
    seen = []

    def mean_over_replicas(count):
        seen.append(float(count))
        return tf.constant(np.mean(counts), count.dtype)

    results = [
        value_and_gradient(
            masked_sigmoid_cross_entropy,
            logits[part],
            findings[part],
            weights=weights,
            mean_over_replicas=mean_over_replicas,
        )
        for part in parts
    ]
    assert seen == counts
    np.testing.assert_allclose(np.mean([loss for loss, _ in results]), whole, rtol=1e-12)
    joined = np.concatenate([g for _, g in results]) / 5
    np.testing.assert_allclose(joined, gradient, rtol=1e-12, atol=1e-17)


def test_fewer_known_entries_than_replicas():
    # One known entry on one of four replicas: the mean number is a quarter.
    loss = masked_sigmoid_cross_entropy(
        np.array([[1.5, 9.0]]), np.array([[0, -1]]), mean_over_replicas=lambda count: count / 4
    )
    np.testing.assert_allclose(float(loss) / 4, np.log1p(np.exp(1.5)), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_nothing_known_gives_zero(dtype, jit_compile):
    logits = np.array([[1.0, -2.0], [np.inf, np.nan], [6e4, -np.inf]], dtype)
    findings = np.array([[-1, -2], [-2, -1], [-2, -2]], np.int8)

    def run(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = masked_sigmoid_cross_entropy(logits, findings, weights=np.full((2, 2), 3.0))
        return loss, tape.gradient(loss, logits)

    if jit_compile is not None:
        run = tf.function(run, jit_compile=jit_compile)
    loss, gradient = run(tf.constant(logits))
    assert loss.numpy() == 0
    np.testing.assert_array_equal(gradient, np.zeros((3, 2)))


@pytest.mark.parametrize("jit_compile", [None, False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_logits_known_and_masked(dtype, jit_compile):
    logits = np.array(
        [[1e30, -1e30, 1e30], [-1e30, 1e30, np.nan], [-200.0, 200.0, -np.inf], [0, 1e30, np.inf]],
        dtype,
    )
    findings = np.array([[1, 0, -1], [-2, -1, -1], [0, 1, -2], [1, -2, -1]], np.int8)

    def run(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = masked_sigmoid_cross_entropy(logits, findings)
        return loss, tape.gradient(loss, logits)

    if jit_compile is not None:
        run = tf.function(run, jit_compile=jit_compile)
    loss, gradient = run(tf.constant(logits))
    np.testing.assert_allclose(loss, np.log(2) / 5, rtol=1e-6)
    expected = np.zeros((4, 3))
    expected[3, 0] = -0.5 / 5
    np.testing.assert_allclose(gradient, expected, atol=1e-30)
    assert (gradient.numpy()[findings < 0] == 0).all()

    wrong = 1 - findings  # where it is known
    loss, gradient = value_and_gradient(
        masked_sigmoid_cross_entropy, logits[[0, 2]], np.where(findings >= 0, wrong, -1)[[0, 2]]
    )
    np.testing.assert_allclose(loss, (1e30 + 1e30 + 200 + 200) / 4, rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0.25, -0.25, 0], [-0.25, 0.25, 0]], rtol=1e-6)


def test_small_losses_keep_their_digits():
    logits = np.array([[-12.0, 12.0], [-14.0, 17.0]])
    findings = np.array([[0, 1], [0, 1]])
    expected = np.mean(np.log1p(np.exp(-np.abs(logits))))
    loss = masked_sigmoid_cross_entropy(logits.astype("float32"), findings)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(masked_sigmoid_cross_entropy(logits, findings), expected, rtol=1e-9)


# ---------------------------------------------------------------- both
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
    rtol = {"float32": 1e-6, "float64": 1e-13}[expected]
    for loss, (logits, truth), weights in (
        (softmax_cross_entropy, classes(), {"class_weights": np.linspace(0.1, 2, 5)}),
        (masked_sigmoid_cross_entropy, findings_of(), {"weights": np.full((5, 2), 0.3)}),
    ):
        logits = tf.cast(logits, dtype)
        for options in ({}, weights):
            value = loss(logits, truth, **options)
            assert keras.backend.standardize_dtype(value.dtype) == expected
            exact = loss(tf.cast(logits, "float64"), truth, **options)
            np.testing.assert_allclose(value, exact, rtol=rtol)


def test_unknown_batch_size_in_a_graph():
    spec = tf.TensorSpec((None, 5), "float64")

    @tf.function(input_signature=[spec, tf.TensorSpec((None,), "int64")])
    def softmax_loss(logits, labels):
        return softmax_cross_entropy(logits, labels, class_weights=[1.0, 2, 3, 4, 5])

    @tf.function(input_signature=[spec, tf.TensorSpec((None, 5), "int8")])
    def sigmoid_loss(logits, findings):
        return masked_sigmoid_cross_entropy(logits, findings, weights=np.ones((5, 2)))

    for n in (2, 9):
        logits, labels = classes(n)
        own = (labels + 1) * log_softmax(logits, axis=1)[np.arange(n), labels]
        np.testing.assert_allclose(softmax_loss(logits, labels), -own.mean(), rtol=1e-13)
        logits, findings = findings_of(n)
        terms, _ = binary_terms(logits, findings, np.ones((5, 2)))
        np.testing.assert_allclose(sigmoid_loss(logits, findings), terms.mean(), rtol=1e-13)


@pytest.mark.parametrize(
    "loss, logits, truth, options, message",
    [
        (softmax_cross_entropy, (4, 3), (3,), {}, r"labels \(3,\) do not fit logits \(4, 3\)"),
        (softmax_cross_entropy, (4, 3), (4, 1), {}, r"labels \(4, 1\)"),
        (softmax_cross_entropy, (4,), (4,), {}, r"logits \(4,\)"),
        (softmax_cross_entropy, (4, 3), (4,), {"class_weights": [1, 1]}, r"class_weights \(2,\)"),
        (masked_sigmoid_cross_entropy, (4, 3), (4, 1), {}, r"findings \(4, 1\) do not fit"),
        (masked_sigmoid_cross_entropy, (4,), (4,), {}, r"logits \(4,\)"),
        (
            masked_sigmoid_cross_entropy,
            (4, 3),
            (4, 3),
            {"weights": np.ones((2, 3))},
            r"weights \(2, 3\)",
        ),
    ],
)
def test_refuses_shapes_that_do_not_fit(loss, logits, truth, options, message):
    with pytest.raises(ValueError, match=message):
        loss(np.zeros(logits), np.zeros(truth, int), **options)
