"""Is one run better than another? The difference of their metrics, patients resampled in pairs.

    python -m micle_tf.evaluation.compare RUN_A RUN_B

Both runs hold a predictions.csv of the same images, or --common takes those that they share. Each
resample draws patients once and judges both runs on them, so that what is easy or hard about a
patient cancels out: the interval of the difference is narrower than those of the two runs suggest.
"""

import collections
import csv
import io
import json
import math
import os
import sys
from typing import Any

import numpy as np

from micle_tf import console, quiet
from micle_tf.data.targets import is_labelled
from micle_tf.errors import BadInput
from micle_tf.evaluation.columns import IDS, label_columns, names_of, score_columns
from micle_tf.evaluation.intervals import bootstrap_intervals
from micle_tf.evaluation.metrics import Metrics, metrics_of
from micle_tf.exits import ArgumentParser, guarded

# {level: {name: array with an entry per row}}, see `read_predictions`.
Rows = dict[str, dict[str, np.ndarray]]

_FINDING = {"1": 1, "0": 0, "-1": -1, "-2": -2}


def compare(
    run_a: str,
    run_b: str,
    samples: int = 1000,
    seed: int = 0,
    common: bool = False,
    allow_seen: bool = False,
) -> dict[str, tuple[float, float, float]]:
    """Differences B - A of all metrics, with 95 % intervals.

    Args:
      run_a, run_b: run directories, local or paths of `tf.io.gfile`, with a predictions.csv of the
        same names and, in any order, the same rows.
      samples: resamples of patients (of cases, where no patient is known).
      seed: of the resampling.
      common: compare on the rows that both have, with the same label, and leave out the others.
      allow_seen: compare also where one of the two learned from what it was judged on.

    Returns:
      {"case/top1": (difference, low, high), ...}, names as in result.json.

    Raises:
      BadInput: a file is missing or damaged, or the two are not of the same rows, labels and
        names, or share none; or one learned from images that it was judged on, labels and all.
    """
    rows_a, names, multilabel = read_predictions(run_a)
    rows_b, names_b, multilabel_b = read_predictions(run_b)
    if (names, multilabel) != (names_b, multilabel_b):
        raise BadInput(f"{run_b}: predicts other classes or findings than {run_a}")
    for run in dict.fromkeys((run_a, run_b)):
        _refuse_seen(run, allow_seen)
    data = [_data_of(run) for run in (run_a, run_b)]
    if all(data) and data[0] != data[1]:
        console.say(
            f"note: {run_a} was judged on {data[0]}, {run_b} on {data[1]}: images are matched by "
            "name"
        )
    rows_a, rows_b = _matched(run_a, rows_a, run_b, rows_b, common)
    differences = {}
    for level, rows in rows_a.items():
        measure = metrics_of(level, names, multilabel)

        def difference(
            y_true: np.ndarray, y_score: np.ndarray, measure: Metrics = measure
        ) -> dict[str, float]:
            a, b = (measure(y_true, y_score[:, i]) for i in (0, 1))
            return {name: b[name] - a[name] for name in a}

        labelled = is_labelled(rows["label"])
        if not labelled.any():
            continue
        both = np.stack([rows["score"], rows_b[level]["score"]], axis=1)[labelled]
        arguments = rows["label"][labelled], both
        with console.Progress(f"intervals of {level}s", samples, "resample") as progress:
            ends = bootstrap_intervals(
                difference,
                *arguments,
                rows["patient"][labelled],
                samples,
                seed,
                progress=progress.at,
            )
        for name, value in difference(*arguments).items():
            differences[name] = (value, *ends[name])
    return differences


def _refuse_seen(run: str, allowed: bool) -> None:
    """Raises BadInput if a run's result.json says that it learned from what it was judged on."""
    try:
        result = json.loads(_read_bytes(os.path.join(run, "result.json")))
        if "seen" not in result:  # of an earlier version
            console.say(f"note: what {run} had seen before it was judged cannot be checked")
            return
        learned, judged = (result["seen"][name]["images"] for name in ("learned", "judged"))
    except (BadInput, ValueError, KeyError, TypeError):  # predictions alone
        return
    if learned:
        what = f"{learned:,} of the {judged:,} images that it was judged on"
        if not allowed:
            raise BadInput(
                f"{run}: learned from {what}, labels and all, which is no comparison; judge it on "
                "others, or go on with --allow_seen"
            )
        console.say(f"warning: {run} learned from {what}")


def _data_of(run: str) -> str:
    """The name of the prepared data that a run was judged on; "" if it does not say."""
    try:
        return json.loads(_read_bytes(os.path.join(run, "config.json"))).get("data", "")
    except (BadInput, ValueError, AttributeError):
        return ""


