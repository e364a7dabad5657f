"""Is a classifier as good for all kinds of patients? AUCs in the groups of an attribute."""

import dataclasses
from typing import Any

import numpy as np

from micle_tf import console
from micle_tf.data.targets import is_labelled
from micle_tf.evaluation.judging import Names, prefix_of
from micle_tf.evaluation.predictions_file import Rows
from micle_tf.statistics import auc, subgroups
from micle_tf.statistics.attributes import SEVERAL, UNKNOWN, assign
from micle_tf.statistics.columns import Columns
from micle_tf.statistics.questions import Attribute
from micle_tf.statistics.subgroups import Gap, Group


def judge_groups(
    rows: Rows,
    texts: dict[Attribute, np.ndarray],
    names: Names,
    multilabel: bool,
    *,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """The AUC of each class or finding by group, on the highest level, see `subgroups`.

    Args:
      rows: of images and perhaps cases.
      texts: {attribute: [I] str, as the data states it of the images}.
      names: of the classes or findings.
      multilabel: whether they are findings.
      samples: resamples of patients, and permutations of labels.
      seed: of both.

    Returns:
      As in result.json: {attribute: {metric: {"groups": {label: counts, and the AUC with its
      interval or why there is none}, "gap": {"highest", "lowest", "value", "interval", "p"}}}};
      "gap" is None where fewer than two groups have a value.
    """
    level = "case" if "case" in rows else "image"
    known = is_labelled(rows[level]["label"])
    if not texts or not known.any():
        return {}
    part = {name: values[known] for name, values in rows[level].items()}
    of_rows = Columns.of_findings if multilabel else Columns.of_classes
    columns = of_rows(part["label"], part["score"], names)
    found: dict[str, Any] = {}
    with console.Progress("sub-groups", len(texts) * len(columns), "comparison") as progress:
        for attribute, of_images in texts.items():
            labels = assign(of_images, attribute.cuts)
            labels = (labels if level == "image" else _of_cases(rows, labels))[known]
            found[attribute.name] = {}
            for k, name in enumerate(columns.names):
                truth = np.where(columns.known[:, k], columns.truths[:, k], -1)
                groups, gap = subgroups.compare_groups(
                    auc.statistic(columns.only([name])), truth, labels, part["patient"],
                    samples=samples, permutations=samples, seed=seed,
                )  # fmt: skip
                metric = f"{prefix_of(level, multilabel)}{'findings/' * multilabel}auc/{name}"
                found[attribute.name][metric] = _shown(groups, gap)
                progress.update(1)
    return found


def _of_cases(rows: Rows, of_images: np.ndarray) -> np.ndarray:
    """[C] str: the group that those images of a case agree on whose group is known."""
    stated: dict[str, str] = {}
    for case, label in zip(rows["image"]["ids"][:, 1].tolist(), of_images.tolist(), strict=True):
        if label != UNKNOWN:
            stated[case] = label if stated.get(case, label) == label else SEVERAL
    cases = rows["case"]["ids"][:, 1].tolist()
    return np.array([stated.get(case, UNKNOWN) for case in cases], np.str_)


def _shown(groups: dict[str, Group], gap: Gap | None) -> dict[str, Any]:
    shown = {}
    for label, group in groups.items():
        counts = dataclasses.asdict(group)
        estimate = counts.pop("estimate")
        if estimate is None:
            shown[label] = counts | {"reason": group.reason}
        else:
            interval = [estimate["low"], estimate["high"]]
            shown[label] = counts | {"value": estimate["value"], "interval": interval}
    if gap is None:
        return {"groups": shown, "gap": None}
    between = gap.estimate
    return {
        "groups": shown,
        "gap": {
            "highest": gap.highest, "lowest": gap.lowest, "value": between.value,
            "interval": [between.low, between.high], "p": gap.p,
        },
    }  # fmt: skip


def say_groups(found: dict[str, Any]) -> None:
    """A line on the gap of each metric, by attribute; what has too few positives is counted."""
    for attribute, metrics in found.items():
        without = 0
        for metric, of_metric in metrics.items():
            gap = of_metric["gap"]
            if gap is None:
                without += 1
                continue
            low, high = gap["interval"]
            console.say(
                f"  {attribute}: {metric}: {gap['highest']} - {gap['lowest']} "
                f"{gap['value']:.3f} [{low:.3f}, {high:.3f}], p {gap['p']:.3f}"
            )
        if without:
            console.say(
                f"  {attribute}: {console.count(without, 'metric')} without two groups of "
                f"{subgroups.LEAST} positives and negatives"
            )
