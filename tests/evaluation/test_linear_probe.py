import json
import time

import keras
import numpy as np
import pytest
import scipy.special
from sklearn.linear_model import LogisticRegression

from micle_tf.evaluation import linear_probe
from micle_tf.evaluation.linear_probe import L2_GRID, train_linear_head


def features(n, d=12, num_classes=4, seed=0):
    """Correlated, non-negative features of unlike scales, as a ReLU leaves them."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, num_classes, n)
    parts = np.random.default_rng(99)
    centres = parts.normal(size=(num_classes, d)) * 0.7
    mix = parts.normal(size=(d, d)) * np.exp(parts.normal(size=d))
    x = np.maximum((centres[y] + rng.normal(size=(n, d))) @ mix, 0)
    return x.astype(np.float32), y


def logistic_regression(train_x, train_y, x, l2):
    """The same problem for scikit-learn: C = 1 / (l2 n) on standardised features."""
    mean, std = train_x.mean(axis=0, dtype=float), train_x.std(axis=0, dtype=float)
    model = LogisticRegression(C=1 / (l2 * len(train_x)), tol=1e-8, max_iter=10000)
    return model.fit((train_x - mean) / std, train_y).predict_proba((x - mean) / std)


@pytest.fixture
def global_dtypes():
    """Gives a setter of Keras's global dtypes and undoes it."""
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()

    def set_dtypes(policy_name, floatx_name):
        keras.config.set_floatx(floatx_name)
        keras.config.set_dtype_policy(policy_name)

    yield set_dtypes
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_reaches_the_optimum_of_logistic_regression(l2):
    train, val = features(400), features(200, seed=1)
    head, info = train_linear_head(*train, *val, 4, l2_grid=[l2])
    expected = logistic_regression(*train, val[0], l2)
    np.testing.assert_allclose(head.predict(val[0], verbose=0), expected, atol=1e-3)
    loss = -np.mean(np.log(expected[np.arange(200), val[1]]))
    assert info["validation_loss"] == pytest.approx(loss, rel=1e-3)
    assert info["steps"] == 1000


def test_reaches_it_with_minibatches_too():
    train, val = features(4500, d=6), features(200, d=6, seed=1)
    head, _ = train_linear_head(*train, *val, 4, l2_grid=[1e-2], seed=3)
    expected = logistic_regression(*train, val[0], 1e-2)
    np.testing.assert_allclose(head.predict(val[0], verbose=0), expected, atol=5e-3)


def steps_by_hand(x, y, num_classes, l2, steps, seed):
    """W and b after steps of Adam on minibatches of 4,096 of the rows, in float64."""
    n, d = x.shape
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(n) for _ in range(steps)])
    x = (x - x.mean(axis=0, dtype=float)) / x.std(axis=0, dtype=float)
    x, y = np.hstack([x, np.ones((n, 1))]), np.eye(num_classes)[y]
    penalised = np.r_[np.ones(d), 0][:, None]
    warmup, peak = steps // 10, 0.6 / np.sqrt(d)
    w = first = second = np.zeros((d + 1, num_classes))
    for t in range(1, steps + 1):
        rows = order[4096 * (t - 1) : 4096 * t]
        p = scipy.special.softmax(x[rows] @ w, axis=1)
        gradient = x[rows].T @ (p - y[rows]) / 4096 + l2 * penalised * w
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        if t <= warmup:
            rate = peak * t / (warmup + 1)
        else:
            rate = peak * (1 + np.cos(np.pi * (t - 1 - warmup) / (steps - warmup))) / 2
        unbiased = first / (1 - 0.9**t), second / (1 - 0.999**t)
        w = w - rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-7)
    return w[:-1], w[-1]


