"""AUC against evaluation.metrics, to the bit, and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from micle_tf.evaluation import metrics
from micle_tf.statistics import auc
from micle_tf.statistics.columns import Columns
from tests.statistics import rows


@pytest.mark.parametrize("decimals", [None, 2, 1, 0])
@pytest.mark.parametrize("seed", range(3))
def test_equals_to_the_bit_the_auc_of_repeated_rows(seed, decimals):
    columns = Columns.of_findings(*rows.of_findings(seed, 200, decimals=decimals))
    weights = rows.weights_of(seed, 200)
    values = auc.statistic(columns)(weights)
    for k in range(len(columns)):
        at = np.repeat(np.arange(200), weights * columns.known[:, k])
        truth, score = columns.truths[at, k], columns.scores[at, k]
        assert values[k] == metrics.auc(truth, score)
        assert values[k] == pytest.approx(roc_auc_score(truth, score), abs=1e-12)


def test_of_classes_by_hand_and_by_name():
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]])
    columns = Columns.of_classes(np.array([0, 0, 1]), p, ["x", "y"])
    assert rows.once(auc.statistic(columns), 3) == {"auc/x": 0.5, "auc/y": 0.5}


def test_is_not_defined_with_one_kind_of_rows():
    columns = Columns.of_findings(np.array([[1, 0, -1]] * 2), np.full((2, 3), 0.5), "abc")
    assert np.isnan(auc.statistic(columns)(np.ones(2, np.int64))).all()
    y, p, names = rows.of_findings(0)
    columns = Columns.of_findings(y, p, names)
    positives_only = (y[:, 0] == 1).astype(np.int64)
    assert np.isnan(auc.statistic(columns)(positives_only)[0])
    assert np.isnan(auc.statistic(columns)(np.zeros(60, np.int64))).all()
