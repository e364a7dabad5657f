"""What came out of a study: a number for each run and metric, and variants against a reference."""

import csv
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from micle_tf import console
from micle_tf.errors import BadInput
from micle_tf.evaluation.contrasts import PRIMARY, contrasts, is_of_discrimination, statistics_of
from micle_tf.evaluation.judging import labelled
from micle_tf.evaluation.variants import Variants, variants_of
from micle_tf.statistics import bootstrap, holm, label_efficiency, statistic
from micle_tf.statistics.obuchowski_rockette import covariance_of, of_differences
from micle_tf.study.runs import Planned
from micle_tf.study.specification import Study
from micle_tf.study.tables import Summary

SEED = 0  # of resamples and exchanges of patients


@dataclasses.dataclass(frozen=True)
class Judged:
    """What was judged on one stage: the judged ones of all variants, or one that transfers.

    Attributes:
      stage: "test", or the name of the stage that transfers.
      summaries: see `Summary`.
      needed: (variant, fraction, low, high), as of `label_efficiency`; empty where there is one
        fraction or no reference.
      primary: the metric that the variants are compared by.
      shown: the metrics of the summaries, the primary one first.
    """

    stage: str
    summaries: tuple[Summary, ...]
    needed: tuple[tuple[str, float, float, float], ...]
    primary: str
    shown: tuple[str, ...]


def tidy(runs: Sequence[Planned], results: Mapping[str, dict[str, Any]]) -> str:
    """study.csv: a row per variant, judged run and metric.

    Args:
      runs: of the study.
      results: {path: result.json} of the finished ones.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["variant", "stage", "fraction", "seed", "split", "metric", "value", "low", "high", "run"]
    )
    for run in runs:
        if run.path not in results or run.fraction is None:
            continue
        result = results[run.path]
        split = run.flags.get("eval_split", "test")
        for variant in run.variants:
            for metric, value in result["metrics"].items():
                low, high = result["intervals"].get(metric) or ("", "")
                row = [variant, run.stage, run.fraction, run.seed, split, metric, value, low, high]
                writer.writerow([*("" if one is None else one for one in row), run.path])
    return text.getvalue()


def judged(
    study: Study, runs: Sequence[Planned], places: Mapping[str, str], samples: int
) -> tuple[list[Judged], list[str]]:
    """Means over seeds, differences from the reference, labels needed.

    Args:
      study: `Study`.
      runs: of it.
      places: {path: directory} of the finished ones.
      samples: resamples of patients, and exchanges of them.

    Returns:
      What was judged on each stage, and what is left out since some of its runs are not there, as
      "variant, fraction".

    Raises:
      BadInput: predictions are damaged, or the primary metric is not among them.
    """
    found, missing = [], []
    for stage, cells in _cells(study, runs).items():
        whole = {cell: of for cell, of in cells.items() if all(path in places for path in of)}
        missing += [f"{variant}, {fraction:g}" for variant, fraction in cells if
                    (variant, fraction) not in whole]  # fmt: skip
        if whole:
            paths = {cell: [places[path] for path in of] for cell, of in whole.items()}
            found.append(_judge(study, stage, paths, samples))
    return found, missing


# A variant at a fraction of the labels.
_Cell = tuple[str, float]


def _cells(study: Study, runs: Sequence[Planned]) -> dict[str, dict[_Cell, list[str]]]:
    """{stage: {(variant, fraction): paths of its seeds}}, in the order of the study."""
    stages: dict[str, dict[_Cell, list[str]]] = {}
    for variant in study.variants:
        for run in runs:
            if variant in run.variants and run.kind in ("judged", "transfer"):
                assert run.fraction is not None
                stage = "test" if run.kind == "judged" else run.stage
                cells = stages.setdefault(stage, {})
                cells.setdefault((variant, run.fraction), []).append(run.path)
    return stages


def _judge(study: Study, stage: str, paths: Mapping[_Cell, Sequence[str]], samples: int) -> Judged:
    named = {f"{variant} {fraction:g}": of for (variant, fraction), of in paths.items()}
    variants = variants_of(named)
    cells = dict(zip(named, paths, strict=True))
    metrics, theta, drawn = _resampled(study, variants, samples)
    differences = _differences(study, variants, cells, metrics[0], samples)
    family = {name: one.p for name, one in differences.items()}
    adjusted = holm.adjusted_by_name(family)
    summaries = []
    for k, (name, (variant, fraction)) in enumerate(cells.items()):
        for m, metric in enumerate(metrics):
            values = theta[k, :, m]
            low, high = _ends(values, drawn[:, k, :, m])
            against, p, p_holm = (math.nan,) * 3, math.nan, math.nan
            if name in differences:
                against = differences[name].differences.get(metric, against)
                if m == 0:
                    p, p_holm = family[name], adjusted[name]
            sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
            mean = float(values.mean())
            summaries.append(
                Summary(
                    variant,
                    stage,
                    fraction,
                    metric,
                    len(values),
                    mean,
                    sd,
                    low,
                    high,
                    *against,
                    p,
                    p_holm,
                )
            )
    needed = _needed(study, list(paths), theta[..., 0].mean(axis=1), drawn[..., 0].mean(axis=2))
    return Judged(stage, tuple(summaries), tuple(needed), metrics[0], tuple(metrics))


def _resampled(
    study: Study, variants: Variants, samples: int
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(metrics, the primary first; their values [cells, S, M]; of each resample [samples, ...])."""
    few = is_of_discrimination(study.primary)
    of_seeds = [
        [statistics_of(rows, variants.names, variants.multilabel, few) for rows in variant.seeds]
        for variant in variants.all
    ]
    first = of_seeds[0][0]
    known = [name for level in first.values() for name in level.names]
    primary = study.primary or next((name for name in PRIMARY if name in known), "")
    level = next((level for level, one in first.items() if primary in one.names), "")
    if not level:
        raise BadInput(f"primary: {primary or 'no AUC'} is not defined by what was predicted")
    shared = [set(one[level].names) for of in of_seeds for one in of]
    main = [name for name in first[level].names if _is_main(name)]
    metrics = list(dict.fromkeys([primary, *main]))
    metrics = [name for name in metrics if all(name in names for names in shared)]
    if primary not in metrics:
        raise BadInput(f"primary: {primary} is not defined for all variants")
    every = [statistic.selected(one[level], metrics) for of in of_seeds for one in of]
    joined = statistic.Statistic(
        [f"{name} of {k}" for k in range(len(every)) for name in metrics],
        lambda weights: np.concatenate([one(weights) for one in every]),
    )
    patients = labelled(variants.all[0].seeds[0][level])["patient"]
    with console.Progress("intervals of the study", samples, "resample") as progress:
        drawn = bootstrap.replicates(joined, patients, samples, SEED, progress=progress.at)
    shape = (len(of_seeds), len(of_seeds[0]), len(metrics))
    theta = joined(np.ones(len(patients), np.int64)).reshape(shape)
    return metrics, theta, drawn.reshape(samples, *shape)


