"""The strategies that are made, and what is said where one cannot be.

There is no TPU and no second machine here: the calls to TensorFlow are recorded in their place.
"""

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.config import Config
from micle_tf.training import strategy as strategies
from tests.training.test_cluster import refused

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


@pytest.fixture
def no_tpu(monkeypatch):
    """Records what is asked of TensorFlow's TPU functions; nothing of them is run."""
    calls = []

    class Resolver:
        def __init__(self, **arguments):
            calls.append(("resolver", arguments))

        def cluster_spec(self):
            return tf.train.ClusterSpec({})

    def record(name):
        return lambda resolver: calls.append((name, type(resolver))) or name

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", Resolver)
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", record("connect"))
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", record("initialize"))
    monkeypatch.setattr(tf.distribute, "TPUStrategy", record("strategy"))
    started = [("connect", Resolver), ("initialize", Resolver), ("strategy", Resolver)]
    return calls, started


@pytest.mark.parametrize(
    "settings, arguments",
    [
        ({"strategy": "tpu"}, {"tpu": "local", "zone": None, "project": None}),
        ({"tpu_name": "v3"}, {"tpu": "v3", "zone": None, "project": None}),
        ({"strategy": "tpu", "tpu_name": "v3", "tpu_zone": "eu-b", "gcp_project": "p"},
         {"tpu": "v3", "zone": "eu-b", "project": "p"}),
    ],
)  # fmt: skip
def test_tpu_is_joined(settings, arguments, no_tpu):
    calls, started = no_tpu
    assert strategies.make_strategy(Config(**settings)) == "strategy"
    assert calls == [("resolver", arguments), *started]


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
