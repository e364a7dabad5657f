"""How a command ends: its exit code, one line, and what a signal does to it."""

import contextlib
import errno
import io
import json
import signal
import sys
import time

import pytest
import tensorflow as tf

from micle_tf import exits
from micle_tf.errors import BadInput, Preempted, Stopped
from tests.child_processes import ended

INTERRUPTED = "interrupted: the same command goes on from the last checkpoint\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_outside_a_training_is_an_interrupt(child, number):
    process = child("sys.exit(exits.guarded(sleep))")
    assert process.stdout.readline() == "asleep\n"
    process.send_signal(number)
    assert ended(process) == (75, "", INTERRUPTED)


def test_an_interrupt_that_native_code_makes_an_error_of(child):
    process = child("""
def command():
    try:
        sleep()
    except KeyboardInterrupt:
        raise AttributeError("'list' object has no attribute '_type_spec'")
sys.exit(exits.guarded(command))
""")
    assert process.stdout.readline() == "asleep\n"
    process.send_signal(signal.SIGTERM)
    assert ended(process) == (75, "", INTERRUPTED)


@pytest.mark.parametrize("made", ["raise", "raise SystemError", "error = interrupt"])
def test_an_interrupt_that_native_code_prints(child, made):
    """It, or what was made of it; of other errors, before it and after it, everything is told."""
    process = child(f"""
def printed(work):  # as PyErr_Print does
    try:
        work()
    except BaseException:
        sys.excepthook(*sys.exc_info())
def interrupted():
    try:
        sleep()
    except KeyboardInterrupt as interrupt:
        {made}
    raise SystemError from error
def command():
    printed(lambda: dict()["told before"])
    printed(interrupted)
    unnamed = SystemError("<built-in function __import__> returned a result with an exception set")
    sys.excepthook(SystemError, unnamed, None)
    printed(lambda: dict()["told after"])
    raise SystemError("returned a result with an exception set")
sys.exit(exits.guarded(command))
""")
    assert process.stdout.readline() == "asleep\n"
    process.send_signal(signal.SIGTERM)
    code, out, err = ended(process)
    assert (code, out) == (75, "") and err.endswith(f"\nKeyError: 'told after'\n{INTERRUPTED}")
    assert err.count("Traceback") == 2 and "\nKeyError: 'told before'\n" in err
    assert "SystemError" not in err


def test_whether_a_signal_came_is_known_until_the_command_ends(child):
    process = child("""
def command():
    before = exits.is_ending()
    try:
        sleep()
    finally:
        tell(before, exits.is_ending())
exits.guarded(command)
tell(exits.is_ending())
""")
    assert process.stdout.readline() == "asleep\n"
    process.send_signal(signal.SIGTERM)
    assert ended(process) == (0, "False True\nFalse\n", INTERRUPTED)


def test_an_interrupt_within_a_destructor(child):
    process = child("""
class Closing:
    def __del__(self):
        sleep()
def command():
    Closing()
    sleep()
sys.exit(exits.guarded(command))
""")
    assert process.stdout.readline() == "asleep\n"
    process.send_signal(signal.SIGTERM)
    assert ended(process) == (75, "", INTERRUPTED)


DEAF = """
def command():
    while True:
        try:
            sleep()
        except KeyboardInterrupt:
            pass
"""


def test_an_interrupt_that_native_code_loses_ends_the_process_all_the_same(child):
    process = child(f"exits._GRACE = 0.3\n{DEAF}\nsys.exit(exits.guarded(command))")
    assert process.stdout.readline() == "asleep\n"
    process.send_signal(signal.SIGTERM)
    assert ended(process) == (75, "asleep\n", INTERRUPTED)


def test_a_second_signal_ends_a_command_at_once(child):
    process = child(f"{DEAF}\nsys.exit(exits.guarded(command))")
    for number in (signal.SIGTERM, signal.SIGINT):
        assert process.stdout.readline() == "asleep\n"
        time.sleep(exits.ECHO + 0.2)
        process.send_signal(number)
    assert ended(process) == (75, "", INTERRUPTED)


def test_a_program_that_goes_on_is_left_in_peace(child):
    """Such as a notebook, of which a command is a part."""
    process = child("""
before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
exits._GRACE = 0.2
codes = [exits.guarded(sleep), exits.guarded(lambda: None)]
time.sleep(0.4)
after = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
tell(codes, before == after)
""")
    assert process.stdout.readline() == "asleep\n"
    process.send_signal(signal.SIGINT)
    assert ended(process) == (0, "[75, 0] True\n", INTERRUPTED)


