"""SIGTERM and SIGINT: exit 75 within 30 s, the step under way finished and saved, one line."""

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from micle_tf import cli, exits
from micle_tf.errors import Preempted
from micle_tf.evaluation import finetune
from micle_tf.training.preemption import StopRequest
from tests.generated_cases import TINY, write_cases

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 150
INTERRUPTED = "interrupted: the same command goes on from the last checkpoint\n"
RESUME = "(SIGTERM|SIGINT) at step (\\d+); the same command goes on from step (\\d+)"
# A long call of native code, which lets other threads run and no signal handler of Python's.
AT_WORK = "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
PRELUDE = """
import signal, sys, time
from micle_tf import exits
def tell(*words):
    print(*words, flush=True)
def sleep():
    tell("asleep")
    time.sleep(60)
"""


@pytest.fixture
def child():
    """A function from Python source to a process that runs it."""
    started = []

    def start(source):
        process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + source],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(process):
    """(exit code, stdout, stderr) of a process that ends soon."""
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ------------------------------------------------------------ the listener


def test_a_long_call_hides_no_signal_and_a_second_one_ends_it(child):
    process = child(f"""
import hashlib, threading
from micle_tf.errors import Preempted
from micle_tf.training.preemption import StopRequest
with StopRequest() as stop:
    def watch():
        while not stop.signal_name:
            time.sleep(0.01)
        tell(stop.signal_name)
    threading.Thread(target=watch, daemon=True).start()
    tell("ready")
    {AT_WORK}
    tell("over")
""")
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "SIGTERM\n"
    process.send_signal(signal.SIGTERM)  # an echo, as from `timeout`
    time.sleep(exits.ECHO + 0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert (code, out) == (75, "")
    assert err.endswith("\ninterrupted: at once, by a second signal\n")  # after TensorFlow's own


def test_everything_is_put_back():
    def descriptors():
        return set(os.listdir("/proc/self/fd"))

    def listeners():
        return [thread for thread in threading.enumerate() if thread.name == "stop request"]

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.set_wakeup_fd(wakeup := signal.set_wakeup_fd(-1))
    assert not listeners()
    before = descriptors()
    user = signal.signal(signal.SIGUSR1, lambda *_: None)
    for number in handlers:
        # A request that nobody answers is an interrupt in the end.
        with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
            assert len(listeners()) == 1
            os.kill(os.getpid(), signal.SIGUSR1)  # which is none of its business
            time.sleep(0.05)
            assert stop.signal_name == ""
            os.kill(os.getpid(), number)
            wait_for(lambda: stop.signal_name)
            assert stop.signal_name == number.name
    signal.signal(signal.SIGUSR1, user)
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    signal.set_wakeup_fd(now := signal.set_wakeup_fd(-1))
    assert now == wakeup
    wait_for(lambda: not listeners() and descriptors() <= before)


def test_work_that_can_be_done_again_is_broken_off():
    reached = []
    with pytest.raises(Preempted, match="saved"), StopRequest() as stop:
        with pytest.raises(KeyboardInterrupt), stop.interrupting():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(20)
            reached.append("end")
        wait_for(lambda: stop.signal_name)
        with pytest.raises(KeyboardInterrupt), stop.interrupting():
            reached.append("start")  # the signal came before
        raise Preempted("saved")  # which answers it
    assert stop.signal_name == "SIGTERM" and reached == []


def test_in_another_thread_signals_are_left_alone():
    seen = []

    def work():
        with StopRequest() as stop, stop.interrupting():
            seen.append((stop.signal_name, signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [("", before)]


# ------------------------------------------------------------ before and after a training


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


# ------------------------------------------------------------ the command line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preemption")
    write_cases(folder / "photos")
    return folder


def arguments(folder, name):
    return [
        "--mode=pretrain", f"--manifest={folder / 'photos/cases.csv'}", f"--data_dir={folder}",
        f"--model_dir={folder / name}", f"--train_steps={STEPS}", "--checkpoint_every=1000steps",
        "--log_every=1", "--optimizer=adam", "--learning_rate=0.01", *TINY,
    ]  # fmt: skip


def start(folder, name):
    return subprocess.Popen(
        [sys.executable, "run.py", *arguments(folder, name)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def stop(process, number):
    """Sends a signal; (exit code, stderr) of the process, which has 30 s to end."""
    process.send_signal(number)
    sent = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - sent < 30
    return process.returncode, err


def logged(run):
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["step"] for line in lines]


def weights(run):
    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    names = [name for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    return {name: reader.get_tensor(name) for name in names}


def test_a_stopped_training_goes_on_where_it_stopped(folder, capsys):
    run, done = folder / "stopped", 0
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start(folder, "stopped")
        while process.poll() is None and logged_so_far(run) <= done:
            time.sleep(0.02)
        time.sleep(random.uniform(0, 0.3))
        code, err = stop(process, number)
        said = re.fullmatch(f"interrupted: {RESUME}\n", err)
        assert code == 75 and said, err
        assert said[1] == number.name and said[2] == said[3]
        taken = logged(run)
        assert taken == list(range(1, int(said[2]) + 1)) and done < taken[-1] < STEPS
        done = taken[-1]
        assert (run / f"checkpoints/ckpt-{done}.complete").exists()
        assert tf.train.latest_checkpoint(str(run / "checkpoints")).endswith(f"ckpt-{done}")
    capsys.readouterr()
    for name in ("stopped", "whole"):
        assert cli.main(arguments(folder, name)) == 0
    assert f"resumed at step {done}\n" in capsys.readouterr().out
    stopped, whole = weights(run), weights(folder / "whole")
    assert stopped.keys() == whole.keys() and len(whole) > 50
    for name in whole:
        np.testing.assert_array_equal(stopped[name], whole[name], err_msg=name)
    assert logged(run) == logged(folder / "whole") == list(range(1, STEPS + 1))


def logged_so_far(run):
    """The step of the last whole line of a log that is being written; 0 if there is none."""
    path = run / "metrics.jsonl"
    lines = path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def listens(process):
    """Whether a process has a handler of its own for SIGTERM; before that the kernel ends it."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    caught = int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)
    return caught >> (signal.SIGTERM - 1) & 1


@pytest.mark.parametrize("after", [0, 2, 4, 6])
def test_a_signal_while_a_command_starts(folder, after):
    process = start(folder, f"started-{after}")
    wait_for(lambda: listens(process))
    time.sleep(after)
    code, err = stop(process, random.choice([signal.SIGTERM, signal.SIGINT]))
    assert code == 75, err
    assert err == INTERRUPTED or re.fullmatch(f"interrupted: {RESUME}\n", err)


def test_a_validation_is_broken_off_and_done_again(folder, monkeypatch, capsys):
    argv = [
        "--mode=finetune", f"--manifest={folder / 'photos/cases.csv'}", f"--data_dir={folder}",
        f"--model_dir={folder / 'tuned'}", "--train_steps=6", "--validate_every=2steps",
        "--log_every=1", "--bootstrap_samples=10", *TINY,
    ]  # fmt: skip
    predict, calls = finetune.predict_images, []

    def predict_and_be_stopped(*args):
        calls.append("begun")
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        scores = predict(*args)
        calls[-1] = "ended"
        return scores

    monkeypatch.setattr(finetune, "predict_images", predict_and_be_stopped)
    assert cli.main(argv) == 75
    assert capsys.readouterr().err == INTERRUPTED
    assert calls == ["ended", "begun"] and logged(folder / "tuned") == [1, 2, 3]
    assert cli.main(argv) == 0
    assert "resumed at step 3\n" in capsys.readouterr().out  # saved ahead of the validation
    lines = (folder / "tuned/metrics.jsonl").read_text().splitlines()
    validated = [json.loads(line) for line in lines if "validation/loss" in line]
    assert logged(folder / "tuned") == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in validated] == [2, 4, 6]
