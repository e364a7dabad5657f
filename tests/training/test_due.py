"""What is due after a step, and how many steps may be taken until something is."""

import math

import pytest

from micle_tf.training.due import Calendar, Due

PLAIN = Calendar(total_steps=100, log_every=10)
JUDGED = Calendar(total_steps=100, log_every=10, validate_every=25)
CHOSEN = Calendar(total_steps=100, log_every=10, validate_every=25, chooses=True)
SAVED = Calendar(total_steps=100, log_every=10, save_every=15)
TIMED = Calendar(total_steps=100, log_every=10, save_seconds=60.0)


def due(text):
    """ "log save" as a `Due`."""
    words = text.split()
    return Due(*(name in words for name in Due._fields))


@pytest.mark.parametrize(
    "calendar, step, seconds, stopping, expected",
    [
        (PLAIN, 1, 0, False, "log"),
        (PLAIN, 2, 1e9, False, ""),
        (PLAIN, 10, 0, False, "log"),
        (PLAIN, 100, 0, False, "log save"),
        (PLAIN, 7, 0, True, "save stop"),
        (PLAIN, 10, 0, True, "log save stop"),
        (PLAIN, 100, 0, True, "log save stop"),
        (SAVED, 15, 0, False, "save"),
        (SAVED, 30, 0, False, "log save"),
        (TIMED, 12, 59.9, False, ""),
        (TIMED, 12, 60.0, False, "save"),
        (JUDGED, 24, 0, False, "save"),  # a stop while it is validated costs one step
        (JUDGED, 25, 0, False, "validate log"),
        (JUDGED, 99, 0, False, "save"),
        (JUDGED, 100, 0, False, "validate log save"),
        (CHOSEN, 25, 0, False, "validate log save"),  # no doubt what was best when
        (CHOSEN, 25, 0, True, "stop"),  # and the step is taken again
        (CHOSEN, 100, 0, True, "stop"),
        (CHOSEN, 26, 0, True, "save stop"),
    ],
)
def test_what_is_due(calendar, step, seconds, stopping, expected):
    assert calendar.after(step, seconds, stopping) == due(expected)


@pytest.mark.parametrize(
    "calendar, step, expected",
    [
        (PLAIN, 0, 1),  # the first step is logged
        (PLAIN, 1, 9),
        (PLAIN, 10, 10),
        (SAVED, 10, 5),
        (SAVED, 20, 10),
        (JUDGED, 20, 4),  # to the save before the validation
        (JUDGED, 24, 1),
        (JUDGED, 90, 9),
        (Calendar(total_steps=7, log_every=1000), 1, 6),
        (Calendar(total_steps=100, log_every=10, moments=(19, 25)), 11, 8),
        (Calendar(total_steps=100, log_every=10, moments=(19, 25)), 20, 5),
        (Calendar(total_steps=100, log_every=50, periods=(8, 30)), 11, 5),
        (Calendar(total_steps=100, log_every=50, periods=(8, 30)), 24, 6),
    ],
)
def test_steps_until_something_is_due(calendar, step, expected):
    assert calendar.steps_until_due(step) == expected
    assert calendar.steps_until_due(step, 3) == min(3, expected)


@pytest.mark.parametrize("calendar", [PLAIN, SAVED, JUDGED, CHOSEN])
def test_nothing_is_due_between(calendar):
    """Whoever takes as many steps as it may misses nothing that single steps would meet."""
    jumped, step = [], 0
    while step < calendar.total_steps:
        step += calendar.steps_until_due(step, math.inf)
        jumped.append(step)
    singles = range(1, calendar.total_steps + 1)
    assert {step for step in singles if any(calendar.after(step, 0, False))} <= set(jumped)
