"""The listener for SIGTERM and SIGINT during a training, and that all is put back after it."""

import os
import signal
import threading
import time

import pytest

from micle_tf import exits
from micle_tf.errors import Preempted
from micle_tf.training.preemption import StopRequest
from tests.child_processes import PRELUDE, wait_for

# A long call of native code, which lets other threads run and no signal handler of Python's.
AT_WORK = "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"


def test_a_long_call_hides_no_signal_and_a_second_one_ends_it(warm):
    source = f"""
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
"""
    with warm.start("-c", PRELUDE + source) as process:
        wait_for(lambda: process.out == "ready\n")
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: process.out == "ready\nSIGTERM\n")
        process.send_signal(signal.SIGTERM)  # an echo, as from `timeout`
        time.sleep(exits.ECHO + 0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 75
        assert process.out == "ready\nSIGTERM\n"
        assert process.err == "interrupted: at once, by a second signal\n"


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
