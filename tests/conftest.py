"""Four logical CPUs for distributed tests, and Keras's arithmetic put back after each test."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import keras
import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)


@pytest.fixture(autouse=True)
def keras_defaults():
    """Puts back the global dtype policy that a test may have set."""
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
