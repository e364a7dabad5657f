"""The linear head of linear evaluation, trained on cached features.

The encoder is frozen, so its features are computed once, and only logistic regression is left
(multinomial for classes, one per finding for findings): a convex problem, whose one free choice,
the L2 strength, is made on the validation split (as for the linear classifiers of SimCLR's
transfer experiments, Chen et al., 2020).
"""

import math
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

L2_GRID = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 10.0)

BATCH_ROWS = 4096  # with no more rows than this, every step sees all of them
MIN_STEPS = 1000
MIN_PASSES = 20
# Adam moves every weight by about its rate, so d weights can move a logit by d rates. This peak
# and the warm-up keep wide features from overshooting into a solution that separates the training
# rows with huge weights, from which a weak penalty does not lead back.
PEAK_RATE = 0.6  # times 1 / sqrt(d)
WARMUP = 0.1  # share of the steps
# Products of a feature and a weight in one call, within which no signal is heard: a second or two
# of a slow core, where a command that is to end has 15 in all.
PRODUCTS_AT_ONCE = 10**10

# From labels [n, ...] and logits [n, L, K] to losses [n].
_LossOfRows = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def train_linear_head(
    train_x,
    train_y,
    val_x,
    val_y,
    num_classes: int,
    *,
    l2_grid: Sequence[float] = L2_GRID,
    steps: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[keras.Model, dict]:
    """Linear head on features, for classes or findings, its L2 strength chosen on validation.

    For classes it minimises, on features standardised by their training mean and deviation,

        mean over rows of cross-entropy(softmax(x W + b), y)  +  l2 / 2 * ||W||^2

    with no penalty on b. `sklearn.linear_model.LogisticRegression` minimises the sum over the n
    rows times C, plus ||W||^2 / 2, which is n C times the above for C = 1 / (l2 n).

    For findings, K independent logistic regressions, each minimise

        mean over known rows of cross-entropy(sigmoid(x w_k + b_k), y_k)  +  l2 / 2 * ||w_k||^2

    with one l2 for all. Rows are known to a finding where it is 1 (present) or 0 (absent), and not
    where it is -1 (uncertain) or -2 (not mentioned). A finding that no training row knows keeps
    zero weights, so its probability is 0.5.

    All strengths are trained at once, as the slices of one kernel [d, L, K] under the sum of
    their losses: no gradient of one slice depends on another, and Adam is elementwise, so this
    equals L separate runs and reads the features once. W and b start at zero; the rate warms up
    and follows a cosine to 0. A step sees up to 4,096 rows; if there are more, each pass has a new
    order. Strengths of 1e-2 and more reach the optimum; much weaker ones on features that separate
    the training rows stop before it, which generalises no worse.

    Nothing but the order of minibatches is random: on one machine the same arguments give the
    same weights, bit for bit. All is float32, whatever the global dtype policy.

    Args:
      train_x: float [n, d] features, as the encoder gives them.
      train_y: int [n], classes in [0, num_classes), of which some may have no row; or findings,
        int [n, K].
      val_x: float [m, d].
      val_y: int [m], or [m, K] with findings. What `train_y` lacks, rows of a class without
        training rows or a finding that no training row knows, takes no part in the choice: no
        head can predict it.
      num_classes: K, of the classes or of the findings.
      l2_grid: strengths to try, at least one, none negative.
      steps: optimizer steps; by default 1,000, or 20 passes over the rows where that is more.
      seed: of the order of minibatches.
      progress: called as `progress(done, steps)` after every hundredth of the steps, rounded up,
        or after fewer where these take long, and after the last.

    Returns:
      `(head, info)`. `head` is a `linear_head` from raw features float32 [n, d] to probabilities
      float32 [n, K]. `info` is plain JSON: `l2`, the strength with the lowest mean validation
      cross-entropy (the larger of equals; for findings the mean over findings of the mean over
      their known rows), `validation_loss`, its value in nats, `l2_grid` and `validation_losses`,
      both in increasing order of strength, and `steps`.

    Raises:
      ValueError: a split without rows, shapes that do not fit, a feature that is not finite, a
        label outside [0, num_classes), a finding outside {-2, -1, 0, 1}, no validation row of a
        class in `train_y` or of a finding known there, or a bad grid or number of steps.
    """
    multilabel = np.ndim(train_y) == 2
    train_x, train_y = _checked("train", train_x, train_y, num_classes, multilabel)
    val_x, val_y = _checked("validation", val_x, val_y, num_classes, multilabel)
    n, d = train_x.shape
    if val_x.shape[1] != d:
        raise ValueError(f"linear head: {d} training features, {val_x.shape[1]} for validation")
    if multilabel:
        val_y = np.where((train_y >= 0).any(axis=0), val_y, -2)
        known = (val_y >= 0).any(axis=1)
    else:
        known = np.isin(val_y, train_y)
    if not known.any():
        what = "knows a finding" if multilabel else "has a class"
        raise ValueError(f"linear head: no validation row {what} that the training rows have")
    l2_grid = sorted(float(l2) for l2 in l2_grid)
    if not l2_grid or not all(0 <= l2 < math.inf for l2 in l2_grid):
        raise ValueError(f"linear head: l2_grid={l2_grid}, expected finite numbers >= 0")
    batch_rows = min(n, BATCH_ROWS)
    if steps is None:
        steps = max(MIN_STEPS, math.ceil(MIN_PASSES * n / batch_rows))
    if steps < 1:
        raise ValueError(f"linear head: steps={steps}, expected at least 1")

    head = linear_head(d, num_classes, multilabel)
    standardise, dense = head.layers
    _set_standardisation(standardise, train_x)
    heads = _stacked_heads(d, num_classes, len(l2_grid))
    of_rows = _sum_of_findings(train_y) if multilabel else _sum_of_heads
    take_steps = _steps_of(heads, of_rows, l2_grid, _rate(d, steps))
    x, y = standardise(train_x), tf.constant(train_y)
    batches = _batches(n, batch_rows, seed)
    at_once = _steps_at_once(steps, batch_rows * math.prod(heads.kernel.shape))
    for done in range(0, steps, at_once):
        count = min(at_once, steps - done)
        # Never fewer rows than for `at_once` steps, as another shape would be another trace.
        rows = None if batch_rows == n else np.stack([next(batches) for _ in range(at_once)])
        take_steps(x, y, rows, count)
        if progress is not None:
            progress(done + count, steps)

    logits = keras.ops.convert_to_numpy(heads(standardise(val_x[known])))
    losses = (_finding_cross_entropies if multilabel else _cross_entropies)(logits, val_y[known])
    best = len(losses) - 1 - int(np.argmin(losses[::-1]))  # the larger strength of equals

    kernel, bias = heads.get_weights()
    dense.set_weights([kernel[:, best], bias[best]])
    return head, {
        "l2": l2_grid[best],
        "validation_loss": float(losses[best]),
        "l2_grid": l2_grid,
        "validation_losses": [float(loss) for loss in losses],
        "steps": steps,
    }


def linear_head(num_features: int, num_outputs: int, multilabel: bool) -> keras.Sequential:
    """An untrained head of the structure that `train_linear_head` returns.

    Weights restored into it, by `tf.train.Checkpoint` or `set_weights`, count at once. Saved by
    `head.save`, it loads in plain Keras.

    Args:
      num_features: d.
      num_outputs: K.
      multilabel: whether the outputs are K independent probabilities (sigmoid: findings) or one
        distribution (softmax: classes).

    Returns:
      A `keras.Sequential` of Normalization "standardise" and Dense "dense", float32 [n, d] to
      [n, K], whatever the global dtype policy. Its features are not scaled yet and its weights
      are zero, so that all outputs are 0.5 or 1 / K.
    """
    standardise = keras.layers.Normalization(dtype="float32", name="standardise")
    dense = keras.layers.Dense(
        num_outputs,
        activation="sigmoid" if multilabel else "softmax",
        kernel_initializer="zeros",
        dtype="float32",
        name="dense",
    )
    standardise.build((None, num_features))
    # Keras computes with copies, taken by `finalize_state`, which a checkpoint does not call: the
    # layer would go on with the old statistics. So it computes with its variables themselves.
    standardise.mean, standardise.variance, _ = standardise.weights
    inputs = keras.Input((num_features,), dtype="float32")
    return keras.Sequential([inputs, standardise, dense], name="linear_head")


def _checked(split: str, x, y, num_outputs: int, multilabel: bool) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, np.float32), np.asarray(y)
    if x.ndim != 2 or y.shape != (x.shape[:1] + (num_outputs,) * multilabel):
        expected = f"[n, {num_outputs}]" if multilabel else "[n]"
        raise ValueError(
            f"linear head: {split} features {x.shape} and labels {y.shape}, expected [n, d] and "
            f"{expected}"
        )
    if not y.size:
        raise ValueError(f"linear head: no labelled {split} rows")
    low, high = (-2, 1) if multilabel else (0, num_outputs - 1)
    if not np.issubdtype(y.dtype, np.integer) or y.min() < low or y.max() > high:
        raise ValueError(
            f"linear head: {split} labels ({y.dtype}) from {y.min()} to {y.max()}, expected "
            f"integers from {low} to {high}"
        )
    if not np.isfinite(x).all():
        raise ValueError(f"linear head: a {split} feature is not finite")
    return x, y.astype(np.int32)


