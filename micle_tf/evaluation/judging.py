"""What predictions are worth: metrics of every level, 95 % intervals, and why some are not there.

Names are those of result.json: what `statistics.panel` calls it, behind "image/" or "case/" (of
findings, images have no such word), and behind "calibrated/" where the probabilities were scaled.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from micle_tf import console
from micle_tf.data.targets import is_labelled
from micle_tf.evaluation.metrics import case_probabilities
from micle_tf.evaluation.predictions_file import Rows
from micle_tf.statistics import bootstrap, operating_points, panel, temperature
from micle_tf.statistics.bootstrap import Estimate
from micle_tf.statistics.columns import Columns
from micle_tf.statistics.questions import OperatingPoint, Questions
from micle_tf.statistics.statistic import joined

Names = Sequence[str]


@dataclasses.dataclass(frozen=True)
class FromValidation:
    """What validation fixed, so that nothing is chosen on what is judged.

    Attributes:
      temperature: [1] of classes, [K] of findings.
      thresholds: {level: {operating point: [K] thresholds}}; nan where validation gives none.
    """

    temperature: np.ndarray
    thresholds: Mapping[str, Mapping[OperatingPoint, np.ndarray]]


def from_validation(
    rows: Rows, names: Names, multilabel: bool, points: Sequence[OperatingPoint] = ()
) -> FromValidation | None:
    """Fits the temperature to the labelled images, and thresholds to those of each level.

    Returns:
      None where nothing is labelled.
    """
    known = {level: labelled(part) for level, part in rows.items()}
    if not len(known["image"]["label"]):
        return None
    fit = temperature.fit_findings if multilabel else temperature.fit_classes
    return FromValidation(
        np.atleast_1d(fit(known["image"]["label"], known["image"]["score"])),
        {
            level: {point: _thresholds(part, names, multilabel, point) for point in points}
            for level, part in known.items()
        },
    )


def _thresholds(
    rows: dict[str, np.ndarray], names: Names, multilabel: bool, point: OperatingPoint
) -> np.ndarray:
    of_rows = Columns.of_findings if multilabel else Columns.of_classes
    asked = of_rows(rows["label"], rows["score"], names)
    return np.array(
        [
            operating_points.choose_threshold(truth[known], score[known], point)
            for truth, score, known in zip(
                asked.truths.T, asked.scores.T, asked.known.T, strict=True
            )
        ]
    )


def labelled(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The labelled rows of a level."""
    there = is_labelled(rows["label"])
    return {name: values[there] for name, values in rows.items()}


def scaled(rows: Rows, temperatures: np.ndarray, multilabel: bool) -> Rows:
    """Rows with calibrated probabilities: of images, and of cases the mean of their images'."""
    score = rows["image"]["score"]
    if multilabel:
        score = temperature.scale_findings(score, temperatures)
    else:
        score = temperature.scale_classes(score, float(temperatures[0]))
    image = rows["image"] | {"score": score}
    if "case" not in rows:
        return {"image": image}
    means, first = case_probabilities(image["score"], image["ids"][:, 1])
    mean_of = dict(zip(image["ids"][first, 1].tolist(), means, strict=True))
    cases = rows["case"]["ids"][:, 1].tolist()
    return {"image": image, "case": rows["case"] | {"score": np.array([mean_of[c] for c in cases])}}


@dataclasses.dataclass(frozen=True)
class Judged:
    """What `judge` says, by name.

    Attributes:
      estimates: value, interval, and the resamples that were dropped since they do not define it.
      undefined: why a metric is not there.
    """

    estimates: dict[str, Estimate]
    undefined: dict[str, str]


def judge(
    rows: Rows,
    names: Names,
    multilabel: bool,
    questions: Questions,
    fixed: FromValidation | None,
    *,
    samples: int,
    seed: int,
) -> Judged:
    """Metrics and 95 % intervals of all levels that have labels, patients resampled.

    Args:
      rows: of images and perhaps cases.
      names: of the classes or findings.
      multilabel: whether they are findings.
      questions: what is asked.
      fixed: what validation fixed; without it there is no operating point and nothing calibrated.
      samples: resamples of patients.
      seed: of the resampling.
    """
    panels = panels_of(rows, names, multilabel, questions, fixed)
    estimates: dict[str, Estimate] = {}
    for level, of_level in panels.items():
        statistic = joined(*(one.statistic for one in of_level))
        patients = labelled(rows[level])["patient"]
        with console.Progress(f"intervals of {level}s", samples, "resample") as progress:
            estimates |= bootstrap.estimates(
                statistic, patients, samples, seed, progress=progress.at
            )
    undefined = [one.undefined for of_level in panels.values() for one in of_level]
    return Judged(estimates, {name: why for one in undefined for name, why in one.items()})


def panels_of(
    rows: Rows,
    names: Names,
    multilabel: bool,
    questions: Questions,
    fixed: FromValidation | None,
) -> dict[str, list[panel.Panel]]:
    """{level: panels of its labelled rows, as they are and perhaps calibrated}."""
    of_rows = panel.of_findings if multilabel else panel.of_classes
    of_calibrated = panel.calibration_of_findings if multilabel else panel.calibration_of_classes
    calibrated = scaled(rows, fixed.temperature, multilabel) if fixed else None
    panels = {}
    for level, every in rows.items():
        part, prefix = labelled(every), prefix_of(level, multilabel)
        if not len(part["label"]):
            continue
        thresholds = fixed.thresholds[level] if fixed else {}
        asked = panel.Asked(questions.prevalence, thresholds, questions.net_benefit_at)
        panels[level] = [of_rows(part["label"], part["score"], names, asked).behind(prefix)]
        if calibrated:
            part = labelled(calibrated[level])
            found = of_calibrated(part["label"], part["score"], names, questions.net_benefit_at)
            panels[level].append(found.behind(f"calibrated/{prefix}"))
    return panels


def prefix_of(level: str, multilabel: bool) -> str:
    """What stands before the names of a level's metrics."""
    return "" if multilabel and level == "image" else f"{level}/"
