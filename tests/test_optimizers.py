import keras
import numpy as np
import pytest
import tensorflow as tf

from micle_tf.optimizers import BATCH_NORM_PATH, LARS, SGDL2, WarmupCosine, scaled_learning_rate

RATES = (0.05, 0.1, 0.3, 0.2, 0.1, 0.05)
# (weight decay, nesterov): w[0, 0] and b[0] after each of six steps at RATES, by optax 0.2.8
# (optax.lars, float32, decay and trust ratio on w only) for r = RandomState(1);
# w = r.randn(5, 4); b = r.randn(4), then gradients (r.randn(5, 4), r.randn(4)) step by step.
OPTAX = {
    (0.0, False): [
        (1.62428498, -1.10315955),
        (1.62421286, -1.32400346),
        (1.62407303, -1.41017747),
        (1.62404883, -1.47999501),
        (1.62402964, -1.52417374),
        (1.62397957, -1.58869517),
    ],
    (0.0, True): [
        (1.62423062, -1.10544598),
        (1.62414789, -1.52276301),
        (1.62394726, -1.48773408),
        (1.62402701, -1.54283071),
        (1.62401235, -1.56393468),
        (1.62393451, -1.64676452),
    ],
    (0.0001, False): [
        (1.62428498, -1.10315955),
        (1.62421274, -1.32400346),
        (1.62407279, -1.41017747),
        (1.62404847, -1.47999501),
        (1.62402916, -1.52417374),
        (1.62397897, -1.58869517),
    ],
    (0.0001, True): [
        (1.62423062, -1.10544598),
        (1.62414777, -1.52276301),
        (1.62394691, -1.48773408),
        (1.62402654, -1.54283071),
        (1.62401175, -1.56393468),
        (1.62393379, -1.64676452),
    ],
    (0.1, False): [
        (1.62427616, -1.10315955),
        (1.62417209, -1.32400346),
        (1.62392437, -1.41017747),
        (1.62375605, -1.47999501),
        (1.62358975, -1.52417374),
        (1.6233983, -1.58869517),
    ],
    (0.1, True): [
        (1.6242137, -1.10544598),
        (1.62407839, -1.52276301),
        (1.62370133, -1.48773408),
        (1.62360442, -1.54283071),
        (1.62344003, -1.56393468),
        (1.62322593, -1.64676452),
    ],
}


def variables(dtype="float32", **values):
    """Keras variables at `layer/name` for keywords `layer__name`."""
    made = []
    for key, value in values.items():
        layer, name = key.split("__")
        with keras.name_scope(layer):
            made.append(keras.Variable(value, dtype=dtype, name=name))
    return made


def numpy_lars(values, gradients, rates, adapted, *, momentum, decay, eta, nesterov):
    """Values after the steps, in float64, from the formulas of the LARS docstring."""
    values = [v.astype("float64") for v in values]
    velocities = [np.zeros_like(v) for v in values]
    for rate, step_gradients in zip(rates, gradients, strict=True):
        for i, g in enumerate(step_gradients):
            if adapted[i]:
                g = g + decay * values[i]
                w_norm, g_norm = np.sqrt((values[i] ** 2).sum()), np.sqrt((g**2).sum())
                g = g * (eta * w_norm / g_norm if w_norm > 0 and g_norm > 0 else 1.0)
            velocities[i] = momentum * velocities[i] + rate * g
            values[i] = values[i] - (
                momentum * velocities[i] + rate * g if nesterov else velocities[i]
            )
    return values


@pytest.fixture
def float64():
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


@pytest.mark.parametrize("weight_decay, nesterov", OPTAX)
def test_lars_follows_optax(weight_decay, nesterov):
    rng = np.random.RandomState(1)
    w, b = variables(dense__kernel=rng.randn(5, 4), dense__bias=rng.randn(4))
    optimizer = LARS(RATES[0], weight_decay=weight_decay, nesterov=nesterov)
    for rate, expected in zip(RATES, OPTAX[weight_decay, nesterov], strict=True):
        optimizer.learning_rate = rate
        gradients = [rng.randn(5, 4).astype("float32"), rng.randn(4).astype("float32")]
        optimizer.apply(gradients, [w, b])
        # Far below 1e-5: the steps on w are themselves only some 1e-4 of it.
        np.testing.assert_allclose((w.numpy()[0, 0], b.numpy()[0]), expected, rtol=4e-7)


