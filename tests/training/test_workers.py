"""What the workers of one job tell each other."""

import dataclasses
import json
import types
import zlib

import numpy as np
import pytest
import tensorflow as tf

from micle_tf import console
from micle_tf.cluster import Cluster
from micle_tf.config import Config, is_compared
from micle_tf.errors import BadInput, Stopped
from micle_tf.training import strategy as strategies
from micle_tf.training import workers
from micle_tf.training.workers import Workers


def test_a_worker_of_several_devices_speaks_once():
    strategy = strategies.make_strategy(Config(virtual_devices=4))
    workers = Workers(strategy, Cluster())
    for value in (7, [3, 0, 5]):
        np.testing.assert_array_equal(workers._summed(tf.constant(value)), value)


def alone():
    strategy = strategies.make_strategy(Config(virtual_devices=2))
    return Workers(strategy, Cluster())


class Told(Workers):
    """One of two workers; the other is not there, only its number, which is added to our own."""

    def __init__(self, index, others=0):
        addresses = {"worker 0": "a:1", "worker 1": "b:1"}
        super().__init__(tf.distribute.get_strategy(), Cluster(index, addresses))
        self._summed = lambda value: value + tf.cast(0 if value.shape.rank else others, value.dtype)


@pytest.fixture
def heard(monkeypatch):
    """Workers other than the chief mute the console of their process, which is ours too."""
    monkeypatch.setattr(console, "_muted", False)
    monkeypatch.setattr(workers.time, "sleep", lambda seconds: None)


def test_one_process_is_the_chief_of_itself():
    one = alone()
    assert (one.is_chief, one.index, one.count) == (True, 0, 1)
    assert one.any(True) is True and one.any(0) is False
    assert one.chief_first(lambda: "made") == "made" and one.of_chief(lambda: 2**40) == 2**40
    for error in (BadInput("no"), Stopped("gone")):
        with pytest.raises(type(error), match=str(error)):
            one.chief_first(lambda error=error: raised(error))
    config = Config(seed=3)
    assert one.as_the_chief(config, None) is config
    assert one.check_same(config) is None


def raised(error):
    raise error


def test_a_flag_that_the_other_sets(heard):
    assert not Told(0).any(False) and Told(0).any(True)
    assert Told(0, others=1).any(False) and Told(1, others=1).any(True)


def test_what_the_chief_says_reaches_a_worker_that_does_not_ask(heard):
    number = Told(1, others=2**40 + 3)
    assert number.of_chief(lambda: pytest.fail("asked")) == 2**40 + 3
    assert Told(0).of_chief(lambda: 7) == 7


@pytest.mark.parametrize("kind", [BadInput, Stopped])
def test_an_error_of_the_chief_is_raised_by_all(kind, heard):
    message = (
        f"{[BadInput, Stopped].index(kind)}no such füße" + "x" * 2000
    )  # cut to a thousand bytes
    other = Told(1)
    other._summed = lambda value: (
        tf.constant(list(message.encode()[:1000])) if len(value.shape) else value
    )
    with pytest.raises(kind) as caught:
        other.chief_first(lambda: pytest.fail("called"))
    assert str(caught.value) == message.encode()[1:1000].decode()
    with pytest.raises(kind, match=r"^mine$"):
        Told(0).chief_first(lambda: raised(kind("mine")))


def test_a_worker_takes_the_chiefs_values_of_what_was_not_typed(heard):
    chief = Config(train_batch_size=16, seed=5, preset="laptop", data_dir="there")
    names = [f.name for f in dataclasses.fields(Config) if is_compared(f, "pretrain")] + ["preset"]
    told = json.dumps({name: getattr(chief, name) for name in names}).encode().ljust(16_384, b"\0")
    other = Told(1)
    other._summed = lambda value: tf.constant(list(told))
    own = Config(train_batch_size=64, seed=1, data_dir="here")
    found = other.as_the_chief(own, types.SimpleNamespace(typed={"seed"}))
    assert (found.train_batch_size, found.preset) == (16, "laptop")
    assert (found.seed, found.data_dir) == (1, "here")  # typed; of each machine
    assert other.as_the_chief(own, None) == own


def test_other_flags_end_all_workers(heard):
    config = Config(model_dir="run")
    for change, agrees in (
        ({}, True),
        ({"data_dir": "d", "manifest": "m.csv"}, True),
        ({"seed": 1}, False),
    ):
        other = Told(1)
        stated = config.replace(**change).replace(data_dir="", manifest="", image_dir="").to_json()
        other.of_chief = lambda function, stated=stated: zlib.crc32(stated.encode())
        if agrees:
            assert other.check_same(config) is None
            continue
        with pytest.raises(BadInput) as caught:
            other.check_same(config)
        assert str(caught.value) == "--model_dir=run: the workers were started with different flags"
