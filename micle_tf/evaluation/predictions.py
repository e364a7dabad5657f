"""What a classifier says of every image and case: predictions.csv, metrics, intervals."""

import csv
import io

import numpy as np

from micle_tf import console
from micle_tf.data.targets import is_labelled
from micle_tf.evaluation.columns import IDS, label_columns, score_columns
from micle_tf.evaluation.intervals import bootstrap_intervals
from micle_tf.evaluation.metrics import case_findings, case_probabilities, metrics_of
from micle_tf.evaluation.shown import say_result
from micle_tf.files import write_text
from micle_tf.training import state


def by_level(index, labels, probabilities, labels_shared_by_case):
    """The rows of predictions.csv by level.

    Args:
      index: `CaseIndex` of the split.
      labels: [I] classes, -1 if unlabelled, or [I, K] findings.
      probabilities: [I, K], a row per image.
      labels_shared_by_case: whether cases have labels; without, there is no case level.

    Returns:
      `Rows` as `predictions_file.read_predictions` reads them, but that a patient is a number. A
      case's probabilities are the mean of its images'.
    """
    case = index.case_of_image
    rows = {
        "image": {
            "ids": _ids("image", index.case_id[case], index.patient_id[case], index.image_id),
            "patient": index.patient_number[case],
            "label": labels,
            "score": probabilities,
        }
    }
    if labels_shared_by_case:
        means, first = case_probabilities(probabilities, case)
        rows["case"] = {
            "ids": _ids("case", index.case_id, index.patient_id, np.full(len(first), "")),
            "patient": index.patient_number,
            "label": case_findings(labels, case) if labels.ndim == 2 else labels[first],
            "score": means,
        }
    return rows


def _ids(level, *columns):
    return np.stack([np.full(len(columns[0]), level), *columns], axis=1)


def predictions_csv(predicted, targets):
    """The text of predictions.csv: level, ids, label, p_<name> with 9 digits.

    The label is the class, blank if unlabelled; with findings there is a column
    label_<finding> for each: 1, 0, -1 uncertain, -2 not mentioned.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    labels = label_columns(targets.names, targets.multilabel)
    writer.writerow([*IDS, *labels, *score_columns(targets.names)])
    names = np.array([*targets.names, ""])
    for rows in predicted.values():
        shown = rows["label"] if targets.multilabel else names[rows["label"]][:, None]
        for ids, label, scores in zip(rows["ids"], shown, rows["score"], strict=True):
            writer.writerow([*ids, *label, *(f"{score:.9g}" for score in scores)])
    return text.getvalue()


def point_metrics(predicted, targets):
    """Metrics of all levels that have labels, without intervals."""
    metrics = {}
    for level, rows in predicted.items():
        labelled = is_labelled(rows["label"])
        if labelled.any():
            measure = metrics_of(level, targets.names, targets.multilabel)
            metrics |= measure(rows["label"][labelled], rows["score"][labelled])
    return metrics


def judge(predicted, targets, samples, seed):
    """Metrics and 95 % intervals of all levels that have labels, patients resampled.

    Returns:
      ({"case/top1": ..., ...}, {"case/top1": [low, high], ...}).
    """
    metrics, intervals = point_metrics(predicted, targets), {}
    for level, rows in predicted.items():
        labelled = is_labelled(rows["label"])
        if labelled.any():
            with console.Progress(f"intervals of {level}s", samples, "resample") as progress:
                intervals |= bootstrap_intervals(
                    metrics_of(level, targets.names, targets.multilabel),
                    rows["label"][labelled], rows["score"][labelled],
                    rows["patient"][labelled], samples, seed, progress=progress.at,
                )  # fmt: skip
    return metrics, {name: list(ends) for name, ends in intervals.items()}


def support(metrics, predicted, targets):
    """What is behind each metric of `point_metrics`, as the field calls it.

    Returns:
      {name of a metric: number of positives, of the AUC of a class or finding; else number of
      labelled rows}.
    """
    rows, positives = {}, {}
    for level, values in predicted.items():
        label = values["label"][is_labelled(values["label"])]
        has = label == 1 if targets.multilabel else label[:, None] == np.arange(len(targets.names))
        rows[level] = len(label)
        positives[level] = dict(zip(targets.names, has.sum(axis=0).tolist(), strict=True))
    behind = {}
    for name in metrics:
        level = "case" if name.startswith("case/") else "image"
        _, is_auc, outcome = name.partition("auc/")
        behind[name] = positives[level][outcome] if is_auc else rows[level]
    return behind


def finish(run, data, targets, predicted, *, samples, seed, **result):
    """Writes predictions.csv, judges them, and finishes the run.

    Args:
      run: `RunDirectory`.
      data: `CaseData` that was predicted.
      targets: `Targets`.
      predicted: of `by_level`.
      samples, seed: resamples of patients behind each interval, and how they are drawn.
      **result: mode, method, steps, seconds, seen, and `metrics` to put before the others.

    Returns:
      The content of result.json.
    """
    write_text(run.file("predictions.csv"), predictions_csv(predicted, targets))
    metrics, intervals = judge(predicted, targets, samples, seed)
    if not metrics:
        console.say("no labels: predictions only, no metrics")
    elif targets.multilabel:
        _say_what_is_undefined(metrics, targets)
    behind = support(metrics, predicted, targets)
    metrics = result.pop("metrics", {}) | metrics
    result = run.finish(
        dataset=data.name, metrics=metrics, intervals=intervals,
        support=behind, **result,
    )  # fmt: skip
    say_result(result)
    return result


def _say_what_is_undefined(metrics, targets):
    values = {name: metrics.get(f"findings/auc/{name}") for name in targets.names}
    undefined = [name for name, value in values.items() if value is None or value != value]
    if undefined:
        console.say(
            f"note: undefined, the labels of the split being all alike: {', '.join(undefined)}; "
            "means are over the others"
        )


def finished_before(run):
    """Says that a run was finished before, and what came out; returns its result.json."""
    console.say(f"finished before: {run.path}")
    result = state.read_result(run.path, "--model_dir")
    say_result(result)
    return result
