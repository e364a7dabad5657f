"""What stands at the keys of a study's file: what each takes, and what is said of the rest."""

import re

import pytest

from micle_tf.errors import BadInput
from micle_tf.study import entries

FILE = {
    "seeds": [2, 0],
    "rates": [1, 0.5],
    "primary": "case/top1",
    "common": {"image_size": 64},
    "stages": {"a": {"mode": "pretrain"}, "b": {}},
    "variants": {"one": ["a", "b"], "two": ["b"]},
}


def refusal(function, *given):
    with pytest.raises(BadInput) as refused:
        function(*given)
    return str(refused.value)


def test_what_is_there_and_what_is_not():
    assert entries.table(FILE, "common") == {"image_size": 64} and entries.table(FILE, "grid") == {}
    assert entries.tables(FILE, "stages") == [("a", {"mode": "pretrain"}), ("b", {})]
    assert (entries.text(FILE, "primary"), entries.text(FILE, "reference")) == ("case/top1", "")
    assert entries.numbers(FILE, "seeds", "seed", [0]) == [2, 0]
    assert entries.numbers({}, "seeds", "seed", [0]) == [0]
    assert entries.chains(FILE) == {"one": ("a", "b"), "two": ("b",)}


def test_whole_numbers_are_floats_where_the_flag_is_one():
    rates = entries.numbers(FILE, "rates", "learning_rate", [])
    assert rates == [1.0, 0.5] and all(type(rate) is float for rate in rates)
    stated = {"width_multiplier": 2, "resnet_depth": 50, "use_blur": True}
    found = entries.flags(stated, "[common]")
    assert found == stated
    assert [type(value) for value in found.values()] == [float, int, bool]
    lists = entries.lists({"learning_rate": [1, 0.1], "train_steps": [1, 2]}, "[grid.a]")
    assert lists == {"learning_rate": (1.0, 0.1), "train_steps": (1, 2)}
    assert type(lists["learning_rate"][0]) is float and type(lists["train_steps"][0]) is int


@pytest.mark.parametrize(
    "function, given, message",
    [
        (entries.table, ({"grid": 3}, "grid"), "[grid]: expected a table"),
        (entries.tables, ({"grid": {"a": []}}, "grid"), "[grid.a]: expected a table"),
        (entries.text, ({"a": " "}, "a", "[b] "), "[b] a: expected a text that is not empty"),
        (entries.numbers, ({"a": [-1]}, "a", "seed", []), "a: --seed=-1: must be at least 0"),
        (entries.numbers, ({"a": []}, "a", "seed", []), "a: expected a list of at least one value"),
        (entries.chains, ({"variants": {"a": [1]}},), "[variants] a: expected a list of stages"),
        (entries.chains, ({"variants": {"a": ["b", "b"]}},), "[variants] a: b is there twice"),
        (entries.flags, ({"sed": 1}, "[common]"), "[common] sed: no such flag; did you mean seed?"),
        (entries.lists, ({}, "[grid.a]"), "[grid.a]: nothing to try; add FLAG = [VALUE, VALUE]"),
        (entries.check, ({"seed": -1}, "[common]"), "[common] --seed=-1: must be at least 0"),
    ],
)
def test_what_is_of_another_kind(function, given, message):
    assert re.match(re.escape(message), refusal(function, *given))
