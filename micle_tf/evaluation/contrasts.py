"""How much better is each variant than the first? Differences, 95 % intervals, and p of one metric.

Both are judged on the same resampled patients, so that what is easy or hard about a patient
cancels out: the interval of the difference is narrower than those of the two suggest.
"""

import dataclasses
import math
from collections.abc import Callable, Container, Mapping, Sequence

import numpy as np

from micle_tf import console
from micle_tf.errors import BadInput
from micle_tf.evaluation.judging import from_validation, labelled, panels_of, prefix_of
from micle_tf.evaluation.metric_names import MEANS, parsed
from micle_tf.evaluation.metrics import metrics_of
from micle_tf.evaluation.predictions_file import Rows
from micle_tf.evaluation.variants import Variants
from micle_tf.settings import nearest
from micle_tf.statistics import bootstrap, holm, obuchowski_rockette, panel, statistic
from micle_tf.statistics.columns import Columns, Key
from micle_tf.statistics.difference import Difference
from micle_tf.statistics.obuchowski import paired_difference
from micle_tf.statistics.panel import Panel
from micle_tf.statistics.permutation import swap_test
from micle_tf.statistics.questions import Questions
from micle_tf.statistics.statistic import Statistic

# The metric that has a p where none is named: of the highest level that there is.
PRIMARY = ("case/auc_macro", "case/findings/auc_mean", "image/auc_macro", "findings/auc_mean")


@dataclasses.dataclass(frozen=True)
class Contrast:
    """A variant against the first.

    Attributes:
      name: of the variant.
      differences: {metric: (difference, low, high)}, names as in result.json; the ends are nan
        where too few rows define them.
      p: two-sided, of the primary metric; nan where it is not defined.
      p_holm: the same, adjusted for the number of variants.
      dropped: {metric: how many resamples do not define it, and are not in its interval}, of those
        that have any.
      values: {metric: (of the first, of the variant)}, means over seeds.
    """

    name: str
    differences: dict[str, tuple[float, float, float]]
    p: float
    p_holm: float
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)
    values: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Contrasts:
    """Each variant against the first.

    Attributes:
      all: in the order of the variants, without the first.
      primary: the metric that has a p; "" where no AUC is defined and none was named.
      of_other_classes: {mean over classes or findings: the variant that defines it for others than
        the first does}; such a mean is not compared.
      undefined: {metric: why one of the variants and seeds, or all, do not define it}.
    """

    all: tuple[Contrast, ...]
    primary: str
    of_other_classes: dict[str, str]
    undefined: dict[str, str]


@dataclasses.dataclass(frozen=True)
class _Level:
    """The labelled rows of a level, as the seeds of one variant see them.

    Attributes:
      level: "image" or "case".
      names, multilabel: as of `Variants`.
      label: int [n] or [n, K].
      groups: str [n], patients.
      scores: [S] of float [n, K].
      panels: [S], with names as in result.json.
    """

    level: str
    names: tuple[str, ...]
    multilabel: bool
    label: np.ndarray
    groups: np.ndarray
    scores: list[np.ndarray]
    panels: list[Panel]

    @property
    def statistics(self) -> list[Statistic]:
        """What each seed defines."""
        return [one.statistic for one in self.panels]


def contrasts(
    variants: Variants,
    samples: int,
    seed: int,
    primary: str = "",
    *,
    discrimination: bool = False,
    questions: Questions | None = None,
) -> Contrasts:
    """Compares the variants with the first in whatever is defined for all of them.

    A mean over classes or findings is compared where it is over the same ones in all variants and
    seeds: that of the PPV, for one, is over those that a model decides for at all.

    With one seed of each, ends are percentiles of a bootstrap of patients (of cases, where no
    patient is known) or, of the AUC of one class or finding, those of `obuchowski`; p is that of
    `swap_test` or, of such an AUC, of `obuchowski`. With several seeds, all are those of
    `obuchowski_rockette`.

    Args:
      variants: two at least.
      samples: resamples of patients, and exchanges of them.
      seed: of both.
      primary: the metric whose p is wanted; "" for the first of `PRIMARY` that there is.
      discrimination: compare accuracies and AUCs alone, which takes a part of the time, if the
        primary metric is one of these.
      questions: what is compared beyond what predictions say by themselves: at a prevalence, at
        thresholds of acting and, by what each run's validation fixes, at operating points and after
        calibration. None: nothing.

    Raises:
      BadInput: nothing is labelled, or `primary` is not defined, or has no p between two models,
        as it rests on their validation.
    """
    few = discrimination and is_of_discrimination(primary, variants.names)
    levels = [_levels(variants, number, few, questions) for number in range(len(variants.all))]
    others = _of_other_classes(variants, levels)
    shared = _shared(levels, others)
    if not shared:
        raise BadInput("nothing that was predicted has a label, so that nothing can be compared")
    primary = _primary(primary, [name for names in shared.values() for name in names], others)
    of = parsed(primary, variants.names)
    if len(variants.all[0].seeds) == 1 and (of.at or of.calibrated):
        raise BadInput(
            f"--primary={primary}: has no p between two models; name several seeds of each, or "
            "another metric"
        )
    first, *rest = levels
    found = []
    for variant, of_variant in zip(variants.all[1:], rest, strict=True):
        differences: dict[str, Difference] = {}
        values: dict[str, tuple[float, float]] = {}
        for level, names in shared.items():
            a, b = first[level], of_variant[level]
            differences |= _compared(a, b, names, samples, seed, primary)
            both = zip(_values(a, names), _values(b, names), strict=True)
            values |= dict(zip(names, both, strict=True))
        p = differences[primary].p if primary else math.nan
        found.append(_contrast(variant.name, differences, values, p))
    adjusted = holm.adjusted([one.p for one in found]).tolist()
    adapted = (dataclasses.replace(one, p_holm=p) for one, p in zip(found, adjusted, strict=True))
    return Contrasts(tuple(adapted), primary, others, _undefined(levels))


