"""Ranks against SciPy's, ties among them."""

import numpy as np
import pytest
from scipy import stats

from micle_tf.statistics.ranks import mid_ranks


@pytest.mark.parametrize("shape", [(0, 2), (1,), (40,), (40, 3), (12, 2, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_equals_scipy(shape, seed):
    values = np.random.default_rng(seed).integers(0, 9, shape) / 7
    ranks = mid_ranks(values)
    assert ranks.shape == shape and ranks.dtype == np.float64
    assert np.array_equal(ranks, stats.rankdata(values, axis=0).reshape(shape))
