import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from micle_tf.evaluation.linear_probe import L2_GRID, linear_head, train_linear_head


def split(n, d=8, num_findings=4, seed=0, known=(0.9, 0.5, 0.2, 0.7)):
    """Features of unlike scales and findings, of which each is known in another share of rows."""
    rng = np.random.default_rng(seed)
    parts = np.random.default_rng(99)
    mix = parts.normal(size=(d, d)) * np.exp(parts.normal(size=d))
    directions = parts.normal(size=(d, num_findings))
    latent = rng.normal(size=(n, d))
    present = rng.random((n, num_findings)) < expit(latent @ directions - 0.5)
    unknown = rng.choice(np.array([-1, -2]), (n, num_findings))
    stated = rng.random((n, num_findings)) < np.resize(known, num_findings)
    findings = np.where(stated, present, unknown).astype(np.int8)
    return np.maximum(latent @ mix + 1, 0).astype(np.float32), findings


def logistic_regressions(train_x, train_y, x, l2):
    """The same problems for scikit-learn: C = 1 / (l2 n_known) on standardised features."""
    mean, std = train_x.mean(axis=0, dtype=float), train_x.std(axis=0, dtype=float)
    columns = []
    for truth in train_y.T:
        known = truth >= 0
        model = LogisticRegression(C=1 / (l2 * known.sum()), tol=1e-9, max_iter=10000)
        model.fit((train_x[known] - mean) / std, truth[known])
        columns.append(model.predict_proba((x - mean) / std)[:, 1])
    return np.stack(columns, axis=1)


def mean_cross_entropy(p, findings):
    """Mean over findings of the mean over their known rows."""
    p = p.astype(float)
    means = []
    for k in range(findings.shape[1]):
        known = findings[:, k] >= 0
        own = np.where(findings[known, k] == 1, p[known, k], 1 - p[known, k])
        means.append(-np.mean(np.log(own)))
    return np.mean(means)


@pytest.mark.parametrize("l2", [1e-2, 1e-1])
def test_reaches_the_optimum_of_each_logistic_regression(l2):
    train, val = split(500), split(200, seed=1)
    head, info = train_linear_head(*train, *val, 4, l2_grid=[l2])
    expected = logistic_regressions(*train, val[0], l2)
    np.testing.assert_allclose(head.predict(val[0], verbose=0), expected, atol=1e-3)
    loss = mean_cross_entropy(expected, val[1])
    assert info["validation_loss"] == pytest.approx(loss, rel=1e-3)
    assert info["steps"] == 1000


@pytest.mark.slow
def test_reaches_it_with_minibatches_too():
    train, val = split(4500, d=5), split(200, d=5, seed=1)
    head, _ = train_linear_head(*train, *val, 4, l2_grid=[1e-2], seed=3)
    expected = logistic_regressions(*train, val[0], 1e-2)
    np.testing.assert_allclose(head.predict(val[0], verbose=0), expected, atol=5e-3)


def test_one_strength_for_all_is_chosen_by_the_mean_over_findings():
    train, val = split(120, d=30), split(300, d=30, seed=1)
    head, info = train_linear_head(*train, *val, 4, steps=300)
    assert info == json.loads(json.dumps(info))
    assert info["l2_grid"] == list(L2_GRID)
    best = int(np.argmin(info["validation_losses"]))
    assert 0 < best < len(L2_GRID) - 1
    assert info["l2"] == L2_GRID[best]
    assert info["validation_loss"] == info["validation_losses"][best]
    p = head.predict(val[0], verbose=0)
    assert info["validation_loss"] == pytest.approx(mean_cross_entropy(p, val[1]), rel=1e-5)


@pytest.mark.slow
def test_findings_are_independent_of_each_other():
    (train_x, train_y), (val_x, val_y) = split(200), split(100, seed=1)
    options = {"l2_grid": [1e-2], "steps": 80}
    together, _ = train_linear_head(train_x, train_y, val_x, val_y, 4, **options)
    p = together.predict(val_x, verbose=0)
    for k in range(4):
        column = slice(k, k + 1)
        alone, _ = train_linear_head(
            train_x, train_y[:, column], val_x, val_y[:, column], 1, **options
        )
        np.testing.assert_allclose(alone.predict(val_x, verbose=0), p[:, column], atol=1e-5)


def test_findings_that_one_of_the_splits_does_not_know():
    (train_x, train_y), (val_x, val_y) = split(200), split(100, seed=1)
    train_y[:, 1] = -1  # no head can predict it
    val_y[:, 3] = -2  # nothing to choose by
    head, info = train_linear_head(train_x, train_y, val_x, val_y, 4, steps=200)
    p = head.predict(val_x, verbose=0)
    np.testing.assert_array_equal(p[:, 1], 0.5)
    assert p[:, 3].std() > 0.05  # it is trained nevertheless
    expected = mean_cross_entropy(p[:, [0, 2]], val_y[:, [0, 2]])
    assert info["validation_loss"] == pytest.approx(expected, rel=1e-5)
    kept = [0, 2]
    choice = train_linear_head(train_x, train_y[:, kept], val_x, val_y[:, kept], 2, steps=200)[1]
    assert info["l2"] == choice["l2"]
    assert info["validation_losses"] == pytest.approx(choice["validation_losses"], rel=1e-4)


