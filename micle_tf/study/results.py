"""What came out of a study: a number for each run and metric, and variants against a reference."""

import csv
import dataclasses
import io
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from micle_tf import console
from micle_tf.errors import BadInput
from micle_tf.evaluation.contrasts import (
    PRIMARY,
    Contrast,
    contrasts,
    is_of_discrimination,
    statistics_of,
)
from micle_tf.evaluation.judging import labelled
from micle_tf.evaluation.variants import Variants, variants_of
from micle_tf.settings import nearest
from micle_tf.statistics import bootstrap, holm, label_efficiency, statistic
from micle_tf.statistics.obuchowski_rockette import covariance_of, of_differences
from micle_tf.study import ranges
from micle_tf.study.architectures import named
from micle_tf.study.pairs import micle_pairs
from micle_tf.study.runs import Planned, lower_is_better, spelled
from micle_tf.study.specification import Study
from micle_tf.study.tables import OnOff, Summary

SEED = 0  # of resamples and exchanges of patients
TEST = "test"  # the judged stages of all variants, in one table


@dataclasses.dataclass(frozen=True)
class Judged:
    """What was judged on one stage: the judged ones of all variants, or one that transfers.

    Attributes:
      stage: `TEST`, or the name of the stage that transfers.
      summaries: see `Summary`.
      needed: (variant, fraction, low, high), as of `label_efficiency`, of the means over seeds;
        empty where there is one fraction or no reference. The interval is of other patients, not of
        other seeds.
      primary: the metric that the variants are compared by.
      shown: the metrics of the summaries, the primary one first.
      micle: variants that are alike but for MICLe, by cell and metric.
    """

    stage: str
    summaries: tuple[Summary, ...]
    needed: tuple[tuple[str, float, float, float], ...]
    primary: str
    shown: tuple[str, ...]
    micle: tuple[OnOff, ...] = ()