@pytest.mark.parametrize("most, at_once", [(10**10, 3), (2 * 4096 * 6 * 4, 2), (1, 1)])
def test_any_number_of_steps_in_a_call_equals_one_after_the_other(monkeypatch, most, at_once):
    """Also where the last call takes fewer."""
    monkeypatch.setattr(linear_probe, "PRODUCTS_AT_ONCE", most)
    (x, y), done = features(4200, d=6), []
    progress = lambda *at: done.append(at)
    head, _ = train_linear_head(x, y, x, y, 4, l2_grid=[1e-2], steps=205, seed=3, progress=progress)
    counts = [*range(at_once, 205, at_once), 205]
    assert done == [(count, 205) for count in counts]
    for found, expected in zip(
        head.layers[-1].get_weights(), steps_by_hand(x, y, 4, 1e-2, 205, 3), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_strengths_trained_together_equal_separate_runs():
    train, val = features(150), features(100, seed=1)
    grid = [1e-3, 1.0]
    together = train_linear_head(*train, *val, 4, l2_grid=grid, steps=60)[1]
    alone = [train_linear_head(*train, *val, 4, l2_grid=[l2], steps=60)[1] for l2 in grid]
    expected = [info["validation_loss"] for info in alone]
    assert together["validation_losses"] == pytest.approx(expected, rel=1e-5)
    assert len(set(np.round(expected, 3))) == 2


def test_keeps_the_strength_that_is_best_on_validation_and_the_head_is_that_slice():
    train, val = features(100, d=40), features(300, d=40, seed=1)
    done = []
    head, info = train_linear_head(*train, *val, 4, progress=lambda *at: done.append(at))
    assert done == [(10 * i + 10, 1000) for i in range(100)]
    assert info == json.loads(json.dumps(info))
    assert info["l2_grid"] == list(L2_GRID)
    best = int(np.argmin(info["validation_losses"]))
    assert 0 < best < len(L2_GRID) - 1  # neither no penalty nor all penalty is best here
    assert info["l2"] == L2_GRID[best]
    assert info["validation_loss"] == info["validation_losses"][best]
    own = head.predict(val[0], verbose=0)[np.arange(300), val[1]].astype(float)
    assert -np.mean(np.log(own)) == pytest.approx(info["validation_loss"], rel=1e-5)


def test_of_equal_strengths_the_larger_is_kept():
    # Constant features: W stays zero, so the strength makes no difference at all.
    x, y = np.full((30, 3), 0.3, np.float32), np.arange(30) % 3
    head, info = train_linear_head(x, y, x, y, 3, l2_grid=[1.0, 1e-3, 1e-1], steps=200)
    assert len(set(info["validation_losses"])) == 1
    assert info["l2_grid"] == [1e-3, 1e-1, 1.0] and info["l2"] == 1.0
    np.testing.assert_allclose(head.predict(x, verbose=0), 1 / 3, atol=1e-3)


@pytest.mark.parametrize("n", [200, 4200])
def test_same_arguments_same_weights_bit_for_bit(n):
    train, val = features(n, d=4), features(50, d=4, seed=1)
    keras.utils.set_random_seed(1)
    first, first_info = train_linear_head(*train, *val, 4, steps=30, seed=5)
    keras.utils.set_random_seed(2)
    again, again_info = train_linear_head(*train, *val, 4, steps=30, seed=5)
    other, _ = train_linear_head(*train, *val, 4, steps=30, seed=6)
    assert first_info == again_info
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    # The seed orders minibatches, of which there are none if a step sees all rows.
    same = np.array_equal(first.layers[-1].get_weights()[0], other.layers[-1].get_weights()[0])
    assert same == (n == 200)


@pytest.mark.parametrize(
    "policy, floatx",
    [
        ("mixed_bfloat16", "float32"),
        ("mixed_float16", "float32"),
        ("float64", "float64"),
        ("bfloat16", "float32"),
    ],
)
def test_is_float32_under_any_global_policy(global_dtypes, policy, floatx):
    train, val = features(150), features(60, seed=1)
    expected, expected_info = train_linear_head(*train, *val, 4, steps=40)
    expected = expected.predict(val[0], verbose=0)
    global_dtypes(policy, floatx)
    head, info = train_linear_head(*train, *val, 4, steps=40)
    got = head.predict(val[0], verbose=0)
    assert got.dtype == np.float32
    assert {w.dtype for w in head.weights if w.name != "count"} == {"float32"}
    assert info["l2"] == expected_info["l2"]
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_a_class_without_training_rows():
    (train_x, train_y), (val_x, val_y) = features(300), features(200, seed=1)
    kept = train_y != 2
    head, info = train_linear_head(train_x[kept], train_y[kept], val_x, val_y, 4, l2_grid=[1e-2])
    p = head.predict(val_x, verbose=0)
    assert p.shape == (200, 4) and p[:, 2].max() < 0.02
    others = logistic_regression(train_x[kept], train_y[kept], val_x, 1e-2)
    np.testing.assert_allclose(p[:, [0, 1, 3]], others, atol=2e-2)
    # Its validation rows, which no head can get right, take no part in the choice.
    known = val_y != 2
    own = p[known, val_y[known]].astype(float)
    assert info["validation_loss"] == pytest.approx(-np.mean(np.log(own)), rel=1e-5)


def test_a_feature_that_was_dead_in_training_changes_nothing():
    (train_x, train_y), (val_x, val_y) = features(200), features(100, seed=1)
    head, _ = train_linear_head(train_x, train_y, val_x, val_y, 4, steps=100)
    dead = np.float32(1e-9) * (train_y == 1)[:, None]  # as good as dead, yet it tells a class
    head_with, _ = train_linear_head(
        np.hstack([train_x, dead]), train_y, np.hstack([val_x, dead[:100]]), val_y, 4, steps=100
    )
    alive = np.hstack([val_x, np.full((100, 1), 3.0, np.float32)])
    got, expected = head_with.predict(alive, verbose=0), head.predict(val_x, verbose=0)
    np.testing.assert_allclose(got, expected, atol=2e-2)  # 12 or 13 features: another rate


def test_the_head_takes_raw_features_and_survives_a_file(tmp_path):
    train, val = features(200), features(100, seed=1)
    head, _ = train_linear_head(*train, *val, 4, steps=50)
    assert [type(layer).__name__ for layer in head.layers] == ["Normalization", "Dense"]
    scaled = head.layers[0](train[0]).numpy()
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-5)
    head.save(tmp_path / "head.keras")
    loaded = keras.saving.load_model(tmp_path / "head.keras")
    np.testing.assert_array_equal(
        loaded.predict(val[0], verbose=0), head.predict(val[0], verbose=0)
    )