def _values(of: _Level, names: Sequence[str]) -> list[float]:
    """Means over seeds."""
    once = np.ones(len(of.label), np.int64)
    return np.mean([statistic.selected(one, names)(once) for one in of.statistics], axis=0).tolist()


def _contrast(
    name: str, found: dict[str, Difference], values: dict[str, tuple[float, float]], p: float
) -> Contrast:
    """One that is not adjusted."""
    ends = {metric: (one.value, one.low, one.high) for metric, one in found.items()}
    dropped = {metric: one.dropped for metric, one in found.items() if one.dropped}
    return Contrast(name, ends, p, p, dropped, values)


def is_of_discrimination(name: str, columns: Sequence[str] = ()) -> bool:
    """Whether a metric is an accuracy or an AUC, or "" for the AUC of the highest level."""
    of = parsed(name, columns)
    return not of.at and (
        of.metric in ("", "top1", "top3", "balanced_accuracy") or of.metric.startswith("auc")
    )


def statistics_of(
    rows: Rows, names: Sequence[str], multilabel: bool, discrimination: bool = False
) -> dict[str, Statistic]:
    """{level: what its labelled rows define}, with names as in result.json.

    Args:
      rows: of images and perhaps cases.
      names, multilabel: as of `Variants`.
      discrimination: accuracies and AUCs alone.
    """
    panels = _panels(rows, names, multilabel, discrimination)
    return {level: one.statistic for level, one in panels.items()}


def _panels(
    rows: Rows,
    names: Sequence[str],
    multilabel: bool,
    discrimination: bool,
    questions: Questions | None = None,
    validation: Rows | None = None,
) -> dict[str, Panel]:
    if not discrimination:
        asked, fixed = questions or Questions(), None
        if questions and validation:
            fixed = from_validation(validation, names, multilabel, asked.operating_points)
        panels = panels_of(rows, names, multilabel, asked, fixed)
        return {level: _joined(of_level) for level, of_level in panels.items()}
    of_rows = panel.discrimination_of_findings if multilabel else panel.discrimination_of_classes
    found = {}
    for level, every in rows.items():
        part = labelled(every)
        if len(part["label"]):
            one = of_rows(part["label"], part["score"], names)
            found[level] = one.behind(prefix_of(level, multilabel))
    return found


def _joined(panels: Sequence[Panel]) -> Panel:
    undefined = [one.undefined for one in panels]
    return Panel(
        statistic.joined(*(one.statistic for one in panels)),
        {name: why for one in undefined for name, why in one.items()},
    )


def _levels(
    variants: Variants, number: int, discrimination: bool, questions: Questions | None = None
) -> dict[str, _Level]:
    """What the seeds of a variant say of each level that has labels."""
    seeds = variants.all[number].seeds
    names, multilabel = variants.names, variants.multilabel
    chose = variants.all[number].validation or (None,) * len(seeds)
    panels = [
        _panels(rows, names, multilabel, discrimination, questions, of_seed)
        for rows, of_seed in zip(seeds, chose, strict=True)
    ]
    found = {}
    for level in panels[0]:
        rows = [labelled(one[level]) for one in seeds]
        found[level] = _Level(
            level,
            variants.names,
            variants.multilabel,
            rows[0]["label"],
            rows[0]["patient"],
            [one["score"] for one in rows],
            [of_seed[level] for of_seed in panels],
        )
    return found


def _shared(levels: Sequence[dict[str, _Level]], without: Container[str]) -> dict[str, list[str]]:
    """{level: names of what all variants and seeds define}, in the order of the first."""
    shared = {}
    for level, first in levels[0].items():
        known = [set(one.names) for variant in levels for one in variant[level].statistics]
        names = [name for name in first.statistics[0].names if name not in without]
        shared[level] = [name for name in names if all(name in of_seed for of_seed in known)]
    return shared


