"""Whether data can answer what a study asks: which metrics it has, what a share of labels lacks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from micle_tf.config import Judging, Selection
from micle_tf.data.targets import choose_labelled
from micle_tf.errors import BadInput
from micle_tf.evaluation.contrasts import PRIMARY
from micle_tf.evaluation.judging import from_validation, panels_of
from micle_tf.settings import nearest
from micle_tf.statistics.questions import Questions
from micle_tf.study.runs import Planned
from micle_tf.study.specification import Study

VALIDATION_LOSS = "validation/loss"
NOTHING_ELSE = Questions()


def check_metrics(
    asked: Study, targets: Any, groups: Mapping[str, tuple[Selection, Judging]], *, of_cases: bool
) -> None:
    """Raises BadInput for a metric that runs of the targets cannot have, or not be compared by.

    Args:
      asked: `Study`.
      targets: `Targets`.
      groups: {stage of its [select]: (`Selection`, `Judging`) of one of its runs}.
      of_cases: whether cases have labels, and so metrics.
    """
    known = lambda questions: [
        name
        for name in metrics_of_targets(targets.names, targets.multilabel, questions)
        if of_cases or not name.removeprefix("calibrated/").startswith("case/")
    ]
    # Tables are of what predictions give by themselves.
    marks = ("@", "calibrated/", VALIDATION_LOSS)
    of_tables = [one for one in known(NOTHING_ELSE) if not any(mark in one for mark in marks)]
    named = {"primary": (asked.primary, of_tables)}
    for stage, metric in asked.select.items():
        selection, judging = groups[stage]
        if metric == VALIDATION_LOSS and not _keeps_loss(asked, stage, selection):
            raise BadInput(
                f"{asked.name}: [select] {stage} = {metric}: a fine-tuning says it if its own best "
                f'checkpoint is chosen by it; add best_metric = "loss" to [stages.{stage}]'
            )
        named[f"[select] {stage}"] = (metric, known(judging.questions()))
    for where, (metric, names) in named.items():
        if metric and metric not in names:
            shown = f"; it is one of {', '.join(one for one in PRIMARY if one in names)}, ..."
            raise BadInput(
                f"{asked.name}: {where} = {metric}: no metric to compare by"
                f"{nearest(metric, names) or shown}"
            )


def _keeps_loss(asked: Study, stage: str, selection: Selection) -> bool:
    """Whether runs say their loss on validation: of fine-tunings, those that are chosen by it."""
    chosen_by = asked.grid[stage].get("best_metric", [selection.best_metric])
    by_loss = not {"loss", VALIDATION_LOSS}.isdisjoint(chosen_by)
    return by_loss or asked.stages[stage]["mode"] != "finetune"


def check_labels(asked: Study, left: Sequence[Planned], targets: Any, train: Any) -> None:
    """Raises BadInput where a run would draw no case of a class, or with or without a finding.

    With one seed a smaller fraction is a part of a larger one, so that the smallest is looked at. A
    class that all labels lack is one that no share has; a finding that they lack is not judged.

    Args:
      asked: `Study`.
      left: its judged runs that are not made yet.
      targets: `Targets`.
      train: `LabelledSplit` of all labels.
    """
    smallest = {
        run.seed: min(one.fraction or 1.0 for one in left if one.seed == run.seed) for run in left
    }
    of_all = _lacking(targets, train.labels[train.images])
    for seed, fraction in smallest.items():
        if fraction == 1:
            continue
        where = f"{asked.name}: label_fractions = {fraction:g}"
        if of_all and not targets.multilabel:
            raise BadInput(
                f"{where}: {train.name} has no labelled case {of_all[0]}, so that no share of it "
                "has one of each class"
            )
        images = choose_labelled(train.labels, train.reader.index, fraction, seed)
        lacking = [one for one in _lacking(targets, train.labels[images]) if one not in of_all]
        if lacking:
            raise BadInput(
                f"{where}: of {train.name}, seed {seed} draws no labelled case {lacking[0]}; take "
                "a larger share"
            )


def _lacking(targets: Any, labels: np.ndarray) -> list[str]:
    """ "of naevus", "with edema", "without edema": those that no image has."""
    found = []
    for k, name in enumerate(targets.names):
        if targets.multilabel:
            kinds = {f"with {name}": labels[:, k] == 1, f"without {name}": labels[:, k] == 0}
        else:
            kinds = {f"of {name}": labels == k}
        found += [kind for kind, has in kinds.items() if not has.any()]
    return found


def metrics_of_targets(
    names: Sequence[str], multilabel: bool, questions: Questions = NOTHING_ELSE
) -> list[str]:
    """Names of all metrics that say which of two models is better, of images and of cases.

    Args:
      names: of the classes or findings.
      multilabel: whether they are findings.
      questions: what is asked of a run beyond what is always said.
    """
    count = len(names)
    score = np.random.default_rng(0).dirichlet(np.ones(max(2, count)), 4 * count)[:, :count]
    label = np.arange(4 * count) % count
    if multilabel:
        label = (np.arange(4 * count)[:, None] // 2 + np.arange(count)) % 2
    ids = np.array([["image", str(k), "", str(k)] for k in range(4 * count)])
    level = {"label": label, "score": score, "ids": ids, "patient": ids[:, 1]}
    rows = {"image": level, "case": level}
    fixed = from_validation(rows, names, multilabel, questions.operating_points)
    known = [VALIDATION_LOSS]
    for of_level in panels_of(rows, names, multilabel, questions, fixed).values():
        for panel in of_level:
            known += [*panel.statistic.names, *panel.undefined]
    # The best slope is 1 and the best intercept 0, neither the highest nor the lowest.
    return [name for name in known if "calibration_" not in name]