@pytest.mark.parametrize("nesterov", [False, True])
def test_lars_equals_its_formulas_in_float64(float64, nesterov):
    rng = np.random.RandomState(0)
    shapes = {"conv__kernel": (3, 3, 2, 4), "head__kernel": (4, 3), "norm__gamma": (4,)}
    values = {key: rng.randn(*shape) for key, shape in shapes.items()}
    gradients = [[rng.randn(*shape) for shape in shapes.values()] for _ in range(5)]
    made = variables("float64", **values)
    schedule = WarmupCosine(0.3, 2, 5)
    optimizer = LARS(schedule, 0.8, 0.05, eta=0.02, nesterov=nesterov, exclude=["^head/"])
    for step_gradients in gradients:
        optimizer.apply([tf.constant(g) for g in step_gradients], made)
    rates = [0.3 * f for f in (0, 0.5, 1, 0.75, 0.25)]
    expected = numpy_lars(
        values.values(),
        gradients,
        rates,
        (True, False, False),
        momentum=0.8,
        decay=0.05,
        eta=0.02,
        nesterov=nesterov,
    )
    for got, want in zip(made, expected, strict=True):
        assert got.dtype == "float64"
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)
    assert {m.dtype for m in optimizer.momentums} == {"float64"}


def test_lars_takes_a_plain_step_where_a_norm_is_zero():
    zero, still = variables(a__kernel=np.zeros((2, 2)), b__kernel=np.ones((2, 2)))
    optimizer = LARS(0.5, momentum=0.0)
    optimizer.apply([np.full((2, 2), 3.0, "float32"), np.zeros((2, 2), "float32")], [zero, still])
    np.testing.assert_array_equal(zero.numpy(), -1.5)
    np.testing.assert_array_equal(still.numpy(), 1.0)


def test_lars_adapts_small_weights_to_small_gradients():
    weights, gradient = np.array([[0.3], [0.4]]), np.array([[0.06], [-0.08]])  # of norm 0.5 and 0.1
    (variable,) = variables(dense__kernel=weights)
    LARS(1.0, momentum=0.0, eta=0.01).apply([gradient.astype("float32")], [variable])
    np.testing.assert_allclose(variable.numpy(), weights - 0.01 * 5 * gradient, rtol=1e-6)


def test_lars_excludes_by_rank_and_by_path():
    names = ("body__kernel", "supervised_head__kernel", "body__bias", "norm__gamma")
    made = variables(**{n: np.ones((2, 2) if "kernel" in n else 2) for n in names})
    optimizer = LARS(1.0, momentum=0.0, weight_decay=1.0, exclude=["supervised_head"])
    # Gradient 1: where adapted, |g + w| = 2 |w|, so the step is 0.001 * (1 / 2) * 2.
    optimizer.apply([np.ones(v.shape, "float32") for v in made], made)
    for variable, value in zip(made, (0.999, 0.0, 0.0, 0.0), strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-6)
    assert optimizer.weight_decay is None  # Keras's own decay stays off


@pytest.mark.parametrize(
    "optimizer",
    [
        LARS(
            WarmupCosine(0.25, 3, 30),
            momentum=0.5,
            weight_decay=0.125,
            eta=0.01,
            nesterov=True,
            exclude=["head", r"embed\d"],
            name="mine",
            global_clipnorm=2.0,
        ),
        SGDL2(
            WarmupCosine(0.25, 3, 30),
            momentum=0.5,
            weight_decay=0.125,
            nesterov=True,
            exclude=["head"],
            name="mine",
            clipvalue=2.0,
        ),
        LARS(0.5),
        SGDL2(0.5),
    ],
)
def test_config_round_trip(optimizer):
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(copy) is type(optimizer)
    assert copy.get_config() == optimizer.get_config()
    state = [(1.0 + np.arange(6).reshape(3, 2)), np.ones(2)]
    results = []
    for each in (optimizer, copy):
        made = variables(body__kernel=state[0], head__kernel=state[0], norm__gamma=state[1])
        for _ in range(5):
            each.apply([np.ones(v.shape, "float32") for v in made], made)
        results.append([v.numpy() for v in made])
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)
    if copy.name == "mine":
        assert (copy.decay, copy.momentum, copy.nesterov) == (0.125, 0.5, True)
        assert copy.exclude[0] == "head"


def small_model():
    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Dense(8, activation="relu", name="hidden"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Dense(1, name="supervised_head"),
    ]
    model = keras.Sequential(layers)
    model.build((None, 4))
    return model


