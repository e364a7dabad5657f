"""The table that a judged run ends with."""

import pytest

from micle_tf.evaluation import shown


@pytest.mark.parametrize(
    "value, interval, text",
    [
        (0.8124, None, "0.812"),
        (0.8124, [0.7896, 0.8334], "0.812 [0.790, 0.833]"),
        (0.8124, [None, None], "0.812 [too few for an interval]"),
        (0.8124, [float("nan")] * 2, "0.812 [too few for an interval]"),
        (None, [0.1, 0.2], "n/a"),
        (float("nan"), None, "n/a"),
    ],
)
def test_shown_value(value, interval, text):
    assert shown.shown_value(value, interval) == text


def test_the_table_says_what_rests_on_few(capsys):
    metrics = {
        "validation/loss": 0.5,
        "image/top1": 0.75,
        "image/auc/a": 0.9,
        "case/top1": 0.8125,
        "case/auc_macro": 0.7,
        "case/auc/a": 0.7,
        "case/auc/rare one": float("nan"),
    }
    result = {
        "metrics": metrics,
        "intervals": {"case/top1": [0.7896, 0.8334], "case/auc/a": [0.6, 0.8]},
        "support": {"image/top1": 1200, "image/auc/a": 40, "case/top1": 9, "case/auc_macro": 10,
                    "case/auc/a": 10, "case/auc/rare one": 1},
    }  # fmt: skip
    shown.say_result(result)
    assert capsys.readouterr().out.splitlines() == [
        "  validation/loss    0.500",
        "  image/top1         0.750                 1,200 images",
        "  case/top1          0.812 [0.790, 0.833]  9 cases, few",
        "  case/auc_macro     0.700                 10 cases, few of 1 class",
        "  case/auc/a         0.700 [0.600, 0.800]  10 positives",
        "  case/auc/rare one  n/a                   1 positive, few",
        "  few: less than 10, on which a metric says little",
    ]
    del result["support"]  # a run of an earlier version
    shown.say_result(result)
    assert "  case/top1          0.812 [0.790, 0.833]\n" in capsys.readouterr().out


def test_of_many_classes_some_are_shown(capsys):
    metrics = {f"image/auc/c{k}": 0.5 for k in range(40)}
    shown.say_result({"metrics": metrics, "intervals": {}})
    assert capsys.readouterr().out.count("\n") == 30
