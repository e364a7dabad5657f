"""The order of units and the draw of pairs: exact properties, and chi-square at fixed seeds."""

import hashlib
import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from micle_tf.data import sampling


def orders(seed, epochs, num_units):
    """[epochs, num_units]"""
    dataset = tf.data.Dataset.range(epochs)
    dataset = dataset.map(lambda epoch: sampling.unit_order(seed, epoch, num_units))
    return next(iter(dataset.batch(epochs))).numpy()


def batches(seed, steps, batch_size, num_units):
    dataset = sampling.unit_batches(seed, steps, batch_size, num_units)
    return [(int(step), units.numpy().tolist()) for step, units in dataset]


def pairs(seed, steps, images_per_case):
    """[steps, B, 2]"""
    counts = tf.constant(images_per_case, tf.int64)
    dataset = tf.data.Dataset.range(steps)
    dataset = dataset.map(lambda step: sampling.draw_pairs(seed, step, counts))
    return next(iter(dataset.batch(steps))).numpy()


def digest():
    """Of all kinds of draws; called in another process too."""
    drawn = [orders(7, 4, 50).tolist(), batches(7, (3, 40), 5, 23), pairs(7, 4, [1, 2, 6]).tolist()]
    return hashlib.sha256(repr(drawn).encode()).hexdigest()


@pytest.mark.parametrize("num_units, batch_size", [(23, 5), (20, 5), (5, 5), (9, 2)])
def test_an_epoch_is_its_order_without_the_dropped_rest(num_units, batch_size):
    per_epoch = sampling.steps_per_epoch(num_units, batch_size)
    assert per_epoch == num_units // batch_size
    found = batches(3, (0, 4 * per_epoch), batch_size, num_units)
    assert [step for step, _ in found] == list(range(4 * per_epoch))
    assert all(len(set(units)) == batch_size for _, units in found)
    for epoch, order in enumerate(orders(3, 4, num_units).tolist()):
        assert sorted(order) == list(range(num_units))
        shown = [unit for _, units in found[epoch * per_epoch :][:per_epoch] for unit in units]
        assert shown == order[: per_epoch * batch_size]


@pytest.mark.parametrize("steps", [(0, 1), (3, 4), (4, 8), (2, 11), (7, 7), (11, 30)])
def test_batches_from_any_step_are_those_of_the_whole_run(steps):
    whole = batches(0, (0, 30), 5, 23)
    assert batches(0, steps, 5, 23) == whole[slice(*steps)]


