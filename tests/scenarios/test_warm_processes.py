"""Processes that begin with TensorFlow loaded are else as fresh ones."""

import pathlib
import signal

import pytest

from tests.child_processes import wait_for
from tests.warm_processes import FreshProcess, Server

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
import os, sys
assert {"tensorflow", "keras", "micle_tf.modes.pretrain"} <= set(sys.modules)
from tensorflow.python.eager import context
assert context._context is None
status = lambda number: dict(line.split(":\\t") for line in open(f"/proc/{number}/status"))
server = int(status(os.getppid())["PPid"])  # forking kept one thread here, but not there
print(*(int(status(number)["Threads"]) for number in (os.getpid(), server)))
"""
    process = warm.start("-c", source)
    assert process.wait(60) == 0, process.err
    assert process.out == "1 1\n"


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
    wait_for(lambda: is_gone(status))


def test_one_that_a_test_leaves_behind_is_killed_and_told_of():
    told = pytest.raises(AssertionError, match="left a warm process behind")
    with told, Server(modules=()) as server:
        process = server.start("-c", "import time; time.sleep(600)")
    wait_for(lambda: is_gone(pathlib.Path(f"/proc/{process.pid}/status")))


def is_gone(status):
    """Whether a process, by its status file, has ended; what is left of it waits for its parent."""
    try:
        return "\nState:\tZ" in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
