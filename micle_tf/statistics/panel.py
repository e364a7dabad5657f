"""All that an evaluation is asked for, as one statistic of its rows."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from micle_tf.statistics import (
    accuracy,
    auc,
    average_precision,
    calibration,
    confusion,
    net_benefit,
    operating_points,
    selective,
)
from micle_tf.statistics.auc import AUC
from micle_tf.statistics.average_precision import AVERAGE_PRECISION
from micle_tf.statistics.columns import (
    Columns,
    Key,
    OfColumns,
    certainty_of_classes,
    certainty_of_findings,
)
from micle_tf.statistics.counts import of_rankings
from micle_tf.statistics.questions import OperatingPoint
from micle_tf.statistics.statistic import Statistic, joined, selected, with_mean

# Of which metrics the classes or findings have a mean, where nothing is said behind their names.
WITH_MEAN = (
    "auc", "average_precision", "sensitivity", "specificity", "ppv", "npv", "f1", "ece", "brier",
)  # fmt: skip
# Without which rows a metric is not defined.
NEEDS_POSITIVES = (
    "auc", "average_precision", "sensitivity", "ppv", "f1", "calibration_slope",
    "calibration_intercept",
)  # fmt: skip
NEEDS_NEGATIVES = ("auc", "specificity", "npv", "calibration_slope", "calibration_intercept")
# What else a metric may lack.
OTHERWISE = {
    "sensitivity": "validation has no positive or no negative: no threshold",
    "specificity": "validation has no positive or no negative: no threshold",
    "ppv": "no row is decided positive",
    "npv": "no row is decided negative",
    "calibration_slope": "the score separates positives from negatives: no calibration slope",
}


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is asked for beyond what every evaluation has.

    Attributes:
      prevalence: at which PPV and NPV are stated as well, in (0, 1): one for all classes or
        findings, or by name for some; None for none.
      thresholds: by operating point, float [K], fixed on validation; nan where it has none.
      net_benefit_at: probabilities in (0, 1) from which on one would treat.
      coverages: shares of the rows in (0, 1], the most certain, whose accuracy is asked.
    """

    prevalence: Mapping[str, float] | float | None = None
    thresholds: Mapping[OperatingPoint, np.ndarray] = dataclasses.field(default_factory=dict)
    net_benefit_at: tuple[float, ...] = ()
    coverages: tuple[float, ...] = (0.5, 0.8, 0.9, 1.0)


@dataclasses.dataclass(frozen=True)
class Panel:
    """Numbers of n rows.

    Attributes:
      statistic: those that are defined where each row counts once.
      undefined: why each of the others is not, in a line, by name.
    """

    statistic: Statistic
    undefined: dict[str, str]

    def behind(self, prefix: str) -> "Panel":
        """The same, with a prefix before all names."""
        undefined = {prefix + name: why for name, why in self.undefined.items()}
        return Panel(joined(self.statistic, prefix=prefix), undefined)


def of_classes(
    y_true: ArrayLike, probabilities: ArrayLike, names: Sequence[str], asked: Asked
) -> Panel:
    """The panel of a K-class classifier, each class being judged against the rest.

    Args:
      y_true: int [n], classes in [0, K). Rows without a label must be left out.
      probabilities: float [n, K], in [0, 1].
      names: the K distinct names.
      asked: what is asked for.

    Returns:
      First what `evaluation.metrics.classification_metrics` gives, to the bit; then
      `average_precision`, `sensitivity`, `specificity`, `ppv`, `npv` and `f1` (of the most probable
      class) as "f1_macro" and "f1/<class>"; `ece` and `brier` of all classes; `calibration_slope/
      <class>` and `calibration_intercept/<class>`; then, where asked for,
      `ppv/<class>@prevalence=0.1` and npv; both `sensitivity/<class>@specificity=0.9` and the
      `specificity/<class>@specificity=0.9` that is achieved; `net_benefit/<class>@threshold=0.1`;
      and `accuracy@coverage=0.5`. A macro mean is over the classes that define the metric where
      each row counts once.

    Raises:
      ValueError: as `Columns.of_classes`, or something is asked for that is out of its range, of
        another number of classes or twice.
    """
    columns = Columns.of_classes(y_true, probabilities, names)
    certainty = certainty_of_classes(columns)
    return _panel(
        columns,
        [
            accuracy.statistic(columns),
            _of_scores(columns, asked),
            confusion.statistic(columns),
            *_calibration_of_classes(columns),
            *_at_prevalence(columns, asked.prevalence),
            selective.statistic(certainty, asked.coverages),
        ],
        mean="macro",
    )


