"""The strategies that are made, and what is said where one cannot be.

There is no TPU and no second machine here: the calls to TensorFlow are recorded in their place.
"""

import json

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.config import Config
from micle_tf.training import strategy as strategies
from tests.test_cluster import refused
from tests.training.small_training import by_hand, train
from tests.training.test_step import (
    DESCENT,
    assert_close,
    contrastive,
    expected_of_resnet,
    gradients_by_step,
    layer_norm,
    pairs,
    resnet,
)

pytestmark = pytest.mark.usefixtures("no_cluster")


def test_tf_config_that_is_not_json(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{cluster}")
    message = refused(strategies.make_strategy, Config())
    assert message.startswith("TF_CONFIG: not JSON (Expecting property name")


def test_multi_worker_without_a_cluster():
    assert refused(strategies.make_strategy, Config(strategy="multi_worker")) == (
        "--strategy=multi_worker: needs TF_CONFIG, or workers started by Slurm's srun"
    )


# ------------------------------------------------------------ TPU


class StandIn(tf.distribute.OneDeviceStrategy):
    """One CPU in place of a TPU; to be put where TensorFlow's own strategy is."""

    def __init__(self, resolver):
        super().__init__("/cpu:0")
        self.resolver = resolver


@pytest.fixture
def tpu(monkeypatch):
    """A list of what is asked of TensorFlow's TPU functions, in order; nothing of them is run."""
    calls = []

    class Resolver:
        def __init__(self, **arguments):
            calls.append(("resolver", arguments))

        def cluster_spec(self):
            return tf.train.ClusterSpec({})

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", Resolver)
    for name, place, function in (
        ("connect", tf.config, "experimental_connect_to_cluster"),
        ("initialize", tf.tpu.experimental, "initialize_tpu_system"),
    ):
        record = lambda resolver, name=name: calls.append((name, resolver))
        monkeypatch.setattr(place, function, record)
    monkeypatch.setattr(tf.distribute, "TPUStrategy", StandIn)
    return calls


@pytest.mark.parametrize(
    "settings, arguments",
    [
        ({"strategy": "tpu"}, {"tpu": "local", "zone": None, "project": None}),
        ({"tpu_name": "v3"}, {"tpu": "v3", "zone": None, "project": None}),
        ({"strategy": "tpu", "tpu_name": "v3", "tpu_zone": "eu-b", "gcp_project": "p"},
         {"tpu": "v3", "zone": "eu-b", "project": "p"}),
    ],
)  # fmt: skip
def test_tpu_is_joined(settings, arguments, tpu):
    """The resolver gets what was typed, and the TPU that it found is connected, started, taken."""
    strategy = strategies.make_strategy(Config(**settings))
    resolver = strategy.resolver
    assert tpu == [("resolver", arguments), ("connect", resolver), ("initialize", resolver)]
    assert isinstance(strategy, tf.distribute.TPUStrategy)


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 4])
def test_a_step_under_what_stands_in_for_a_tpu(tpu, size):
    """Loss and gradients are those of the whole batch, also 4 pairs at a time."""
    strategies.set_precision("float64")
    strategy = strategies.make_strategy(Config(tpu_name="v3"))
    assert isinstance(strategy, tf.distribute.TPUStrategy)
    training = contrastive(strategy, layer_norm, DESCENT, resnet, mask_negatives="case")
    assert {weight.device[-5:] for weight in weights_in_tensorflow(training)} == {"CPU:0"}
    values, gradients = gradients_by_step(training, strategy, pairs((16, 16, 3)), size)
    loss, expected = expected_of_resnet()
    assert values["loss"] == pytest.approx(loss, rel=1e-9)
    assert_close(gradients, expected, 1e-9)
    norm = np.sqrt(sum(np.square(gradient).sum() for gradient in expected))
    assert values["gradient_norm"] == pytest.approx(norm, rel=1e-9)


def weights_in_tensorflow(training):
    return [weight.value for model in training.models.values() for weight in model.weights]


@pytest.mark.parametrize("loop", [1, 4])
def test_a_run_on_what_stands_in_for_a_tpu(tpu, tmp_path, loop):
    """The loop, with its input and its log, takes the steps that are computed by hand."""
    train(tmp_path / "run", 9, strategy="tpu", tpu_name="v3", log_every=1, steps_per_loop=loop)
    assert tpu[0] == ("resolver", {"tpu": "v3", "zone": None, "project": None})
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == (list(range(1, 10)))
    found = [(line["loss"], line["gradient_norm"]) for line in lines]
    np.testing.assert_allclose(found, by_hand(9)[0], rtol=2e-5)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"strategy": "tpu"}, "--strategy=tpu: no TPU here; tensorflow-tpu finds one on a TPU VM"),
        ({"tpu_name": "local"},
         "--tpu_name=local: no TPU here; tensorflow-tpu finds one on a TPU VM"),
        ({"tpu_name": "http://v3"}, None),
    ],
)  # fmt: skip
def test_no_tpu_here(settings, message):
    """For real: TensorFlow itself is asked."""
    settings |= {} if message else {"tpu_zone": "eu-b", "gcp_project": "p"}
    found = refused(strategies.make_strategy, Config(**settings))
    assert found == message if message else found.startswith("--tpu_name=http://v3: ")
    assert "\n" not in found


# ------------------------------------------------------------ strategies made


def test_gathered_integers_of_two_replicas():
    """int64 travels as two int32: values that need more than 32 bits come through."""
    strategy = strategies.make_strategy(Config(virtual_devices=2))
    numbers = np.array([[1, -2], [2**40 + 3, -(2**62)]])
    parts = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(numbers[context.replica_id_in_sync_group])
    )
    gathered, offset = strategy.run(tf.function(strategies.gather_replicas), args=(parts,))
    for replica, everything in enumerate(strategy.experimental_local_results(gathered)):
        assert everything.dtype == tf.int64
        np.testing.assert_array_equal(everything, numbers.ravel())
        assert int(strategy.experimental_local_results(offset)[replica]) == 2 * replica


def test_descriptions():
    two = strategies.make_strategy(Config(virtual_devices=2))
    assert strategies.describe(two) == "MirroredStrategy on 2 CPUs, synchronised batch norm"
    one = strategies.make_strategy(Config(strategy="one_device"))
    assert strategies.describe(one) == "one device (CPU), fused batch norm"