def small_data():
    x = np.random.RandomState(0).randn(64, 4).astype("float32")
    return x, x @ np.array([[1.0], [-2.0], [0.5], [1.0]], "float32")


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: LARS(WarmupCosine(0.05, 8, 80), weight_decay=1e-4, eta=0.5, exclude=["head"]),
        lambda: SGDL2(0.01, weight_decay=1e-4),
    ],
)
def test_fit_lowers_the_loss(optimizer):
    model = small_model()
    model.compile(optimizer(), "mse")
    losses = model.fit(*small_data(), batch_size=64, epochs=80, verbose=0).history["loss"]
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("restore_first", [False, True])
@pytest.mark.parametrize(
    "make", [lambda: LARS(WarmupCosine(0.3, 2, 9), weight_decay=0.1), lambda: SGDL2(0.1)]
)
def test_checkpoint_goes_on_exactly(tmp_path, make, restore_first):
    x, y = small_data()

    def train(model, optimizer, steps):
        for _ in range(steps):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
            optimizer.apply(
                tape.gradient(loss, model.trainable_variables), model.trainable_variables
            )

    model, optimizer = small_model(), make()
    train(model, optimizer, 3)
    path = tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(tmp_path / "ckpt"))
    train(model, optimizer, 3)

    again, restored = small_model(), make()
    if not restore_first:
        restored.build(again.trainable_variables)
    status = tf.train.Checkpoint(model=again, optimizer=restored).restore(path)
    if restore_first:
        restored.build(again.trainable_variables)
    status.assert_consumed()
    assert int(restored.iterations) == 3
    train(again, restored, 3)
    for got, want in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(got.numpy(), want.numpy())
    for got, want in zip(restored.variables, optimizer.variables, strict=True):
        np.testing.assert_array_equal(got.numpy(), want.numpy())


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgdl2_equals_sgd_on_the_loss_with_l2(nesterov):
    rng = np.random.RandomState(0)
    shapes = {"dense__kernel": (3, 2), "dense__bias": (2,), "norm__gamma": (2,), "norm__beta": (2,)}
    values = {key: rng.randn(*shape) for key, shape in shapes.items()}
    made, plain = variables(**values), variables(**values)
    optimizer = SGDL2(0.1, 0.9, weight_decay=0.3, nesterov=nesterov)
    reference = keras.optimizers.SGD(0.1, 0.9, nesterov=nesterov)
    for _ in range(4):
        gradients = [rng.randn(*shape).astype("float32") for shape in shapes.values()]
        with tf.GradientTape() as tape:
            linear = sum(tf.reduce_sum(g * v.value) for g, v in zip(gradients, plain, strict=True))
            loss = linear + 0.3 * sum(tf.nn.l2_loss(v.value) for v in plain[:2])
        reference.apply(tape.gradient(loss, [v.value for v in plain]), plain)
        optimizer.apply([tf.constant(g) for g in gradients], made)
    for got, want in zip(made, plain, strict=True):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)
    assert optimizer.weight_decay is None


