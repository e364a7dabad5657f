"""Which checkpoint of a fine-tuning is the best: what validation says of it."""

import numpy as np

from micle_tf import console
from micle_tf.data.targets import is_labelled
from micle_tf.errors import BadInput
from micle_tf.evaluation import predictions
from micle_tf.settings import nearest


def judge_selection(split, probabilities, targets, labels_shared_by_case):
    """Metrics and the mean cross-entropy of the labelled images of a split.

    Args:
      split: `LabelledSplit`.
      probabilities: [I, K], a row per image of the split.
      targets: `Targets`.
      labels_shared_by_case: whether cases have labels.

    Returns:
      {"loss", "case/auc_macro", ...: float}.
    """
    predicted = predictions.by_level(
        split.reader.index, split.labels, probabilities, labels_shared_by_case
    )
    labelled = is_labelled(split.labels)
    labels, scores = split.labels[labelled], np.clip(probabilities[labelled], 1e-7, 1 - 1e-7)
    if targets.multilabel:
        terms = -np.log(np.where(labels == 1, scores, 1 - scores))[labels >= 0]
    else:
        terms = -np.log(scores[np.arange(len(labels)), labels])
    return {"loss": float(terms.mean())} | predictions.point_metrics(predicted, targets)


def metric_to_choose_by(best_metric, split, targets, labels_shared_by_case):
    """The name of the metric to choose by: --best_metric, or macro AUC of the highest level.

    Args:
      best_metric: as it is typed, "" for the usual one.
      split, targets, labels_shared_by_case: as for `judge_selection`.

    Raises:
      BadInput: validation does not define the one that is typed.
    """
    if best_metric:
        metric = best_metric.removeprefix("validation/")  # as result.json calls it
    else:
        level = "case/" if labels_shared_by_case else ""
        metric = f"{level}findings/auc_mean"
        if not targets.multilabel:
            metric = f"{level or 'image/'}auc_macro"
    shape = (len(split.labels), len(targets.names))
    guess = np.random.default_rng(0).dirichlet(np.ones(shape[1]), shape[0])
    defined = judge_selection(split, guess, targets, labels_shared_by_case)
    if metric not in defined:
        names = [name for name in defined if "/auc/" not in name]
        hint = nearest(metric, defined)
        raise BadInput(f"--best_metric={metric}: not one of {', '.join(names)}{hint}")
    if defined[metric] != defined[metric] and not best_metric:
        console.say(
            f"note: {metric} is not defined on {split.name}, so that the lowest loss counts"
        )
        return "loss"
    if defined[metric] != defined[metric]:
        raise BadInput(
            f"--best_metric={metric}: not defined on {split.name}, whose labels are all alike; "
            "--best_metric=loss is"
        )
    return metric