X, Y = np.zeros((4, 3), np.float32), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((X, Y, X[:0], Y[:0], 2), {}, "no labelled validation rows"),
        ((X[:0], Y[:0], X, Y, 2), {}, "no labelled train rows"),
        ((X, Y, X, Y[1:], 2), {}, "expected"),
        ((X, Y, X[:, :2], Y, 2), {}, "3 training features, 2"),
        ((X, Y - 1, X, Y, 2), {}, "from -1 to 0"),
        ((X, Y, X, Y + 1, 2), {}, "from 1 to 2"),
        ((X, Y.astype(float), X, Y, 2), {}, "integers"),
        ((X + np.nan, Y, X, Y, 2), {}, "not finite"),
        ((X, Y, X, Y * 0 + 2, 3), {}, "no validation row has a class"),
        ((X, Y, X, Y, 2), {"l2_grid": []}, "l2_grid"),
        ((X, Y, X, Y, 2), {"l2_grid": [-1.0]}, "l2_grid"),
        ((X, Y, X, Y, 2), {"steps": 0}, "steps=0"),
    ],
)
def test_bad_input(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        train_linear_head(*arguments, **options)


def test_speed():
    train, val = features(5000, d=192, num_classes=8), features(500, d=192, num_classes=8, seed=1)
    start = time.process_time()
    train_linear_head(*train, *val, 8, l2_grid=L2_GRID[:7], steps=100)
    assert time.process_time() - start < 6  # all 1,000 steps: 6 s on one core when written