def test_epochs_and_seeds_have_orders_of_their_own():
    of_seeds = np.concatenate([orders(seed, 500, 60) for seed in (0, 1, 2**31 - 1)])
    assert len(np.unique(of_seeds, axis=0)) == 1500
    # No place of an order tells of the same place in the next epoch or seed.
    for one, other in ((of_seeds[:499], of_seeds[1:500]), (of_seeds[:500], of_seeds[500:1000])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / one.size**0.5


@pytest.mark.parametrize("num_units", [2, 3, 10, 40])
def test_a_unit_is_equally_likely_at_every_place(num_units):
    epochs = 200 * num_units
    found = orders(0, epochs, num_units)
    counts = np.stack([np.bincount(place, minlength=num_units) for place in found.T])
    statistic = ((counts - 200) ** 2 / 200).sum()  # rows and columns add up: (n - 1)^2 are free
    assert 1e-3 < stats.chi2.sf(statistic, (num_units - 1) ** 2) < 0.999


def test_every_order_is_equally_likely():
    number = {order: i for i, order in enumerate(itertools.permutations(range(4)))}
    counts = np.bincount([number[tuple(order)] for order in orders(1, 4800, 4)], minlength=24)
    assert 1e-3 < stats.chisquare(counts).pvalue < 0.999


@pytest.mark.parametrize("images", range(2, 7))
def test_every_ordered_pair_of_two_images_is_equally_likely(images):
    first, second = pairs(0, 60, [images] * 100).reshape(-1, 2).T
    counts = np.bincount(images * first + second, minlength=images**2).reshape(images, images)
    assert counts.sum() == 6000 and not counts.diagonal().any()
    others = counts[~np.eye(images, dtype=bool)]
    assert 1e-3 < stats.chisquare(others).pvalue < 0.999


def test_pairs_of_mixed_cases():
    images = np.array([1, 2, 3, 1, 6, 1000])
    found = pairs(5, 300, images)
    assert found.min() == 0 and (found < images[:, None]).all()
    same = found[..., 0] == found[..., 1]
    np.testing.assert_array_equal(same, np.broadcast_to(images == 1, same.shape))
    # The draws of a case, of a step and of the next step tell nothing of each other.
    first = found[:, 4, 0] / 6 - 5 / 12
    for other in (found[:, 2, 0], found[:, 5, 0], np.roll(first, 1)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 4 / 300**0.5
    assert (pairs(6, 300, images) != found).any(axis=(0, 2)).tolist() == (images > 1).tolist()


def test_streams_have_keys_of_their_own():
    streams = (sampling.ORDER, sampling.PAIRS, sampling.CROPS, sampling.VIEWS)
    keys = {
        tuple(sampling.stream_key(seed, stream, tf.constant(number, tf.int64)).numpy())
        for seed in (0, 1, 2**31 - 1)
        for stream in streams
        for number in (0, 1, 2, 10**12)
    }
    assert len(keys) == 3 * 4 * 4


def test_keys_and_pairs_are_those_of_their_formulas():
    """A run that goes on with another version must draw what it would have drawn."""
    step, images = 5, [1, 2, 3, 6, 1000]
    key = [7, 4 * step + 1]
    stated = sampling.stream_key(7, sampling.PAIRS, tf.constant(step, tf.int64))
    assert stated.numpy().tolist() == key
    draws = tf.random.stateless_uniform([5, 2], key, dtype=tf.float64).numpy()
    expected = []
    for count, (one, other) in zip(images, draws, strict=True):
        first, away = int(one * count), 1 + int(other * (count - 1))
        expected.append([first, (first + away) % count])
    assert pairs(7, step + 1, images)[step].tolist() == expected
    key = [7, 4 * step]
    places = tf.random.stateless_uniform([9], key, minval=None, maxval=None, dtype=tf.int64)
    assert orders(7, step + 1, 9)[step].tolist() == np.argsort(places.numpy()).tolist()


@pytest.mark.parametrize("batch_size, count", [(12, 1), (12, 3), (12, 12), (4096, 8)])
def test_workers_share_a_batch_out(batch_size, count):
    batch = np.arange(batch_size)
    rows = [batch[sampling.rows_of_worker(batch_size, (worker, count))] for worker in range(count)]
    assert [len(own) for own in rows] == [batch_size // count] * count
    np.testing.assert_array_equal(np.concatenate(rows), batch)


def test_another_process_draws_the_same(warm):
    code = "from tests.data import test_sampling; print(test_sampling.digest())"
    elsewhere = warm.start("-c", code)
    assert elsewhere.wait() == 0, elsewhere.err
    assert elsewhere.out.split()[-1] == digest()


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_two_images_of_a_case_as_often_as_is_asked(probability):
    """Chi-square over all pairs (first, second) of a case of four, at a fixed seed."""
    counts = tf.fill([500], tf.constant(4, tf.int64))
    draw = lambda step: sampling.draw_pairs(5, step, counts, probability)
    drawn = np.concatenate([pair for pair in tf.data.Dataset.range(40).map(draw)])
    found = np.bincount(4 * drawn[:, 0] + drawn[:, 1], minlength=16).reshape(4, 4)
    expected = np.full((4, 4), probability / 12)
    np.fill_diagonal(expected, (1 - probability) / 4)
    drawable = expected > 0
    assert found[~drawable].sum() == 0
    assert stats.chisquare(found[drawable], len(drawn) * expected[drawable]).pvalue > 0.01


def test_always_is_as_if_it_were_not_asked():
    counts = tf.constant([1, 2, 3, 6] * 25, tf.int64)
    for step in tf.range(4, dtype=tf.int64):
        plain = sampling.draw_pairs(9, step, counts)
        np.testing.assert_array_equal(sampling.draw_pairs(9, step, counts, 1.0), plain)
        never = sampling.draw_pairs(9, step, counts, 0.0).numpy()
        np.testing.assert_array_equal(never[:, 0], plain[:, 0])
        np.testing.assert_array_equal(never[:, 0], never[:, 1])
