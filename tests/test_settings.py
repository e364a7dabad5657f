"""What a setting may be: bounds, choices, texts like "10m", and names that are near."""

import dataclasses
import math

import pytest

from micle_tf.errors import BadInput
from micle_tf.settings import check_value, nearest, parse_every, parse_range, setting


@pytest.mark.parametrize(
    "text, near",
    [
        ("simCLR", "; did you mean simclr?"),
        ("SIMCLR", "; did you mean simclr?"),
        ("mickle", "; did you mean micle?"),
        ("barlow", ""),
    ],
)
def test_the_nearest_of_some_names(text, near):
    assert nearest(text, ("simclr", "micle")) == near


@dataclasses.dataclass(frozen=True)
class Some:
    count: int = setting(3, "How many.", group="run", low=1, high=10)
    share: float = setting(0.5, "Which part.", group="run", low=0.0, high=1.0)
    kind: str = setting("alike", "Which.", group="run", choices=("alike", "literal"))
    loud: bool = setting(False, "Whether.", group="run")


FIELDS = {field.name: field for field in dataclasses.fields(Some)}


@pytest.mark.parametrize(
    "name, value",
    [
        ("count", 1),
        ("count", 10),
        ("share", 0),
        ("share", 1.0),
        ("kind", "literal"),
        ("loud", True),
    ],
)
def test_values_that_a_field_takes(name, value):
    assert check_value(FIELDS[name], value) is None


@pytest.mark.parametrize(
    "name, value, reason",
    [
        ("count", 0, "must be at least 1"),
        ("count", 11, "must be at most 10"),
        ("count", 2.0, "not of type int"),
        ("count", True, "not of type int"),
        ("count", "3", "not of type int"),
        ("share", 1.01, "must be at most 1"),
        ("share", -0.1, "must be at least 0"),
        ("share", math.nan, "not a finite number"),
        ("share", math.inf, "not a finite number"),
        ("share", False, "not of type float"),
        ("kind", "Alike", "not one of alike, literal; did you mean alike?"),
        ("kind", 3, "not of type str"),
        ("loud", 1, "not of type bool"),
    ],
)
def test_values_that_a_field_does_not_take(name, value, reason):
    with pytest.raises(BadInput) as caught:
        check_value(FIELDS[name], value)
    assert str(caught.value) == f"--{name}={value}: {reason}"


def test_a_setting_that_says_little_is_the_usual_one():
    assert Some() == Some(count=3, share=0.5, kind="alike", loud=False)
    found = FIELDS["loud"].metadata
    assert (found["choices"], found["low"], found["high"], found["only"]) == (None, None, None, ())
    assert (found["volatile"], found["by_mode"], found["needs"]) == (False, {}, None)
    assert not found["path"] and not found["common"]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("10m", (10, "m")),
        ("1steps", (1, "steps")),
        ("500s", (500, "s")),
        (f"{10**12}m", (10**12, "m")),
    ],
)
def test_how_often(text, expected):
    assert parse_every("every", text, ("steps", "m", "s"), "say when") == expected


@pytest.mark.parametrize(
    "text", ["", "m", "10", "0m", "-1m", "1.5m", "10h", "m10", f"{10**12 + 1}m", "9" * 5000 + "m"]
)
def test_what_is_no_how_often(text):
    with pytest.raises(BadInput) as caught:
        parse_every("every", text, ("steps", "m", "s"), "say when")
    assert str(caught.value) == f"--every={text}: say when"


def test_ranges_of_steps():
    assert parse_range("profile", "1:1") == (1, 1)
    assert parse_range("profile", "20:25") == (20, 25)
    for text in (
        "",
        ":",
        "3",
        "3:",
        ":3",
        "0:3",
        "4:3",
        "1:2:3",
        "a:b",
        "1.0:2",
        f"1:{10**12 + 1}",
    ):
        with pytest.raises(BadInput) as caught:
            parse_range("profile", text)
        assert str(caught.value) == (
            f"--profile={text}: give the first and the last step, as 20:25"
        )
