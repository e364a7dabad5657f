"""A small benchmarks/coverage.py: intervals hold the truth as often as they say, p values too.

Bounds are four standard errors of so few studies; the benchmark has a thousand and more.
"""

import argparse
import functools
import math
import pathlib
import runpy

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark():
    return runpy.run_path(str(ROOT / "benchmarks/coverage.py"))


def studies(part, count):
    """{name: [count]} of a part of the benchmark."""
    options = argparse.Namespace(samples=200, permutations=39)
    results = [part(np.random.default_rng([1, k]), options) for k in range(count)]
    return {name: np.array([result[name] for result in results]) for name in results[0]}


def near(share, count):
    return pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / count))


def test_of_an_auc_where_patients_are_resampled_and_not_where_images_are(benchmark):
    covered = studies(benchmark["patients_or_images"], 120)
    assert covered["AUC, bootstrap of patients"].mean() == near(0.95, 120)
    assert covered["AUC, Obuchowski"].mean() == near(0.95, 120)
    assert covered["AUC, bootstrap of images"].mean() < 0.91


def test_of_a_difference_over_seeds_where_seeds_are_readers_and_not_of_patients_alone(benchmark):
    covered = studies(functools.partial(benchmark["seeds"], count=3), 60)
    assert covered["3 seeds, Obuchowski-Rockette"].mean() == near(0.95, 60)
    assert covered["3 seeds, bootstrap of patients"].mean() < 0.88


@pytest.mark.parametrize(
    "part, count", [("null_of_two_models", 150), ("null_of_groups", 100), ("null_of_variants", 40)]
)
def test_p_is_below_a_level_as_often_where_there_is_no_difference(benchmark, part, count):
    for name, p in studies(benchmark[part], count).items():
        for level in (0.1, 0.25, 0.5):
            assert (p <= level + 1e-9).mean() == near(level, count), name
