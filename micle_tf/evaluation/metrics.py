"""Metrics of a classifier, of one class or of several findings per row, for images or cases.

Each is a pure numpy function, cheap enough to be called a thousand times by the bootstrap in
`intervals.py`. All values are fractions in [0, 1].
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

# (labels, scores) -> {name: value}
Metrics = Callable[[np.ndarray, np.ndarray], dict[str, float]]


def auc(y_true: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative.

    A tie counts one half, so this is the Mann-Whitney U statistic over the number of pairs
    (Hanley and McNeil, 1982, "The meaning and use of the area under a ROC curve"), and equal to
    the trapezoidal area of `sklearn.metrics.roc_auc_score`. Nothing is checked: the bootstrap
    comes here a thousand times.

    Args:
      y_true: bool [n], True for a positive.
      score: float [n], higher means more likely positive; any scale, no nan.

    Returns:
      The area, in [0, 1]; nan when all rows have the same label.
    """
    positives, negatives = score[y_true], np.sort(score[~y_true])
    if not len(positives) or not len(negatives):
        return float("nan")
    # Twice the pairs won, in integers: exact, whatever the order of the rows.
    below = np.searchsorted(negatives, positives, side="left").sum()
    not_above = np.searchsorted(negatives, positives, side="right").sum()
    return float(below + not_above) / (2.0 * len(positives) * len(negatives))


def classification_metrics(
    y_true: ArrayLike, y_score: ArrayLike, class_names: Sequence[str]
) -> dict[str, float]:
    """Accuracies and AUCs of a K-class classifier.

    Equal scores are ranked as `sklearn.metrics.top_k_accuracy_score` ranks them, the higher class
    index first, so that every value is a pure function of the scores. The prediction of
    `balanced_accuracy` is the class that `top1` counts.

    Args:
      y_true: int [n], classes in [0, K). Rows without a label must be left out.
      y_score: float [n, K], probabilities (top-k and AUC need no more than an order).
      class_names: the K distinct names, in the order of the columns.

    Returns:
      `top1`: the share of rows whose class has the highest score.
      `top3`: the share whose class is among the three highest; only for K > 3, since with three
        classes it is 1 whatever the scores.
      `balanced_accuracy`: mean recall over the classes present in `y_true` (Brodersen et al.,
        2010; `sklearn.metrics.balanced_accuracy_score`).
      `auc_macro`: mean one-vs-rest AUC over the classes that have both positives and negatives in
        `y_true`; nan if there are none.
      `auc/<class name>`: the AUC of each of those classes.

    Raises:
      ValueError: no rows, shapes that do not fit, a label outside [0, K), a score that is nan, or
        a class name used twice.
    """
    y_true = np.asarray(y_true)
    y_score = np.asarray(y_score)
    if y_score.ndim != 2 or y_true.shape != y_score.shape[:1]:
        raise ValueError(
            f"classification_metrics: labels {y_true.shape} and scores {y_score.shape}, "
            "expected [n] and [n, K]"
        )
    n, num_classes = y_score.shape
    _check(
        y_true, y_score, class_names,
        function="classification_metrics", labels="labels", kind="class",
        limits=(0, num_classes - 1),
    )  # fmt: skip

    of_truth = y_score[np.arange(n), y_true][:, None]
    tied_above = (y_score == of_truth) & (np.arange(num_classes) > y_true[:, None])
    above = (y_score > of_truth) | tied_above
    rank = np.count_nonzero(above, axis=1)  # 0 for a correct prediction

    rows_of_class = np.bincount(y_true, minlength=num_classes)
    hits_of_class = np.bincount(y_true[rank == 0], minlength=num_classes)
    present = rows_of_class > 0

    metrics = {"top1": float(np.mean(rank == 0))}
    if num_classes > 3:
        metrics["top3"] = float(np.mean(rank < 3))
    metrics["balanced_accuracy"] = float(np.mean(hits_of_class[present] / rows_of_class[present]))

    columns = np.ascontiguousarray(y_score.T)
    aucs = {
        f"auc/{class_names[k]}": auc(y_true == k, columns[k])
        for k in np.flatnonzero(present & (rows_of_class < n)).tolist()
    }
    metrics["auc_macro"] = float(np.mean(list(aucs.values()))) if aucs else float("nan")
    return metrics | aucs


def _check(
    y_true: np.ndarray,
    y_score: np.ndarray,
    names: Sequence[str],
    *,
    function: str,
    labels: str,
    kind: str,
    limits: tuple[int, int],
) -> None:
    """What both kinds of metrics ask of their rows and names, the shapes being right."""
    n, num_columns = y_score.shape
    if n == 0:
        raise ValueError(f"{function}: no rows")
    if len(names) != num_columns or len(set(names)) != num_columns:
        raise ValueError(
            f"{function}: {len(names)} {kind} names, {len(set(names))} of them distinct, for "
            f"{num_columns} columns of scores"
        )
    if not np.issubdtype(y_true.dtype, np.integer):
        raise ValueError(f"{function}: {labels} are {y_true.dtype}, expected integers")
    low, high = limits
    if y_true.size and (y_true.min() < low or y_true.max() > high):
        raise ValueError(
            f"{function}: {labels} from {y_true.min()} to {y_true.max()}, expected {low} to {high}"
        )
    if np.isnan(y_score).any():
        raise ValueError(f"{function}: a score is nan")