def tidy(runs: Sequence[Planned], results: Mapping[str, dict[str, Any]]) -> str:
    """study.csv: a row per variant, judged run and metric, those of grids among them.

    Args:
      runs: of the study.
      results: {path: result.json} of the finished ones.

    Returns:
      CSV of variant, stage, fraction, seed, split, metric, value, low, high (the 95 % interval of
      the run itself), run and architecture; what is not defined is empty.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["variant", "stage", "fraction", "seed", "split", "metric", "value", "low", "high"]
    writer.writerow([*head, "run", "architecture"])
    for run in runs:
        if run.path not in results or run.fraction is None:
            continue
        result = results[run.path]
        split = run.flags.get("eval_split", "test")
        for variant in run.variants:
            for metric, value in result.get("metrics", {}).items():
                low, high = result.get("intervals", {}).get(metric) or ("", "")
                row = [variant, run.stage, run.fraction, run.seed, split, metric, value, low, high]
                row += [run.path, run.architecture]
                writer.writerow("" if one is None else one for one in row)
    return text.getvalue()


def judged(
    study: Study, runs: Sequence[Planned], places: Mapping[str, str], samples: int
) -> tuple[list[Judged], list[str]]:
    """Means over seeds, differences from the reference, labels needed.

    With one seed, intervals are those of a bootstrap of patients, and differences those of
    `contrasts`. With several, all are those of `obuchowski_rockette`, whose intervals are of other
    patients and other seeds; of `of_differences`, that of a mean takes the values of the seeds.
    Ends are cut to what the metric, or a difference of two, can be: with few seeds t is wide.

    Args:
      study: `Study`.
      runs: of it.
      places: {path: directory} of the finished ones.
      samples: resamples of patients, and exchanges of them.

    Returns:
      What was judged on each stage, and a sentence for whatever is left out.

    Raises:
      BadInput: predictions of judged stages are damaged, or the primary metric is not among them.
        Where that is of a stage that transfers, there is a sentence instead.
    """
    allow_seen = any(run.flags.get("allow_seen") for run in runs)
    found, left_out = [], []
    for stage, cells in _cells(study, runs).items():
        whole = {cell: [places[path] for path in of] for cell, of in cells.items()
                 if all(path in places for path in of)}  # fmt: skip
        table = "tables" if stage == TEST else f"table of {stage}"
        left_out += [
            f"not in the {table}, as runs of it are not there: {variant}, {spelled(fraction)}"
            for variant, fraction in cells
            if (variant, fraction) not in whole
        ]
        try:
            if whole:
                found.append(
                    _judge(study, runs, stage, whole, samples=samples, allow_seen=allow_seen)
                )
        except BadInput as error:
            if stage == TEST:
                raise
            left_out.append(f"no table of {stage}: {error}")
    return found, left_out


# A variant at a fraction of the labels.
_Cell = tuple[str, float]


def _cells(study: Study, runs: Sequence[Planned]) -> dict[str, dict[_Cell, list[str]]]:
    """{stage: {(variant, fraction): paths of its seeds}}, in the order of the study."""
    stages: dict[str, dict[_Cell, list[str]]] = {}
    for variant in study.named_variants():
        for run in runs:
            if variant in run.variants and run.kind in ("judged", "transfer"):
                assert run.fraction is not None
                stage = TEST if run.kind == "judged" else run.stage
                cells = stages.setdefault(stage, {})
                cells.setdefault((variant, run.fraction), []).append(run.path)
    return stages


class _Drawn(NamedTuple):
    """Numbers of C cells, S seeds and M metrics.

    Attributes:
      metrics: [M] names, the primary one first.
      theta: float64 [C, S, M], of all patients once.
      drawn: float64 [samples, C, S, M], of each resample of them.
    """

    metrics: list[str]
    theta: np.ndarray
    drawn: np.ndarray


def _judge(
    study: Study,
    runs: Sequence[Planned],
    stage: str,
    places: Mapping[_Cell, Sequence[str]],
    *,
    samples: int,
    allow_seen: bool,
) -> Judged:
    texts = {f"{variant} {spelled(fraction)}": of for (variant, fraction), of in places.items()}
    variants, cells = variants_of(texts, allow_seen=allow_seen), list(places)
    of = _resampled(study, variants, samples)
    references, off = _references(study, cells), _off(study, runs, cells)
    pairs = dict.fromkeys([*references.items(), *off.items()])
    found = {(k, a): _contrast(variants, of, a, k, samples) for k, a in pairs}
    against = {k: found[k, a] for k, a in references.items()}
    adjusted = _adjusted(against)
    summaries = _summaries(stage, cells, of, against, adjusted)
    against_off = {k: found[k, a] for k, a in off.items()}
    # What is compared in both tables has one p adjusted, that of the first.
    again = {k: adjusted[k] for k, a in off.items() if references.get(k) == a}
    of_on = _summaries(stage, cells, of, against_off, _adjusted(against_off) | again)
    micle = [
        OnOff(*both) for k, a in off.items() for both in zip(summaries[a], of_on[k], strict=True)
    ]
    return Judged(
        stage,
        summaries=tuple(itertools.chain(*summaries)),
        needed=tuple(_needed(study, cells, of)),
        primary=of.metrics[0],
        shown=tuple(of.metrics),
        micle=tuple(micle),
    )


def _adjusted(against: Mapping[int, Contrast]) -> dict[int, float]:
    return holm.adjusted_by_name({k: one.p for k, one in against.items()})


def _summaries(
    stage: str,
    cells: Sequence[_Cell],
    of: _Drawn,
    against: Mapping[int, Contrast],
    adjusted: Mapping[int, float],
) -> list[list[Summary]]:
    """Of each cell and metric [C][M], with differences where there is a contrast of the cell."""
    found = []
    for k, (variant, fraction) in enumerate(cells):
        rows = []
        for m, metric in enumerate(of.metrics):
            values = of.theta[k, :, m]
            difference, p = (math.nan,) * 3, (math.nan,) * 2
            if k in against:
                value, *two = against[k].differences.get(metric, difference)
                difference = (value, *ranges.of_difference(metric, *two))
                p = (against[k].p, adjusted[k]) if m == 0 else p
            sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
            ends = ranges.of_mean(metric, *_ends(values, of.drawn[:, k, :, m]))
            mean = float(values.mean())
            row = (variant, stage, fraction, metric, len(values), mean, sd, *ends, *difference, *p)
            rows.append(Summary(*row))
        found.append(rows)
    return found


def _resampled(study: Study, variants: Variants, samples: int) -> _Drawn:
    """What the level of the primary metric defines for all, on the same resamples of patients."""
    few = is_of_discrimination(study.primary)
    of_seeds = [
        [statistics_of(rows, variants.names, variants.multilabel, few) for rows in variant.seeds]
        for variant in variants.all
    ]
    level, primary = _primary(study.primary, of_seeds[0][0])
    every = [one[level] for of_variant in of_seeds for one in of_variant]
    metrics = [primary, *(name for name in every[0].names if _is_main(name) and name != primary)]
    metrics = [name for name in metrics if all(name in one.names for one in every)]
    if primary not in metrics:
        raise BadInput(f"primary: {primary} is not defined for all variants")
    every = [statistic.selected(one, metrics) for one in every]
    joined = statistic.Statistic(
        [f"{name} of {k}" for k in range(len(every)) for name in metrics],
        lambda weights: np.concatenate([one(weights) for one in every]),
    )
    patients = labelled(variants.all[0].seeds[0][level])["patient"]
    with console.Progress("intervals of the study", samples, "resample") as progress:
        drawn = bootstrap.replicates(joined, patients, samples, SEED, progress=progress.at)
    shape = (len(of_seeds), len(of_seeds[0]), len(metrics))
    theta = joined(np.ones(len(patients), np.int64)).reshape(shape)
    return _Drawn(metrics, theta, drawn.reshape(samples, *shape))


def _primary(asked: str, levels: Mapping[str, statistic.Statistic]) -> tuple[str, str]:
    """(level, name) of the primary metric, among those of a run's levels."""
    level_of = {name: level for level, one in levels.items() for name in one.names}
    name = asked or next((one for one in PRIMARY if one in level_of), "")
    if not name:
        raise BadInput("primary: what was predicted defines no AUC; name another metric")
    if name not in level_of:
        hint = nearest(name, level_of)
        raise BadInput(f"primary: {name} is not defined by what was predicted{hint}")
    return level_of[name], name