def of_findings(
    y_true: ArrayLike, probabilities: ArrayLike, names: Sequence[str], asked: Asked
) -> Panel:
    """The panel of K findings, each judged on the rows where it is known.

    Args:
      y_true: int [n, K], 1 present, 0 absent; -1 (uncertain) and -2 (not mentioned) are left out.
      probabilities: float [n, K], in [0, 1].
      names: the K distinct names.
      asked: what is asked for.

    Returns:
      As `of_classes`, but without its accuracies and with "findings/" before all names: first what
      `evaluation.metrics.findings_metrics` gives, to the bit; decisions are those of p >= 0.5;
      means are called `findings/f1_mean`; `ece`, `brier` and `accuracy@coverage` are there for
      each finding, as `findings/ece/<finding>` and `findings/accuracy/<finding>@coverage=0.5`.

    Raises:
      ValueError: as `Columns.of_findings`, or as `of_classes` for what is asked.
    """
    columns = Columns.of_findings(y_true, probabilities, names)
    return _panel(
        columns,
        [
            _of_scores(columns, asked),
            confusion.statistic(columns),
            *_calibration_of_findings(columns),
            *_at_prevalence(columns, asked.prevalence),
            selective.statistic(certainty_of_findings(columns), asked.coverages),
        ],
        mean="mean",
        prefix="findings/",
    )


def calibration_of_classes(
    y_true: ArrayLike,
    probabilities: ArrayLike,
    names: Sequence[str],
    net_benefit_at: Sequence[float],
) -> Panel:
    """What of `of_classes` says whether probabilities can be taken at their word.

    `ece`, `brier`, `calibration_slope`, `calibration_intercept`; where asked for, `net_benefit`.
    """
    columns = Columns.of_classes(y_true, probabilities, names)
    decided = net_benefit.statistic(columns, net_benefit_at)
    return _panel(columns, [*_calibration_of_classes(columns), decided], mean="macro")


def calibration_of_findings(
    y_true: ArrayLike,
    probabilities: ArrayLike,
    names: Sequence[str],
    net_benefit_at: Sequence[float],
) -> Panel:
    """The same of `of_findings`."""
    columns = Columns.of_findings(y_true, probabilities, names)
    parts = [*_calibration_of_findings(columns), net_benefit.statistic(columns, net_benefit_at)]
    return _panel(columns, parts, mean="mean", prefix="findings/")


def discrimination_of_classes(
    y_true: ArrayLike, probabilities: ArrayLike, names: Sequence[str]
) -> Panel:
    """What of `of_classes` says how well classes are told apart: its accuracies and AUCs."""
    columns = Columns.of_classes(y_true, probabilities, names)
    return _panel(columns, [accuracy.statistic(columns), auc.statistic(columns)], mean="macro")


def discrimination_of_findings(
    y_true: ArrayLike, probabilities: ArrayLike, names: Sequence[str]
) -> Panel:
    """The same of `of_findings`: its AUCs."""
    columns = Columns.of_findings(y_true, probabilities, names)
    return _panel(columns, [auc.statistic(columns)], mean="mean", prefix="findings/")


_OF_EACH = {
    "average_precision": average_precision.statistic,
    "ece": calibration.ece,
    "brier": calibration.brier,
    "calibration_slope": calibration.slope,
    "calibration_intercept": calibration.intercept,
}