def test_sgdl2_excludes_by_path_only():
    made = variables(head__kernel=np.ones((2, 2)), body__bias=np.ones(2), norm__gamma=np.ones(2))
    optimizer = SGDL2(1.0, momentum=0.0, weight_decay=0.25, exclude=["head", BATCH_NORM_PATH])
    optimizer.apply([np.zeros(v.shape, "float32") for v in made], made)
    for variable, value in zip(made, (1.0, 0.75, 1.0), strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_warmup_cosine_against_keras_and_closed_form():
    schedule = WarmupCosine(0.8, warmup_steps=10, total_steps=110)
    cosine = keras.optimizers.schedules.CosineDecay(0.8, 100)
    for step in (0, 1, 9):
        np.testing.assert_allclose(schedule(step), 0.08 * step, rtol=1e-6)
    for step in (10, 11, 47, 109):
        np.testing.assert_allclose(schedule(step), cosine(step - 10), rtol=2e-5)
    np.testing.assert_allclose(schedule(60), 0.4, rtol=1e-6)
    assert float(schedule(110)) == float(schedule(10_000)) == 0.0
    rates = [float(schedule(step)) for step in range(111)]
    assert np.all(np.diff(rates[:11]) > 0) and np.all(np.diff(rates[10:]) < 0)


def test_warmup_cosine_without_warmup_starts_at_the_base_rate():
    schedule = WarmupCosine(0.8, 0, 4)
    expected = 0.4 * (1 + np.cos(np.pi * np.arange(5) / 4))
    np.testing.assert_allclose([schedule(s) for s in range(5)], expected, rtol=1e-6, atol=1e-7)


def test_warmup_cosine_follows_floatx_and_round_trips(float64):
    schedule = WarmupCosine(0.1, 3, 30)
    rate = schedule(keras.Variable(2, dtype="int64"))
    assert keras.backend.standardize_dtype(rate.dtype) == "float64"
    np.testing.assert_allclose(rate, 0.2 / 3, rtol=1e-15)
    serialised = keras.optimizers.schedules.serialize(schedule)
    copy = keras.optimizers.schedules.deserialize(serialised)
    assert copy.get_config() == schedule.get_config()
    assert copy.get_config() == {"base_learning_rate": 0.1, "warmup_steps": 3, "total_steps": 30}


@pytest.mark.parametrize(
    "scaling, expected", [("linear", 0.3 * 512 / 256), ("sqrt", 0.3 * 512**0.5), ("none", 0.3)]
)
def test_scaled_learning_rate(scaling, expected):
    assert scaled_learning_rate(0.3, 512, scaling) == pytest.approx(expected, rel=1e-15)
    # SimCLR's two recipes for a batch of 4096 agree: 0.075 * sqrt(B) and 0.3 * B / 256.
    assert scaled_learning_rate(0.075, 4096, "sqrt") == scaled_learning_rate(0.3, 4096, "linear")


def test_defaults():
    lars, sgd = LARS(0.5), SGDL2(0.5)
    assert (lars.momentum, lars.decay, lars.eta, lars.nesterov) == (0.9, 0.0, 0.001, False)
    assert (lars.exclude, lars.name) == ((), "LARS")
    assert (sgd.momentum, sgd.decay, sgd.nesterov) == (0.9, 0.0, False)
    assert (sgd.exclude, sgd.name) == ((BATCH_NORM_PATH,), "SGDL2")


def test_the_ends_of_the_ranges_belong_to_them():
    for kind in (LARS, SGDL2):
        optimizer = kind(0, momentum=1, weight_decay=0)
        assert (float(optimizer.learning_rate), optimizer.momentum, optimizer.decay) == (0, 1, 0)
        assert kind(0.1, momentum=0).momentum == 0
    assert float(WarmupCosine(0, 0, 1)(0)) == 0.0
    assert float(WarmupCosine(0.5, 0, 1)(0)) == 0.5
    assert scaled_learning_rate(0, 1, "linear") == 0
    assert scaled_learning_rate(0.5, 1, "linear") == 0.5 / 256


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: LARS(-0.1), "learning_rate must be a finite number of at least 0, got -0.1"),
        (lambda: LARS("0.1"), "learning_rate .* got '0.1'"),
        (lambda: LARS(float("nan")), "learning_rate .* got nan"),
        (lambda: LARS(0.1, momentum=1.5), r"momentum must be a finite number in \[0, 1\], got 1.5"),
        (lambda: LARS(0.1, weight_decay=-1e-6), "weight_decay .* at least 0, got -1e-06"),
        (lambda: LARS(float("inf")), "learning_rate .* got inf"),
        (lambda: LARS(0.1, eta=0), "eta must be a positive number, got 0"),
        (lambda: LARS(0.1, eta=float("inf")), "eta must be a positive number, got inf"),
        (lambda: LARS(0.1, eta="1"), "eta must be a positive number, got '1'"),
        (lambda: LARS(0.1, exclude="bias"), "exclude must be a sequence of regular expressions"),
        (lambda: LARS(0.1, exclude=["("]), r"exclude holds an invalid expression, '\('"),
        (lambda: SGDL2(-1), "learning_rate .* got -1"),
        (lambda: SGDL2(0.1, momentum=-1), "momentum .* got -1"),
        (lambda: SGDL2(0.1, weight_decay=None), "weight_decay .* got None"),
        (lambda: SGDL2(0.1, exclude="bias"), "exclude must be a sequence"),
        (lambda: WarmupCosine(-1, 0, 10), "base_learning_rate .* got -1"),
        (lambda: WarmupCosine(1, 10, 10), r"warmup_steps must lie in \[0, total_steps\)"),
        (lambda: WarmupCosine(1, -1, 10), "warmup_steps must lie in"),
        (lambda: WarmupCosine(1, 0, 0), "warmup_steps must lie in"),
        (lambda: WarmupCosine(1, 0.5, 10), "warmup_steps must be an integer, got 0.5"),
        (lambda: scaled_learning_rate(0.1, 0, "linear"), "batch_size .* at least 1, got 0"),
        (lambda: scaled_learning_rate(-1, 8, "linear"), "learning_rate .* got -1"),
        (lambda: scaled_learning_rate(0.1, 8, "cubic"), "scaling must be .* linear, sqrt, none"),
    ],
)
def test_refuses_nonsense(call, message):
    with pytest.raises(ValueError, match=message):
        call()
