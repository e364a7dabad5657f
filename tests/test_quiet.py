import logging
import subprocess
import sys

import tensorflow as tf
from absl import logging as absl_logging

from micle_tf import quiet

TALK = """
import os, sys
from micle_tf.quiet import hide_native_messages
os.write(2, b"before\\n")
hide_native_messages()
os.write(2, b"native\\n")
print("ours", file=sys.stderr)
print(os.environ["TF_CPP_MIN_LOG_LEVEL"])
os.abort() if len(sys.argv) > 1 else None
"""


def talk(*arguments):
    command = [sys.executable, "-c", TALK, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": "."})


def test_native_code_is_silent_and_python_is_not():
    done = talk()
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "before\nours\n")


def test_a_crash_of_native_code_still_leaves_a_trace():
    done = talk("crash")
    assert done.returncode < 0
    assert "native" not in done.stderr and "Fatal Python error: Aborted" in done.stderr


def test_loggers_keep_to_errors(monkeypatch):
    before = logging.getLogger().level, absl_logging.get_verbosity(), tf.get_logger().level
    try:
        quiet.quiet_loggers()
        for name in ("tensorflow", "absl", "apache_beam"):
            logger = logging.getLogger(name)
            assert logger.isEnabledFor(logging.ERROR) and not logger.isEnabledFor(logging.WARNING)
    finally:
        logging.getLogger().setLevel(before[0])
        absl_logging.set_verbosity(before[1])
        tf.get_logger().setLevel(before[2])