def _is_main(name: str) -> bool:
    return name.endswith(("/top1", "/balanced_accuracy", "/auc_macro", "/auc_mean"))


def _ends(values: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """The interval of a mean over seeds: of their values [S], and of each resample [samples, S]."""
    if len(values) > 1:
        found = of_differences(values, covariance_of(drawn))
        return found.low, found.high
    one = bootstrap.estimate(float(values[0]), drawn[:, 0])
    return one.low, one.high


def _differences(
    study: Study, variants: Variants, cells: Mapping[str, _Cell], primary: str, samples: int
) -> dict[str, Any]:
    """{cell's name: `Contrast` with the reference at the same fraction}."""
    by_name = {variant.name: variant for variant in variants.all}
    found = {}
    for fraction in sorted({fraction for _, fraction in cells.values()}):
        names = [name for name, (_, of) in cells.items() if of == fraction]
        reference = [name for name in names if cells[name][0] == study.reference]
        others = [name for name in names if cells[name][0] != study.reference]
        if reference and others:
            several = tuple(by_name[name] for name in (*reference, *others))
            compared = dataclasses.replace(variants, all=several)
            few = is_of_discrimination(primary)
            for one in contrasts(compared, samples, SEED, primary, discrimination=few).all:
                found[one.name] = one
    return found


def _needed(
    study: Study, cells: Sequence[_Cell], mean: np.ndarray, drawn: np.ndarray
) -> list[tuple[str, float, float, float]]:
    """Labels needed by each variant, of means [cells] and of each resample [samples, cells]."""
    goal = (study.reference, max(fraction for _, fraction in cells))
    if goal not in cells or len({fraction for _, fraction in cells}) < 2:
        return []
    at = cells.index(goal)
    found = []
    for variant in dict.fromkeys(variant for variant, _ in cells):
        places = sorted((f, k) for k, (other, f) in enumerate(cells) if other == variant)
        fractions, columns = [f for f, _ in places], [k for _, k in places]
        needed = label_efficiency.needed(fractions, mean[columns], mean[at])
        ends = label_efficiency.interval(fractions, drawn[:, columns], drawn[:, at])
        found.append((variant, needed, *ends))
    return found