def _is_main(name: str) -> bool:
    return name.endswith(("/top1", "/balanced_accuracy", "/auc_macro", "/auc_mean"))


def _ends(values: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """The interval of a mean over seeds: of their values [S], and of each resample [samples, S]."""
    if len(values) > 1:
        found = of_differences(values, covariance_of(drawn))
        return found.low, found.high
    one = bootstrap.estimate(float(values[0]), drawn[:, 0])
    return one.low, one.high


def _references(study: Study, cells: Sequence[_Cell]) -> dict[int, int]:
    """{cell: that of the reference, of its architecture and at its fraction}."""
    places = {cell: k for k, cell in enumerate(cells)}
    found = {}
    for k, (variant, fraction) in enumerate(cells):
        reference = (study.reference_of(variant), fraction)
        if reference in places and places[reference] != k:
            found[k] = places[reference]
    return found


def _off(study: Study, runs: Sequence[Planned], cells: Sequence[_Cell]) -> dict[int, int]:
    """{cell with MICLe: that of its pair without, of its architecture and at its fraction}."""
    places = {cell: k for k, cell in enumerate(cells)}
    off_of = {
        named(on, one): named(off, one)
        for off, on in micle_pairs(study, runs)
        for one in study.architectures or ("",)
    }
    return {
        k: places[off_of[variant], fraction]
        for k, (variant, fraction) in enumerate(cells)
        if variant in off_of and (off_of[variant], fraction) in places
    }


def _contrast(variants: Variants, of: _Drawn, a: int, b: int, samples: int) -> Contrast:
    """What cell b has more than cell a."""
    pair = dataclasses.replace(variants, all=(variants.all[a], variants.all[b]))
    if len(pair.all[0].seeds) > 1:
        return _of_seeds(pair.all[1].name, of, a, b)
    few = is_of_discrimination(of.metrics[0])
    (found,) = contrasts(pair, samples, SEED, of.metrics[0], discrimination=few).all
    return found


def _of_seeds(name: str, of: _Drawn, a: int, b: int) -> Contrast:
    """`contrasts` of two cells, from the resamples that are drawn already, which are the same."""
    theta, drawn = of.theta[b] - of.theta[a], of.drawn[:, b] - of.drawn[:, a]
    each = [
        of_differences(theta[:, m], covariance_of(drawn[..., m])) for m in range(theta.shape[1])
    ]
    ends = [(one.value, one.low, one.high) for one in each]
    return Contrast(name, dict(zip(of.metrics, ends, strict=True)), each[0].p, math.nan)


def _needed(
    study: Study, cells: Sequence[_Cell], of: _Drawn
) -> list[tuple[str, float, float, float]]:
    """Labels needed by each variant to be as good as its reference with most of them."""
    most = max(fraction for _, fraction in cells)
    if len({fraction for _, fraction in cells}) < 2:
        return []
    sign = -1 if lower_is_better(of.metrics[0]) else 1
    mean, drawn = (sign * values[..., 0].mean(axis=-1) for values in (of.theta, of.drawn))
    found = []
    for variant in dict.fromkeys(variant for variant, _ in cells):
        goal = (study.reference_of(variant), most)
        if goal not in cells:
            continue
        at = cells.index(goal)
        places = sorted((f, k) for k, (other, f) in enumerate(cells) if other == variant)
        fractions, columns = [f for f, _ in places], [k for _, k in places]
        needed = label_efficiency.needed(fractions, mean[columns], mean[at])
        ends = label_efficiency.interval(fractions, drawn[:, columns], drawn[:, at])
        found.append((variant, needed, *ends))
    return found
