"""Silence where TensorFlow, absl, tfds and Beam would talk on their own."""

import faulthandler
import logging
import os
import sys

from absl import logging as absl_logging


def hide_native_messages():
    """Points descriptor 2, to which native code writes, to nowhere; Python's stderr stays."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    faulthandler.enable(sys.stderr)  # a crash of native code still leaves a trace


def quiet_loggers():
    """Keeps the Python loggers of TensorFlow, tfds and Beam to errors."""
    absl_logging.set_verbosity(absl_logging.ERROR)
    logging.getLogger().setLevel(logging.ERROR)
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
