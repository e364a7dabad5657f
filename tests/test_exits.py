"""How a command ends: its exit code, one line, and what a signal does to it."""

import signal
import time

import pytest

from micle_tf import exits
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