@pytest.mark.parametrize("n", [200, 4200])
def test_same_arguments_same_weights_bit_for_bit(n):
    train, val = split(n, d=4), split(50, d=4, seed=1)
    keras.utils.set_random_seed(1)
    first, first_info = train_linear_head(*train, *val, 4, steps=20, seed=5)
    keras.utils.set_random_seed(2)
    again, again_info = train_linear_head(*train, *val, 4, steps=20, seed=5)
    assert first_info == again_info
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("policy, floatx", [("mixed_bfloat16", "float32"), ("float64", "float64")])
def test_is_float32_under_any_global_policy(policy, floatx):
    train, val = split(150), split(60, seed=1)
    expected = train_linear_head(*train, *val, 4, steps=40)[0].predict(val[0], verbose=0)
    before = keras.config.dtype_policy(), keras.config.floatx()
    try:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)
        head, _ = train_linear_head(*train, *val, 4, steps=40)
        got = head.predict(val[0], verbose=0)
    finally:
        keras.config.set_floatx(before[1])
        keras.config.set_dtype_policy(before[0])
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-6)


# ---------------------------------------------------------------- linear_head
@pytest.mark.parametrize("multilabel", [False, True])
def test_an_untrained_head_is_undecided(multilabel):
    head = linear_head(6, 4, multilabel)
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    np.testing.assert_array_equal(head.predict(x, verbose=0), 0.5 if multilabel else 0.25)
    assert [layer.name for layer in head.layers] == ["standardise", "dense"]
    assert [tuple(w.shape) for w in head.trainable_weights] == [(6, 4), (4,)]
    assert head.count_params() == 6 * 4 + 4 + 6 + 6 + 1


def trained(multilabel):
    (train_x, train_y), (val_x, val_y) = split(120), split(60, seed=1)
    if not multilabel:
        train_y, val_y = train_y[:, 0] + 2, val_y[:, 0] + 2
    head, _ = train_linear_head(train_x, train_y, val_x, val_y, 4, l2_grid=[1e-2], steps=30)
    p = head.predict(val_x, verbose=0)
    assert p.std() > 0.1
    return head, val_x, p


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("used_before", [False, True])
def test_a_checkpoint_restores_a_head(tmp_path, multilabel, used_before):
    head, x, expected = trained(multilabel)
    path = tf.train.Checkpoint(head=head).save(str(tmp_path / "ckpt"))
    fresh = linear_head(8, 4, multilabel)
    if used_before:  # compiled functions must see the new statistics too
        assert not np.array_equal(fresh.predict(x, verbose=0), expected)
    status = tf.train.Checkpoint(head=fresh).restore(path)
    status.assert_consumed()
    np.testing.assert_array_equal(fresh.predict(x, verbose=0), expected)
    np.testing.assert_array_equal(fresh(x), head(x))

    # And through a file, from there through a checkpoint once more.
    fresh.save(tmp_path / "head.keras")
    loaded = keras.models.load_model(tmp_path / "head.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    path = tf.train.Checkpoint(head=loaded).save(str(tmp_path / "again"))
    second = linear_head(8, 4, multilabel)
    tf.train.Checkpoint(head=second).restore(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(second.predict(x, verbose=0), expected)


@pytest.mark.parametrize("multilabel", [False, True])
def test_weights_and_a_file_restore_a_head(tmp_path, multilabel):
    head, x, expected = trained(multilabel)
    fresh = linear_head(8, 4, multilabel)
    fresh.predict(x, verbose=0)
    fresh.set_weights(head.get_weights())
    np.testing.assert_array_equal(fresh.predict(x, verbose=0), expected)

    head.save(tmp_path / "head.keras")
    loaded = keras.models.load_model(tmp_path / "head.keras")
    assert [type(layer).__name__ for layer in loaded.layers] == ["Normalization", "Dense"]
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)


def test_a_head_is_part_of_a_saved_model(tmp_path):
    head, x, expected = trained(True)
    head.export(str(tmp_path / "export"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    np.testing.assert_allclose(loaded.serve(x), expected, atol=1e-6)


X, Y = np.zeros((4, 3), np.float32), np.array([[0, 1], [1, 0], [0, -1], [-2, 1]], np.int8)


@pytest.mark.parametrize(
    "arguments, num_findings, message",
    [
        ((X, Y, X[:0], Y[:0]), 2, "no labelled validation rows"),
        ((X, Y, X, Y), 3, r"expected \[n, d\] and \[n, 3\]"),
        ((X, Y, X, Y[:, 0]), 2, r"expected \[n, d\] and \[n, 2\]"),
        ((X, Y[:, 0] + 2, X, Y), 4, r"expected \[n, d\] and \[n\]"),
        ((X, Y + 1, X, Y), 2, "from -1 to 2"),
        ((X, Y, X, Y - 1), 2, "from -3 to 0"),
        ((X, Y.astype(float), X, Y), 2, "integers"),
        ((X, Y * 0 - 1, X, Y), 2, "no validation row knows a finding"),
        ((X, Y, X, Y * 0 - 2), 2, "no validation row knows a finding"),
        ((X, np.where([1, 0], Y, -2), X, np.where([0, 1], Y, -2)), 2, "no validation row knows"),
    ],
)
def test_bad_input(arguments, num_findings, message):
    with pytest.raises(ValueError, match=message):
        train_linear_head(*arguments, num_findings)