def one_metric(
    columns: Columns, metric: str, names: Sequence[str], *, multilabel: bool
) -> Statistic:
    """One metric of the panel, and perhaps its kin, without what the others take.

    Args:
      columns: of all classes or findings.
      metric: "f1", say, or "accuracy" of coverages; no accuracy or AUC of `discrimination_of_*`,
        and nothing that has to be asked for.
      names: those of the classes or findings whose is wanted; where the metric is of all classes
        together, they do not count.
      multilabel: whether they are findings.

    Returns:
      Names without "findings/", as "f1/<class>", and without means.
    """
    if metric == "accuracy":
        certainty = (
            certainty_of_findings(columns.only(names))
            if multilabel
            else certainty_of_classes(columns)
        )
        return selective.statistic(certainty, Asked().coverages)
    if metric == "ece" and not multilabel:
        return calibration.ece(certainty_of_classes(columns))
    if metric == "brier" and not multilabel:
        return calibration.brier_of_classes(columns)
    return _OF_EACH.get(metric, confusion.statistic)(columns.only(names))


def _calibration_of_classes(columns: Columns) -> list[Statistic]:
    return [
        calibration.ece(certainty_of_classes(columns)),
        calibration.brier_of_classes(columns),
        calibration.slope(columns),
        calibration.intercept(columns),
    ]


def _calibration_of_findings(columns: Columns) -> list[Statistic]:
    return [
        calibration.ece(columns),
        calibration.brier(columns),
        calibration.slope(columns),
        calibration.intercept(columns),
    ]


def _panel(columns: Columns, parts: Sequence[Statistic], *, mean: str, prefix: str = "") -> Panel:
    """The panel of parts, with means of classes or findings called `<metric>_<mean>`."""
    statistic = joined(*parts)
    values = dict(
        zip(statistic.names, statistic(np.ones(len(columns.truths), np.int64)), strict=True)
    )
    keys = [key for part in parts if isinstance(part, OfColumns) for key in part.keys]
    undefined = {key.name: _why_not(key, columns) for key in keys if np.isnan(values[key.name])}

    at = {key.name: key.at for key in keys}
    defined = [name for name in statistic.names if name not in undefined]
    statistic = selected(statistic, sorted(defined, key=lambda name: _place(at.get(name, ""))))
    for metric in WITH_MEAN:
        of = [key.name for key in keys if (key.metric, key.at) == (metric, "") and key.column]
        known = [name for name in of if name not in undefined]
        if known:
            statistic = with_mean(statistic, f"{metric}_{mean}", known)
        elif of:
            undefined[f"{metric}_{mean}"] = f"{metric} is not defined for any of {len(of)}"
    return Panel(statistic, undefined).behind(prefix)


def _of_scores(columns: Columns, asked: Asked) -> OfColumns:
    """All that the order of the scores decides, so that they are sorted and summed up once."""
    return of_rankings(
        columns,
        [
            AUC,
            AVERAGE_PRECISION,
            *operating_points.measures(len(columns), asked.thresholds),
            *net_benefit.measures(len(columns), asked.net_benefit_at),
        ],
    )


def _at_prevalence(
    columns: Columns, prevalence: Mapping[str, float] | float | None
) -> list[OfColumns]:
    """Of each prevalence, the columns that it is stated for."""
    if prevalence is None:
        return []
    if not isinstance(prevalence, Mapping):
        return [confusion.at_prevalence(columns, prevalence)]
    strange = [name for name in prevalence if name not in columns.names]
    if strange:
        raise ValueError(f"panel: a prevalence of {strange[0]!r}, which is not there")
    return [
        confusion.at_prevalence(
            columns.only([name for name, of_it in prevalence.items() if of_it == one]), one
        )
        for one in dict.fromkeys(prevalence.values())
    ]


def _place(at: str) -> int:
    """What is asked for comes behind what every evaluation has."""
    order = ("", "@prevalence", "@specificity", "@sensitivity", "@threshold", "@coverage")
    return order.index(at.partition("=")[0])


def _why_not(key: Key, columns: Columns) -> str:
    """Why the rows do not define a number."""
    k = columns.names.index(key.column)
    known = columns.known[:, k]
    rows, positives = np.count_nonzero(known), np.count_nonzero(known & columns.truths[:, k])
    by_bayes = key.at.startswith("@prevalence")
    if not rows:
        return f"known in none of {len(known)} rows"
    if not positives and (by_bayes or key.metric in NEEDS_POSITIVES):
        return f"no positive among {rows} rows"
    if positives == rows and (by_bayes or key.metric in NEEDS_NEGATIVES):
        return f"no negative among {rows} rows"
    return OTHERWISE[key.metric]