def _matched(run_a: str, rows_a: Rows, run_b: str, rows_b: Rows, common: bool) -> tuple[Rows, Rows]:
    """The rows of both runs in the same order, those of B brought into that of A.

    Cases are the same if their images are.
    """
    parts, counts = {}, []
    images = [_images_of_cases(rows) for rows in (rows_a, rows_b)]
    different = rows_a.keys() != rows_b.keys()
    for level in [level for level in rows_a if level in rows_b]:
        a, b = rows_a[level], rows_b[level]
        place = {tuple(ids): k for k, ids in enumerate(b["ids"][:, [1, 3]].tolist())}
        place_in_b = np.array([place.get(tuple(ids), -1) for ids in a["ids"][:, [1, 3]].tolist()])
        for k, case in enumerate(a["ids"][:, 1].tolist() if level == "case" else ()):
            if images[0].get(case) != images[1].get(case):
                place_in_b[k] = -1
        there = place_in_b >= 0
        same = a["label"] == b["label"][place_in_b]
        alike = there & (same if same.ndim == 1 else same.all(axis=1))
        relabelled = int((there & ~alike).sum())
        counts.append(
            f"of {len(there):,} {level}s in A and {len(place):,} in B {int(alike.sum()):,} are the "
            "same" + (f", {relabelled:,} have another label" if relabelled else "")
        )
        different = different or not alike.all() or len(place) != len(there)
        parts[level] = (
            {name: values[alike] for name, values in a.items()},
            {name: values[place_in_b[alike]] for name, values in b.items()},
        )
    if different and not common:
        raise BadInput(
            f"{run_b}: its predictions.csv is of other images or labels than {run_a}'s: "
            f"{'; '.join(counts) or 'no level in common'}; --common compares these"
        )
    if common:
        parts = {level: pair for level, pair in parts.items() if len(pair[0]["label"])}
        if not parts:
            raise BadInput(f"--common: {run_a} and {run_b} share no image with the same label")
        console.say(f"on what both have: {'; '.join(counts)}")
    return (
        {level: of_a for level, (of_a, _) in parts.items()},
        {level: of_b for level, (_, of_b) in parts.items()},
    )


def _images_of_cases(rows: Rows) -> dict[str, list[str]]:
    """{case_id: [image_id], sorted} of a run's rows; {} where there are no images."""
    images_of = collections.defaultdict(list)
    for ids in rows["image"]["ids"].tolist() if "image" in rows else ():
        images_of[ids[1]].append(ids[3])
    return {case: sorted(images) for case, images in images_of.items()}


def read_predictions(run: str) -> tuple[Rows, tuple[str, ...], bool]:
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
    rows_of: dict[str, list[tuple[Any, ...]]] = {}
    try:
        header = next(reader, [])
        names, multilabel = names_of(header)
        if not names:
            raise BadInput(f"{path}: not a predictions.csv of ours")
        line = reader.line_num + 1
        for fields in reader:
            if fields:
                row = _parse_row(fields, header, names, multilabel)
                rows_of.setdefault(fields[header.index("level")], []).append(row)
            line = reader.line_num + 1
    except (csv.Error, ValueError) as error:
        raise BadInput(f"{path} row {line}: damaged ({error})") from None
    if not text.endswith("\n"):  # else half a number would pass for a number
        raise BadInput(f"{path} row {reader.line_num}: damaged (the line has no end)")
    if not rows_of:
        raise BadInput(f"{path}: not a predictions.csv of ours")
    parts = ("ids", "patient", "label", "score")
    arrays = {
        level: dict(zip(parts, map(np.array, zip(*rows, strict=True)), strict=True))
        for level, rows in rows_of.items()
    }
    return arrays, names, multilabel


def _read_bytes(path: str) -> bytes:
    return _read_remote(path) if "://" in path else _read_local(path)


def _read_text(path: str) -> str:
    try:
        return _read_bytes(path).decode()
    except UnicodeDecodeError as error:
        line = 1 + error.object[: error.start].count(b"\n")
        raise BadInput(f"{path} row {line}: damaged (not UTF-8 text)") from None


def _read_local(path: str) -> bytes:  # without TensorFlow, which takes seconds to import
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None


def _read_remote(path: str) -> bytes:
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except tf.errors.OpError as error:
        reason = error.message.partition("\n")[0] or "it is not there"
        raise BadInput(f"{path}: cannot be read: {reason}") from None


def _parse_row(
    fields: list[str], header: list[str], names: tuple[str, ...], multilabel: bool
) -> tuple[list[str], str, int | list[int], list[float]]:
    """(four ids, patient, label or K labels, K scores); the ValueError says what is wrong."""
    if len(fields) != len(header):
        raise ValueError(f"{len(fields)} fields, but the header has {len(header)}")
    row = dict(zip(header, fields, strict=True))
    values = _FINDING if multilabel else {name: k for k, name in enumerate(names)} | {"": -1}
    labels = [_label(row, column, values) for column in label_columns(names, multilabel)]
    patient = row["patient_id"] or f"\0{row['case_id']}"
    scores = [_score(row, column) for column in score_columns(names)]
    return [row[name] for name in IDS], patient, labels if multilabel else labels[0], scores


def _label(row: dict[str, str], column: str, values: dict[str, int]) -> int:
    if row[column] not in values:
        raise ValueError(f"column {column} holds {row[column]!r}")
    return values[row[column]]


def _score(row: dict[str, str], column: str) -> float:
    try:
        score = float(row[column])
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(f"column {column} holds {row[column]!r}")
    return score


def main(argv: list[str]) -> int:
    """Prints the comparison; returns the exit code."""

    def command() -> None:
        parser = ArgumentParser(
            prog="python -m micle_tf.evaluation.compare", description=__doc__.split("\n\n")[0]
        )
        parser.add_argument("run_a")
        parser.add_argument("run_b")
        parser.add_argument("--samples", type=int, default=1000, help="resamples of patients")
        parser.add_argument("--seed", type=int, default=0, help="of the resampling")
        parser.add_argument("--common", action="store_true", help="only the rows that both have")
        parser.add_argument(
            "--allow_seen", action="store_true", help="also where one learned from what is judged"
        )
        arguments = parser.parse_args(argv)
        if arguments.samples < 1 or arguments.seed < 0:
            raise BadInput("--samples: at least 1; --seed: at least 0")
        differences = compare(**vars(arguments))
        console.say(f"{arguments.run_b} minus {arguments.run_a}, 95 % interval of the pairs:")
        for name, (value, low, high) in differences.items():
            if "/auc/" not in name:
                console.say(f"  {name:28s} {value:+.3f} [{low:+.3f}, {high:+.3f}]")

    return guarded(command)


if __name__ == "__main__":
    quiet.hide_native_messages()
    sys.exit(main(sys.argv[1:]))
