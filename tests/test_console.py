"""What a person sees while a command runs: lines, bars, and nothing where nobody watches."""

import pytest

from micle_tf import console


@pytest.fixture
def clock(monkeypatch):
    """A list with the seconds that have passed."""
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (90_000, "25 h 0 min"),
    ],
)
def test_durations(seconds, text):
    assert console.duration(seconds) == text


@pytest.mark.parametrize(
    "number, text", [(0, "0 cases"), (1, "1 case"), (2, "2 cases"), (1234567, "1,234,567 cases")]
)
def test_counts(number, text):
    assert console.count(number, "case") == text


def test_values_as_they_are_typed():
    values = [True, False, 0.5, 3, "a b"]
    assert [console.flag_value(value) for value in values] == ["true", "false", 0.5, 3, "a b"]


def test_a_line_every_half_minute_with_what_is_left(clock, capsys):
    with console.Progress("training", 1000, "step", done=100) as progress:
        for _ in range(4):
            clock[0] += 20
            progress.update(100, note="loss 3.2")
    assert capsys.readouterr().out.splitlines() == [
        "training 300/1,000 steps, 2 min 20 s left: loss 3.2",  # after 40 s, at 5 steps a second
        "training 500/1,000 steps, 1 min 40 s left: loss 3.2",
        "training 500/1,000 steps, 1 min 40 s left: loss 3.2",  # and at the end
    ]


def test_a_short_one_without_a_note_says_nothing(clock, capsys):
    with console.Progress("reading", 10, "image") as progress:
        progress.update(10)
    assert capsys.readouterr().out == ""
    with console.Progress("reading", 10, "image") as progress:
        clock[0] += 3
        progress.update(10)
    assert capsys.readouterr().out == "reading 10/10 images, 0 s left\n"


def test_one_that_fails_has_no_last_line(clock, capsys):
    with pytest.raises(ValueError), console.Progress("reading", 10, "image") as progress:
        clock[0] += 3
        progress.update(5, note="half")
        raise ValueError
    assert capsys.readouterr().out == ""


def test_callbacks_that_tell_how_far_they_are(clock, capsys):
    with console.Progress("downloading", 0, "file") as progress:
        for done, total in ((1, 4), (3, 8)):
            clock[0] += 31
            progress.at(done, total)
    assert capsys.readouterr().out.splitlines()[:2] == [
        "downloading 1/4 files, 1 min 33 s left",
        "downloading 3/8 files, 1 min 43 s left",
    ]


def test_a_muted_process_says_nothing(clock, capsys, monkeypatch):
    monkeypatch.setattr(console, "_muted", False)
    console.say("heard")
    console.mute()
    console.say("not heard")
    with console.Progress("training", 10) as progress:
        clock[0] += 60
        progress.update(5, note="loss")
    assert capsys.readouterr().out == "heard\n"
