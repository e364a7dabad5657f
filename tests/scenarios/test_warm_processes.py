"""Processes that begin with TensorFlow loaded are else as fresh ones."""

import pathlib
import signal

import pytest

from tests.child_processes import wait_for
from tests.warm_processes import FreshProcess

TELL = """
import os, signal, sys
print(__name__, sys.argv, os.getcwd(), sorted(os.environ), os.environ["TOLD"])
print([signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)])
print("and here", file=sys.stderr)
sys.stdout.flush()
"""
ENDS = {"sys.exit(75)": 75, "1 / 0": 1, "os.abort()": -6}


@pytest.mark.parametrize("end", ENDS)
def test_what_it_is_told_and_what_it_tells(warm, tmp_path, end):
    found = []
    for start in (warm.start, FreshProcess):
        process = start("-c", TELL + end, "--one", 2, cwd=tmp_path, env={"TOLD": "something"})
        found.append((process.wait(60), process.out, process.err.splitlines()[0]))
        assert process.err.endswith({"1 / 0": "ZeroDivisionError: division by zero\n"}.get(end, ""))
    assert found[0] == found[1]
    assert found[0][0] == process.poll() == ENDS[end]
    assert f"'--one', '2'] {tmp_path} " in found[0][1]


def test_a_module_is_run_as_a_program(warm):
    found = []
    for start in (warm.start, FreshProcess):
        process = start("-m", "tests.made_small", "--mode=pretrain", "--bogus")
        found.append((process.wait(60), process.out, process.err))
    assert found[0] == found[1] == (2, "", "error: --bogus: no such flag\n")


def test_tensorflow_is_loaded_and_has_begun_nothing(warm):
    source = """
import sys
assert {"tensorflow", "keras", "micle_tf.modes.pretrain"} <= set(sys.modules)
from tensorflow.python.eager import context
assert context._context is None
print(open("/proc/self/status").read())
"""
    process = warm.start("-c", source)
    assert process.wait(60) == 0, process.err
    assert "Threads:\t1\n" in process.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL])
def test_signals_are_of_one_process_alone(warm, number):
    asleep = "-c", "import time; time.sleep(600)"
    with warm.start(*asleep) as one, warm.start(*asleep) as other:
        assert one.pid != other.pid
        one.send_signal(number)
        assert one.wait(60) == -number
        assert other.poll() is None
    assert other.returncode == -signal.SIGKILL


def test_none_is_left_when_the_tests_are_killed():
    source = """
import time
from tests.warm_processes import Server
with Server(modules=()) as server:
    print(server.start("-c", "import time; time.sleep(600)").pid, flush=True)
    time.sleep(600)
"""
    with FreshProcess("-c", source) as tests:
        wait_for(lambda: tests.out)
        status = pathlib.Path(f"/proc/{tests.out.strip()}/status")
        assert status.exists()
    wait_for(lambda: not status.exists() or "\nState:\tZ" in status.read_text())