# ------------------------------------------------------------ errors


def ending(error):
    """(exit code, stderr) of a command that raises it."""
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        code = exits.guarded(lambda: raised(error))
    return code, told.getvalue()


def raised(error):
    raise error


@pytest.mark.parametrize(
    "error, code, line",
    [
        (BadInput("--seed=x: no"), 2, "error: --seed=x: no"),
        (Stopped("the loss is nan"), 1, "stopped: the loss is nan"),
        (Preempted("SIGTERM at step 3"), 75, "interrupted: SIGTERM at step 3"),
        (KeyboardInterrupt(), 75, INTERRUPTED.strip()),
        (BrokenPipeError(), 1, "stopped: the output goes into a closed pipe"),
        (MemoryError(), 1, "stopped: out of memory"),
        (
            OSError(errno.ENOSPC, "No space left on device", "a/b"),
            1,
            "stopped: [Errno 28] No space left on device: 'a/b'",
        ),
        (
            OSError(errno.EROFS, "Read-only file system"),
            1,
            "stopped: [Errno 30] Read-only file system",
        ),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when\nallocating"),
            1,
            "stopped: out of memory or disk: OOM when allocating",
        ),
        (
            tf.errors.UnavailableError(None, None, "failed to connect"),
            1,
            "stopped: failed to connect",
        ),
        (tf.errors.PermissionDeniedError(None, None, "a; denied"), 1, "stopped: a; denied"),
        (
            tf.errors.InvalidArgumentError(
                None, None, "BadInput: a.tfrecord: damaged\n\t [[{{node}}]]"
            ),
            1,
            "stopped: a.tfrecord: damaged",
        ),
        *(
            (
                error(None, None, f"{message}\n\t [[{{node}}]]"),
                1,
                f"stopped: --jit_compile: XLA finds no {part}, a part of CUDA that pip install "
                "'.[gpu]' brings; leave it out, or say where CUDA is by "
                "XLA_FLAGS=--xla_gpu_cuda_data_dir=FOLDER in the environment",
            )
            for error, part, message in [
                (
                    tf.errors.InternalError,
                    "libdevice",
                    "libdevice not found at ./libdevice.10.bc",
                ),
                (tf.errors.NotFoundError, "ptxas", "./bin/ptxas not found"),
            ]
        ),
    ],
)
def test_an_error_for_a_person_is_one_line_and_a_code(error, code, line):
    assert ending(error) == (code, f"{line}\n")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a fault of ours"),
        OSError(errno.ENOENT, "No such file or directory"),
        tf.errors.InternalError(None, None, "a fault of ours"),
        tf.errors.InvalidArgumentError(None, None, "shapes do not fit"),
    ],
)
def test_a_fault_of_ours_is_raised_with_its_trace(error):
    with pytest.raises(type(error)):
        ending(error)


def test_another_worker_that_is_gone_is_named(monkeypatch):
    jobs = {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}
    task = {"cluster": jobs, "task": {"type": "worker", "index": 0}}
    message = (
        "Collective ops is aborted by: /job:worker/replica:0/task:1 failed; "
        "seen by /job:worker/task:0"
    )
    error = tf.errors.UnavailableError(None, None, message)
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    assert ending(error) == (
        1,
        "stopped: worker 1 (10.0.0.2:2222) is gone; the same command on all workers goes on from "
        "the last checkpoint\n",
    )
    monkeypatch.delenv("TF_CONFIG")
    assert ending(error) == (1, f"stopped: {message}\n")


def test_what_a_command_held_is_there_until_its_end():
    """`leave` ends a process before anything is freed, which can take a minute."""
    seen = []

    def end(code):
        seen.append(sys.exc_info()[0])
        return -code

    assert exits.guarded(lambda: raised(Stopped("no")), end) == -1
    assert exits.guarded(lambda: None, end) == 0
    assert seen == [Stopped, None]


def test_a_process_is_left_with_what_it_had_to_say(child):
    process = child("""
import atexit
atexit.register(lambda: tell("freed"))
print("said", end="")
sys.exit(exits.guarded(lambda: None, exits.leave) or 9)
""")
    assert ended(process) == (0, "said", "")
