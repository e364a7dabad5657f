"""What a classifier says of every image and case: predictions.csv, metrics, intervals."""

import csv
import io

import numpy as np

from micle_tf import console
from micle_tf.data.targets import is_labelled
from micle_tf.evaluation.by_group import judge_groups, say_groups
from micle_tf.evaluation.columns import IDS, label_columns, score_columns
from micle_tf.evaluation.judging import from_validation, judge
from micle_tf.evaluation.metric_names import parsed
from micle_tf.evaluation.metrics import case_findings, case_probabilities, metrics_of
from micle_tf.evaluation.predictions_file import (
    PREDICTIONS,
    VALIDATION,
    read_predictions,
    read_validation,
)
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


def support(metrics, predicted, targets):
    """What is behind each metric.

    Args:
      metrics: their names, as in result.json.
      predicted: of `by_level`.
      targets: `Targets`.

    Returns:
      {name of a metric: number of positives, of what rests on those of a class or finding; else
      number of labelled rows}.
    """
    rows, positives = {}, {}
    for level, values in predicted.items():
        label = values["label"][is_labelled(values["label"])]
        has = label == 1 if targets.multilabel else label[:, None] == np.arange(len(targets.names))
        rows[level] = len(label)
        positives[level] = dict(zip(targets.names, has.sum(axis=0).tolist(), strict=True))
    behind = {}
    for name in metrics:
        of = parsed(name, targets.names)
        behind[name] = positives[of.level][of.column] if of.counts_positives else rows[of.level]
    return behind


def finish(
    run, data, targets, predicted, *, attributes, validation, questions, samples, seed, **result
):
    """Writes predictions.csv, judges what it holds, and finishes the run.

    So that who reads the file, as `compare` does, comes to the same numbers to the bit, and what is
    at a threshold of validation, which is read from such a file too, is on the same side of it.

    Args:
      run: `RunDirectory`.
      data: `CaseData` that was predicted.
      targets: `Targets`.
      predicted: of `by_level`.
      attributes: `Attributes` of the images that were predicted; None where there are none.
      validation: `Rows` of the split that chose the model, kept as validation_predictions.csv; or,
        in words, why there are none.
      questions: `Questions`.
      samples, seed: resamples of patients behind each interval, and how they are drawn.
      **result: mode, method, steps, seconds, seen, and `metrics` to put before the others.

    Returns:
      The content of result.json.
    """
    write_text(run.file(PREDICTIONS), predictions_csv(predicted, targets))
    rows, _, _ = read_predictions(run.path)
    fixed = _fixed(run, targets, validation, questions)
    judged = judge(
        rows, targets.names, targets.multilabel, questions, fixed, samples=samples, seed=seed
    )
    if not judged.estimates:
        console.say("no labels: predictions only, no metrics")
    elif targets.multilabel:
        _say_what_is_undefined(judged.undefined, targets)
    found = judged.estimates
    texts = {one: attributes.of(one.name) for one in questions.subgroups}
    groups = judge_groups(
        rows, texts, targets.names, targets.multilabel, samples=samples, seed=seed
    )
    metrics = result.pop("metrics", {}) | {name: one.value for name, one in found.items()}
    result = run.finish(
        dataset=data.name, metrics=metrics,
        intervals={name: [one.low, one.high] for name, one in found.items()},
        support=support(found, rows, targets),
        dropped_resamples={name: one.dropped for name, one in found.items() if one.dropped},
        undefined=judged.undefined, from_validation=_shown_of_validation(fixed, targets),
        subgroups=groups, **result,
    )  # fmt: skip
    say_result(result, targets.names)
    say_groups(groups)
    return result


def _fixed(run, targets, validation, questions):
    """What validation fixes, from the rows as a run keeps them; None where there are none, said."""
    if isinstance(validation, str):
        asked = ", no operating points" * bool(questions.operating_points)
        console.say(f"note: no calibrated metrics{asked}: {validation}")
        return None
    write_text(run.file(VALIDATION), predictions_csv(validation, targets))
    kept = read_validation(run.path)  # with the digits that later commands will see
    return from_validation(kept, targets.names, targets.multilabel, questions.operating_points)


def _shown_of_validation(fixed, targets):
    """What validation fixed, as in result.json."""
    if fixed is None:
        return {}
    temperatures = fixed.temperature.tolist()
    shown = {"temperature": temperatures[0]}
    if targets.multilabel:
        shown = {"temperature": dict(zip(targets.names, temperatures, strict=True))}
    thresholds = {
        str(point): {level: dict(zip(targets.names, of_level[point].tolist(), strict=True))
                     for level, of_level in fixed.thresholds.items()}
        for point in fixed.thresholds["image"]
    }  # fmt: skip
    return shown | ({"thresholds": thresholds} if thresholds else {})


def _say_what_is_undefined(undefined, targets):
    lacking = [name for name in targets.names if f"findings/auc/{name}" in undefined]
    if lacking:
        console.say(
            f"note: undefined, the labels of the split being all alike: {', '.join(lacking)}; "
            "means are over the others"
        )


def finished_before(run):
    """Says that a run was finished before, and what came out; returns its result.json."""
    console.say(f"finished before: {run.path}")
    result = state.read_result(run.path, "--model_dir")
    say_result(result)
    return result
