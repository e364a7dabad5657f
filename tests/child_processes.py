"""Small programs in a process of their own, to be sent signals."""

import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
PRELUDE = """
import signal, sys, time
from micle_tf import exits
def tell(*words):
    print(*words, flush=True)
def sleep():
    tell("asleep")
    time.sleep(60)
"""


def start(source):
    """A process that runs Python source after `PRELUDE`."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + source],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def ended(process):
    """(exit code, stdout, stderr) of a process that ends soon."""
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
