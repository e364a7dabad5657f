"""Images per second and the share of waiting, between two logs."""

import pytest

from micle_tf.training import clock as clocks
from micle_tf.training.clock import Clock, speed


@pytest.fixture
def time(monkeypatch):
    """A clock that a test sets."""
    now = [100.0]
    monkeypatch.setattr(clocks.time, "monotonic", lambda: now[0])
    return now


def test_the_first_call_is_not_timed(time):
    clock = Clock(images_per_step=64, devices=2)
    assert clock.values() == {}
    time[0] += 50
    clock.took(5)
    assert clock.values() == {}
    with clock.waiting():
        time[0] += 1
    time[0] += 3
    clock.took(2)
    assert clock.values() == {
        "images_per_second": 32.0, "images_per_second_per_device": 16.0, "input_wait": 0.25
    }  # fmt: skip
    clock.restart()
    assert clock.values() == {}
    time[0] += 2
    clock.took(1)  # fetched by the devices themselves
    assert clock.values() == {"images_per_second": 32.0, "images_per_second_per_device": 16.0}


def test_speed_beside_the_bar():
    assert speed({}) == ""
    assert speed({"images_per_second": 1251.6, "input_wait": 0.012}) == " 1,252/s wait 1%"
