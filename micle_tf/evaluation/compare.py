"""Is one run better than another? The difference of their metrics, patients resampled in pairs.

    python -m micle_tf.evaluation.compare RUN_A RUN_B

Both runs hold a predictions.csv of the same images. Each resample draws patients once and
judges both runs on them, so that what is easy or hard about a patient cancels out: the
interval of the difference is narrower than those of the two runs suggest.
"""

import argparse
import csv
import io
import math
import os
import sys

import numpy as np

from micle_tf import cli, console
from micle_tf.errors import BadInput
from micle_tf.evaluation.intervals import bootstrap_intervals
from micle_tf.evaluation.metrics import classification_metrics, findings_metrics
from micle_tf.exits import guarded

_IDS = ("level", "case_id", "patient_id", "image_id")
_FINDING = {"1": 1, "0": 0, "-1": -1, "-2": -2}


def compare(run_a, run_b, samples=1000, seed=0):
    """Differences B - A of all metrics, with 95 % intervals.

    Args:
      run_a, run_b: run directories, local or paths of `tf.io.gfile`, with a predictions.csv of the
        same rows and names.
      samples: resamples of patients (of cases, where no patient is known).
      seed: of the resampling.

    Returns:
      {"case/top1": (difference, low, high), ...}, names as in result.json.

    Raises:
      BadInput: a file is missing or damaged, or the two are not of the same rows, labels and
        names.
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
      "score": [n, K] float}}, names, multilabel); a label of -1 is no label, or -1 and -2
      among findings.

    Raises:
      BadInput: the file is missing, not ours, or damaged; the row named is the line of the
        file on which it begins.
    """
    path = os.path.join(run, "predictions.csv")
    text = _read_text(path)
    reader, line = csv.reader(io.StringIO(text, newline=""), strict=True), 1
    levels = {}
    try:
        header = next(reader, [])
        names = tuple(name.removeprefix("p_") for name in header if name.startswith("p_"))
        multilabel = "label" not in header
        stated = {f"label_{name}" for name in names} if multilabel else {"label"}
        if not names or not stated | set(_IDS) <= set(header):
            raise BadInput(f"{path}: not a predictions.csv of ours")
        line = reader.line_num + 1
        for fields in reader:
            if fields:
                row = _parse_row(fields, header, names, multilabel)
                levels.setdefault(fields[header.index("level")], []).append(row)
            line = reader.line_num + 1
    except (csv.Error, ValueError) as error:
        raise BadInput(f"{path} row {line}: damaged ({error})") from None
    if not text.endswith("\n"):  # else half a number would pass for a number
        raise BadInput(f"{path} row {reader.line_num}: damaged (the line has no end)")
    if not levels:
        raise BadInput(f"{path}: not a predictions.csv of ours")
    parts = ("ids", "patient", "label", "score")
    levels = {level: dict(zip(parts, map(np.array, zip(*rows)))) for level, rows in levels.items()}
    return levels, names, multilabel


def _read_text(path):
    try:
        return (_read_remote(path) if "://" in path else _read_local(path)).decode()
    except UnicodeDecodeError as error:
        line = 1 + error.object[: error.start].count(b"\n")
        raise BadInput(f"{path} row {line}: damaged (not UTF-8 text)") from None


def _read_local(path):  # without TensorFlow, which takes seconds to import
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None


def _read_remote(path):
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except tf.errors.OpError as error:
        reason = error.message.partition("\n")[0] or "it is not there"
        raise BadInput(f"{path}: cannot be read: {reason}") from None


def _parse_row(fields, header, names, multilabel):
    """(four ids, patient, label or K labels, K scores); the ValueError says what is wrong."""
    if len(fields) != len(header):
        raise ValueError(f"{len(fields)} fields, but the header has {len(header)}")
    row = dict(zip(header, fields))
    if multilabel:
        label = [_known(row, f"label_{name}", _FINDING) for name in names]
    else:
        label = _known(row, "label", {name: k for k, name in enumerate(names)} | {"": -1})
    patient = row["patient_id"] or f"\0{row['case_id']}"
    return [row[name] for name in _IDS], patient, label, [_score(row, f"p_{n}") for n in names]


def _known(row, column, values):
    if row[column] not in values:
        raise ValueError(f"column {column} holds {row[column]!r}")
    return values[row[column]]


def _score(row, column):
    try:
        score = float(row[column])
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(f"column {column} holds {row[column]!r}")
    return score


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

    return guarded(command)


def _bad_usage(message):
    raise BadInput(message)


if __name__ == "__main__":
    cli.hide_native_messages()
    sys.exit(main(sys.argv[1:]))