def _of_other_classes(variants: Variants, levels: Sequence[dict[str, _Level]]) -> dict[str, str]:
    """{mean: the variant that defines it for other classes than the first seed of the first}."""
    found: dict[str, str] = {}
    for level, first in levels[0].items():
        for name in first.statistics[0].names:
            members = _members(name, first.statistics[0], variants.names)
            for variant, of_variant in zip(variants.all, levels, strict=True):
                of_seeds = of_variant[level].statistics
                if any(_members(name, one, variants.names) != members for one in of_seeds):
                    found.setdefault(name, variant.name)
    return found


def _members(mean: str, of: Statistic, names: Sequence[str]) -> list[str]:
    """The classes or findings that a mean is over; nothing of what is no mean."""
    stem = next((mean.removesuffix(end) for end in MEANS if mean.endswith(end)), "")
    return [name for name in names if f"{stem}/{name}" in of.names]


def _undefined(levels: Sequence[dict[str, _Level]]) -> dict[str, str]:
    """{metric: why the first variant or seed that does not define it does not}."""
    found: dict[str, str] = {}
    for variant in levels:
        for level in variant.values():
            for one in level.panels:
                found = one.undefined | found
    return found


def _primary(name: str, names: Sequence[str], of_other_classes: Mapping[str, str]) -> str:
    if not name:
        return next((one for one in PRIMARY if one in names), "")
    if name in of_other_classes:
        variant = of_other_classes[name]
        raise BadInput(f"--primary={name}: is over other classes or findings in {variant}")
    if name not in names:
        raise BadInput(f"--primary={name}: is not there{nearest(name, names)}")
    return name


def _compared(
    a: _Level, b: _Level, names: Sequence[str], samples: int, seed: int, primary: str
) -> dict[str, Difference]:
    """Differences of those names; p is there for the primary metric at least."""
    of_a, of_b = ([statistic.selected(s, names) for s in one.statistics] for one in (a, b))
    with console.Progress(f"intervals of {a.level}s", samples, "resample") as progress:
        if len(of_a) > 1:
            return obuchowski_rockette.seeds_as_readers(
                of_a, of_b, a.groups, samples, seed, progress=progress.at
            )
        paired = statistic.difference(of_a[0], of_b[0])
        estimates = bootstrap.estimates(paired, a.groups, samples, seed, progress=progress.at)
    found = {
        name: Difference(one.value, one.low, one.high, math.nan, math.nan, math.nan, one.dropped)
        for name, one in estimates.items()
    }
    found |= {
        name: _of_one_auc(a, b, name) for name in names if parsed(name, a.names).metric == "auc"
    }
    if primary in found and parsed(primary, a.names).metric != "auc":
        p = _swapped(a, b, primary, samples, seed)
        found[primary] = dataclasses.replace(found[primary], p=p)
    return found


def _of_one_auc(a: _Level, b: _Level, name: str) -> Difference:
    """The difference of the AUC of one class or finding, which needs no resampling."""
    of_rows = Columns.of_findings if a.multilabel else Columns.of_classes
    of_a, of_b = (of_rows(one.label, one.scores[0], one.names) for one in (a, b))
    k = a.names.index(parsed(name, a.names).column)
    known = of_a.known[:, k]
    return paired_difference(
        of_a.truths[known, k], of_a.scores[known, k], of_b.scores[known, k], a.groups[known]
    )


def _swapped(a: _Level, b: _Level, name: str, permutations: int, seed: int) -> float:
    """p of a metric of two models, by exchanging patients between them."""
    with console.Progress(f"p of {name}", permutations, "exchange") as progress:
        return swap_test(
            _measure(a, name), a.scores[0], b.scores[0], a.groups, permutations, seed,
            on_ranks=parsed(name, a.names).metric.startswith("auc_"), progress=progress.at,
        )  # fmt: skip


def _measure(of: _Level, name: str) -> Callable[[np.ndarray], float]:
    """A metric as a function of scores [n, K]; nan where they do not define it.

    Those of `evaluation.metrics`, which take ranks too and are faster, are to the bit the same; of
    others no more is made than what they are among.
    """
    fast = metrics_of(of.level, of.names, of.multilabel)
    if name in fast(of.label, of.scores[0]):
        return lambda scores: fast(of.label, scores)[name]
    asked = parsed(name, of.names)
    metric, columns = asked.metric, [asked.column]
    if asked.is_mean:  # of the same ones whatever the scores
        metric, columns = metric.rpartition("_")[0], _members(name, of.statistics[0], of.names)
    wanted = [Key(metric, column, asked.at).name for column in columns]
    once = np.ones(len(of.label), np.int64)
    of_rows = Columns.of_findings if of.multilabel else Columns.of_classes

    def measure(scores: np.ndarray) -> float:
        rows = of_rows(of.label, scores, of.names)
        found = panel.one_metric(rows, metric, columns, multilabel=of.multilabel)
        values = dict(zip(found.names, found(once).tolist(), strict=True))
        return float(np.mean([values[one] for one in wanted]))

    return measure
