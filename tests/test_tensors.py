import numbers

import numpy as np
import pytest

from micle_tf.tensors import is_a


@pytest.mark.parametrize(
    "value, kind, expected",
    [
        (1, numbers.Integral, True),
        (np.int64(1), numbers.Integral, True),
        (0.5, numbers.Real, True),
        (np.float32(0.5), numbers.Real, True),
        (0.5, numbers.Integral, False),
        ("1", numbers.Real, False),
        (None, numbers.Real, False),
    ],
)
def test_numbers_of_python_and_numpy(value, kind, expected):
    assert is_a(value, kind) is expected