def findings_metrics(
    y_true: ArrayLike, y_score: ArrayLike, finding_names: Sequence[str]
) -> dict[str, float]:
    """AUCs of a classifier of K findings, each judged on the rows where it is known.

    Args:
      y_true: int [n, K], 1 present, 0 absent; -1 (uncertain) and -2 (not mentioned) are left out.
      y_score: float [n, K], higher means more likely present; any scale.
      finding_names: the K distinct names, in the order of the columns.

    Returns:
      `findings/auc_mean`: the mean AUC over the findings that are known to be present in some row
        and absent in another, all weighing the same; nan if there are none.
      `findings/auc/<finding>`: the AUC of each of those findings.

    Raises:
      ValueError: no rows, shapes that do not fit, a value outside {-2, -1, 0, 1}, a score that is
        nan, or a finding name used twice.
    """
    y_true = np.asarray(y_true)
    y_score = np.asarray(y_score)
    if y_score.ndim != 2 or y_true.shape != y_score.shape:
        raise ValueError(
            f"findings_metrics: findings {y_true.shape} and scores {y_score.shape}, "
            "expected [n, K] each"
        )
    _check(
        y_true, y_score, finding_names,
        function="findings_metrics", labels="findings", kind="finding", limits=(-2, 1),
    )  # fmt: skip

    aucs = {}
    # Row by row of the transposed: the bootstrap comes here a thousand times.
    columns = zip(
        finding_names, np.ascontiguousarray(y_true.T), np.ascontiguousarray(y_score.T), strict=True
    )
    for name, truth, score in columns:
        known = truth >= 0
        area = auc(truth[known] == 1, score[known])
        if not math.isnan(area):
            aucs[f"findings/auc/{name}"] = area
    mean = float(np.mean(list(aucs.values()))) if aucs else float("nan")
    return {"findings/auc_mean": mean} | aucs


def metrics_of(level: str, names: Sequence[str], multilabel: bool) -> Metrics:
    """The metrics of images or of cases under the names of result.json.

    Args:
      level: "image" or "case".
      names: of the classes or findings.
      multilabel: whether they are findings.

    Returns:
      A function (labels, scores) -> {name: value}: `classification_metrics` as "image/top1" and
      "case/top1", `findings_metrics` as "findings/auc_mean" and "case/findings/auc_mean".
    """
    judge = findings_metrics if multilabel else classification_metrics
    prefix = "" if multilabel and level == "image" else f"{level}/"
    return lambda y_true, y_score: {
        prefix + name: value for name, value in judge(y_true, y_score, names).items()
    }


def case_probabilities(
    probabilities: ArrayLike, case_index: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Prediction for a case: the mean of the probabilities of its images.

    Args:
      probabilities: float [n, K], one row per image.
      case_index: int or string [n], the case of each image; the images of a case need not be
        neighbours, and the numbers need not be consecutive.

    Returns:
      `(probabilities, first)`: float64 [C, K] and int64 [C], one row per case, cases in the order
      in which they first appear. `first` is the row of the case's first image, so that
      `labels[first]` and `patients[first]` are those of the cases.

    Raises:
      ValueError: lengths differ.
    """
    probabilities = np.asarray(probabilities, np.float64)
    case_index = np.asarray(case_index)
    if probabilities.ndim != 2 or case_index.shape != probabilities.shape[:1]:
        raise ValueError(
            f"case_probabilities: probabilities {probabilities.shape} and cases "
            f"{case_index.shape}, expected [n, K] and [n]"
        )
    _, first, case, images = np.unique(
        case_index, return_index=True, return_inverse=True, return_counts=True
    )
    sums = np.zeros((len(first), probabilities.shape[1]))
    np.add.at(sums, case, probabilities)
    by_appearance = np.argsort(first)
    return (sums / images[:, None])[by_appearance], first[by_appearance]


def case_findings(findings: ArrayLike, case_index: ArrayLike) -> np.ndarray:
    """Findings of a case whose images share them: per finding, what its first image states.

    Args:
      findings: int [n, K], one row per image: 1 present, 0 absent, -1 uncertain (which counts as
        stated), -2 not mentioned.
      case_index: int or string [n], as for `case_probabilities`.

    Returns:
      int8 [C, K], one row per case, in the order of `case_probabilities`: the value of the first
      image of the case that states the finding; -2 if none does.

    Raises:
      ValueError: lengths differ.
    """
    findings = np.asarray(findings, np.int8)
    case_index = np.asarray(case_index)
    if findings.ndim != 2 or case_index.shape != findings.shape[:1]:
        raise ValueError(
            f"case_findings: findings {findings.shape} and cases {case_index.shape}, "
            "expected [n, K] and [n]"
        )
    _, first, case = np.unique(case_index, return_index=True, return_inverse=True)
    shared = np.full((len(first), findings.shape[1]), -2, np.int8)
    rows, columns = np.nonzero(findings != -2)
    # Of several values for one place, the last one assigned stays: so the first image goes last.
    rows, columns = rows[::-1], columns[::-1]
    shared[case[rows], columns] = findings[rows, columns]
    return shared[np.argsort(first)]
