"""What the workers of one job tell each other."""

import numpy as np
import tensorflow as tf

from micle_tf.config import Config
from micle_tf.training import strategy as strategies
from micle_tf.training.cluster import Cluster
from micle_tf.training.workers import Workers


def test_a_worker_of_several_devices_speaks_once():
    strategy = strategies.make_strategy(Config(virtual_devices=4))
    workers = Workers(strategy, Cluster())
    for value in (7, [3, 0, 5]):
        np.testing.assert_array_equal(workers._summed(tf.constant(value)), value)