def _set_standardisation(layer: keras.layers.Normalization, x: np.ndarray) -> None:
    """Lets the layer give the columns of `x` mean 0 and standard deviation 1."""
    mean = x.mean(axis=0, dtype=np.float64)
    variance = x.var(axis=0, dtype=np.float64)
    # A feature that never moved in training (a dead unit) is centred and left at its scale: a
    # division by almost nothing would blow it up as soon as another split moves it.
    constant = variance <= 1e-12 * variance.max()
    layer.set_weights([mean, np.where(constant, 1.0, variance), np.zeros(())])


def _sum_of_heads(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Cross-entropy [n] of labels [n] and logits [n, L, K], summed over the L heads."""
    each = tf.repeat(labels[:, None], logits.shape[1], axis=1)
    return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(each, logits), axis=1)


def _sum_of_findings(findings: np.ndarray) -> _LossOfRows:
    """Cross-entropy [n] of findings [n, K] and logits [n, L, K], summed over heads and findings.

    A known entry counts rows over known rows, those of all of `findings`, so that the mean over all
    rows is, per finding, the mean over its known ones.
    """
    known = np.count_nonzero(findings >= 0, axis=0)
    scale = (len(findings) / np.maximum(known, 1)).astype(np.float32)

    def loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        labels = labels[:, None]
        losses = tf.nn.softplus(tf.where(labels == 1, -logits, logits))
        return tf.reduce_sum(tf.where(labels >= 0, scale * losses, 0.0), axis=(1, 2))

    return loss


def _stacked_heads(num_features: int, num_outputs: int, num_heads: int) -> keras.layers.EinsumDense:
    """L linear heads side by side, [n, d] -> logits [n, L, K], of zeros."""
    heads = keras.layers.EinsumDense(
        "nd,dlk->nlk",
        output_shape=(num_heads, num_outputs),
        bias_axes="lk",
        kernel_initializer="zeros",
        dtype="float32",
        name="heads",
    )
    heads.build((None, num_features))
    return heads


def _rate(num_features: int, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    warmup_steps = int(WARMUP * steps)
    peak = PEAK_RATE / math.sqrt(num_features)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / (warmup_steps + 1),
        decay_steps=steps - warmup_steps,
        warmup_target=peak,
        warmup_steps=warmup_steps,
    )


def _steps_at_once(steps: int, products: int) -> int:
    """How many of the steps, of so many products each, to take in one call: at least one."""
    at_most = max(1, PRODUCTS_AT_ONCE // products)
    return min(math.ceil(steps / 100), at_most)  # as a call takes longer than a small step


def _steps_of(
    heads: keras.layers.Layer,
    of_rows: _LossOfRows,
    l2_grid: Sequence[float],
    rate: keras.optimizers.schedules.LearningRateSchedule,
) -> Callable[[tf.Tensor, tf.Tensor, np.ndarray | None, int], None]:
    """A function of (x [n, d], y [n, ...], rows int64 [at least count, b] or None, count).

    It takes `count` steps: step i is on `rows[i]` of x and y, or on all of them without `rows`.
    """
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(heads.trainable_variables)
    strengths = tf.constant(l2_grid, tf.float32)[:, None]

    def step(x: tf.Tensor, y: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            penalty = 0.5 * tf.reduce_sum(strengths * tf.square(heads.kernel))  # [d, L, K]
            loss = tf.reduce_mean(of_rows(y, heads(x))) + penalty
        optimizer.apply(tape.gradient(loss, heads.trainable_variables))

    @tf.function(autograph=False)
    def take_steps(x: tf.Tensor, y: tf.Tensor, rows: tf.Tensor | None, count: tf.Tensor) -> None:
        def body(i: tf.Tensor) -> tuple[tf.Tensor]:
            if rows is None:
                step(x, y)
            else:
                step(tf.gather(x, rows[i]), tf.gather(y, rows[i]))
            return (i + 1,)

        tf.while_loop(lambda i: i < count, body, (0,), parallel_iterations=1)

    return lambda x, y, rows, count: take_steps(x, y, rows, tf.constant(count))


def _batches(n: int, batch_rows: int, seed: int):
    """Endless minibatches of rows: one permutation of all rows after the other, cut to size."""
    rng = np.random.default_rng(seed)
    rows = np.empty(0, np.int64)
    while True:
        while len(rows) < batch_rows:
            rows = np.concatenate([rows, rng.permutation(n)])
        yield rows[:batch_rows]
        rows = rows[batch_rows:]


def _cross_entropies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean cross-entropy [L] of logits [n, L, K], in float64."""
    logits = logits.astype(np.float64)
    highest = logits.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(logits - highest).sum(axis=-1)) + highest[..., 0]
    return np.mean(log_sum - logits[np.arange(len(labels)), :, labels], axis=0)


def _finding_cross_entropies(logits: np.ndarray, findings: np.ndarray) -> np.ndarray:
    """Mean over the findings known in some row [L], of logits [n, L, K], in float64."""
    taking_part = (findings >= 0).any(axis=0)
    logits, findings = logits[..., taking_part].astype(np.float64), findings[:, None, taking_part]
    losses = np.logaddexp(0, np.where(findings == 1, -logits, logits))
    return np.mean(losses, axis=0, where=findings >= 0).mean(axis=-1)
