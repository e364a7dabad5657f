"""Is one run better than another? The difference of their metrics, patients resampled in pairs.

    python -m micle_tf.evaluation.compare RUN_A RUN_B

Both runs hold a predictions.csv of the same images. Each resample draws patients once and
judges both runs on them, so that what is easy or hard about a patient cancels out: the
interval of the difference is narrower than those of the two runs suggest.
"""

import argparse
import csv
import os
import sys

import numpy as np

from micle_tf import cli, console
from micle_tf.errors import BadInput
from micle_tf.evaluation.intervals import bootstrap_intervals
from micle_tf.evaluation.metrics import classification_metrics, findings_metrics

_IDS = ("level", "case_id", "patient_id", "image_id")


def compare(run_a, run_b, samples=1000, seed=0):
    """Differences B - A of all metrics, with 95 % intervals.

    Args:
      run_a, run_b: run directories with a predictions.csv of the same rows and names.
      samples: resamples of patients (of cases, where no patient is known).
      seed: of the resampling.

    Returns:
      {"case/top1": (difference, low, high), ...}, names as in result.json.

    Raises:
      BadInput: a file is missing, or the two are not of the same rows, labels and names.
    """
    rows_a, names, multilabel = read_predictions(run_a)
    rows_b, names_b, multilabel_b = read_predictions(run_b)
    if (names, multilabel) != (names_b, multilabel_b):
        raise BadInput(f"{run_b}: predicts other classes or findings than {run_a}")
    same = all(
        rows_a.keys() == rows_b.keys() and np.array_equal(rows_a[level][part], rows_b[level][part])
        for level in rows_a
        for part in ("ids", "label")
    )
    if not same:
        raise BadInput(f"{run_b}: its predictions.csv is of other images or labels than {run_a}'s")
    metrics_of = findings_metrics if multilabel else classification_metrics
    found = {}
    for level, rows in rows_a.items():
        prefix = "" if multilabel and level == "image" else f"{level}/"

        def difference(y_true, y_score, prefix=prefix):
            a, b = (metrics_of(y_true, y_score[:, i], names) for i in (0, 1))
            return {prefix + name: b[name] - a[name] for name in a}

        label = rows["label"]
        known = label >= 0 if label.ndim == 1 else (label >= 0).any(axis=1)
        if not known.any():
            continue
        both = np.stack([rows["score"], rows_b[level]["score"]], axis=1)[known]
        arguments = label[known], both
        with console.Progress(f"intervals of {level}s", samples, "resample") as progress:
            ends = bootstrap_intervals(
                difference, *arguments, rows["patient"][known], samples, seed, progress.at
            )
        found |= {name: (value, *ends[name]) for name, value in difference(*arguments).items()}
    return found


def read_predictions(run):
    """Reads a run's predictions.csv.

    Returns:
      ({level: {"ids": [n, 4] str, "patient": [n] str, "label": [n] or [n, K] int,
      "score": [n, K] float}}, names, multilabel); a label of -1 is no label.
    """
    path = os.path.join(run, "predictions.csv")
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            header = reader.fieldnames or []
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    names = tuple(name.removeprefix("p_") for name in header if name.startswith("p_"))
    multilabel = "label" not in header
    if not names or not rows or not set(_IDS) <= set(header):
        raise BadInput(f"{path}: not a predictions.csv of ours")
    number = {name: k for k, name in enumerate(names)} | {"": -1}
    levels = {}
    for level in dict.fromkeys(row["level"] for row in rows):
        of_level = [row for row in rows if row["level"] == level]
        if multilabel:
            label = [[int(row[f"label_{name}"]) for name in names] for row in of_level]
        else:
            label = [number[row["label"]] for row in of_level]
        levels[level] = {
            "ids": np.array([[row[name] for name in _IDS] for row in of_level]),
            "patient": np.array([row["patient_id"] or f"\0{row['case_id']}" for row in of_level]),
            "label": np.array(label),
            "score": np.array([[float(row[f"p_{name}"]) for name in names] for row in of_level]),
        }
    return levels, names, multilabel


def main(argv):
    """Prints the comparison; returns the exit code."""

    def command():
        parser = argparse.ArgumentParser(
            prog="python -m micle_tf.evaluation.compare", description=__doc__.split("\n\n")[0]
        )
        parser.error = _bad_usage
        parser.add_argument("run_a")
        parser.add_argument("run_b")
        parser.add_argument("--samples", type=int, default=1000, help="resamples of patients")
        parser.add_argument("--seed", type=int, default=0, help="of the resampling")
        arguments = parser.parse_args(argv)
        if arguments.samples < 1 or arguments.seed < 0:
            raise BadInput("--samples: at least 1; --seed: at least 0")
        found = compare(**vars(arguments))
        console.say(f"{arguments.run_b} minus {arguments.run_a}, 95 % interval of the pairs:")
        for name, (value, low, high) in found.items():
            if "/auc/" not in name:
                console.say(f"  {name:28s} {value:+.3f} [{low:+.3f}, {high:+.3f}]")

    return cli.guarded(command)


def _bad_usage(message):
    raise BadInput(message)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
