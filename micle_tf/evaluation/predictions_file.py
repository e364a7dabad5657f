"""Reading predictions.csv: a run's own, or what somebody else predicted of the same images."""

import collections
import csv
import io
import math
import os
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from micle_tf import console
from micle_tf.errors import BadInput
from micle_tf.evaluation.columns import IDS, label_columns, names_of, score_columns
from micle_tf.evaluation.metrics import case_probabilities

PREDICTIONS, VALIDATION = "predictions.csv", "validation_predictions.csv"

# {level: {name: array with an entry per row}}, see `read_predictions`.
Rows = dict[str, dict[str, np.ndarray]]

_NOT_NAMED = "\0"  # before the case, of a patient who is not known

_FINDING = {"1": 1, "0": 0, "-1": -1, "-2": -2}


def is_named(patient: str) -> bool:
    """Whether a patient of `Rows` is known, and does not stand for those of a case."""
    return bool(patient) and not patient.startswith(_NOT_NAMED)


def read_validation(run: str) -> Rows | None:
    """What a run keeps of the split that chose its model; None where it keeps nothing of it.

    Raises:
      BadInput: the file is damaged, see `read_predictions`.
    """
    path = os.path.join(run, VALIDATION)
    return _read(path)[0] if _exists(path) else None


def read_predictions(run: str) -> tuple[Rows, tuple[str, ...], bool]:
    """Reads a run's predictions.csv.

    Returns:
      ({level: {"ids": [n, 4] str, "patient": [n] str (see `is_named`), "label": [n] or [n, K] int,
      "score": [n, K] float}}, names, multilabel); a label of -1 is no label, or -1 and -2
      among findings.

    Raises:
      BadInput: the file is missing, not ours, or damaged; the row named is the line of the
        file on which it begins.
    """
    return _read(os.path.join(run, PREDICTIONS))


def _read(path: str) -> tuple[Rows, tuple[str, ...], bool]:
    text = _read_text(path)
    reader, line = csv.reader(io.StringIO(text, newline=""), strict=True), 1
    rows_of: dict[str, list[tuple[Any, ...]]] = {}
    there: set[tuple[str, ...]] = set()
    try:
        header = next(reader, [])
        names, multilabel = names_of(header)
        if not names:
            raise BadInput(f"{path}: not a predictions.csv of ours")
        line = reader.line_num + 1
        for fields in reader:
            if fields:
                row = _parse_row(fields, header, names, multilabel)
                level, case, _, image = row[0]
                if (level, case, image) in there:
                    raise ValueError(f"{level} {image or case} is there twice")
                there.add((level, case, image))
                rows_of.setdefault(level, []).append(row)
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


def read_others(
    path: str, run: Rows, names: Sequence[str], multilabel: bool, common: bool = False
) -> Rows:
    """Reads what somebody else predicted of the images of a run.

    A row has `image_id` and a probability of each class or finding of the run, in a column of its
    name, with or without p_ before it, and `case_id` where the run has an image_id in several
    cases; spaces around ids do not count. Rows with the `level` case, which our own files have, and
    other columns are left alone. Labels, cases and patients are the run's, and the probabilities of
    a case are the mean of its images'.

    Args:
      path: of the CSV.
      run: what `read_predictions` gives of the run.
      names, multilabel: likewise.
      common: images that only one of the two has are left out, those of the file being counted.

    Returns:
      Rows as `read_predictions` gives them, of the images that both have, and of the cases whose
      images are all there.

    Raises:
      BadInput: the file is no such table, the row being the line of the file on which it begins;
        or it is of other images.
    """
    images, scores, line = [], [], 1
    text = _read_text(path)
    ids = run["image"]["ids"].tolist()
    keys = ("image_id",) if _is_unique(image for *_, image in ids) else ("case_id", "image_id")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        columns = _columns_of_others(path, header, keys, names)
        line = reader.line_num + 1
        for fields in reader:
            if fields:
                if len(fields) != len(header):
                    raise ValueError(f"{len(fields)} fields, but the header has {len(header)}")
                row = dict(zip(header, fields, strict=True))
                if row.get("level", "").strip() != "case":
                    images.append(tuple(row[key].strip() for key in keys))
                    scores.append(_probabilities(row, columns, multilabel))
            line = reader.line_num + 1
    except (csv.Error, ValueError) as error:
        raise BadInput(f"{path} row {line}: {error}") from None
    if not images:
        raise BadInput(f"{path}: has no rows")
    if not _is_unique(images):
        twice = next(image for image, n in collections.Counter(images).items() if n > 1)
        raise BadInput(f"{path}: {', '.join(keys)} {', '.join(twice)} is there twice")
    if not text.endswith("\n"):
        console.say(f"note: {path}: its last line has no end; the file may be cut off")
    place = {
        (case.strip(), image.strip())[-len(keys) :]: k for k, (_, case, _, image) in enumerate(ids)
    }
    places = np.array([place.get(image, -1) for image in images])
    return with_cases_of(_known_by(path, run, places, np.array(scores), common), run)


def _is_unique(values: Iterable[Hashable]) -> bool:
    return max(collections.Counter(values).values(), default=1) == 1


def _columns_of_others(
    path: str, header: list[str], keys: Sequence[str], names: Sequence[str]
) -> list[str]:
    """The column of each name."""
    for separator, called in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            raise BadInput(f"{path}: separated by {called}; commas are needed")
    columns = [f"p_{name}" if f"p_{name}" in header else name for name in names]
    missing = [column for column in (*keys, *columns) if column not in header]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BadInput(
            f"{path}: has no column {missing[0]}{more}; {', '.join(keys)} and a probability for "
            f"each of {', '.join(names)} are needed"
        )
    twice = next((one for one in (*keys, "level", *columns) if header.count(one) > 1), None)
    if twice:
        raise BadInput(f"{path}: has two columns {twice}")
    return columns


def _probabilities(row: dict[str, str], columns: list[str], multilabel: bool) -> list[float]:
    scores = [_score(row, column) for column in columns]
    for column, score in zip(columns, scores, strict=True):
        if not 0 <= score <= 1:
            raise ValueError(f"column {column} holds {row[column]!r}, no probability")
    if not multilabel and abs(sum(scores) - 1) > 1e-3:
        raise ValueError(f"the probabilities sum to {sum(scores):g}, not to 1")
    return scores


def _known_by(
    path: str, run: Rows, places: np.ndarray, scores: np.ndarray, common: bool
) -> dict[str, np.ndarray]:
    """Rows of those images that a run has, where there, with what it knows of them.

    Args:
      places: int [m], which of the run's images each row is of; -1 for none of them.
    """
    images, known = len(run["image"]["ids"]), places >= 0
    missing, extra = images - int(known.sum()), int((~known).sum())
    if (missing or extra) and not common:
        raise BadInput(
            f"{path}: of {images:,} images of the run {missing:,} are missing, and {extra:,} "
            f"of its {len(places):,} rows are of others; --common compares what both have"
        )
    if extra:
        rows_are = f"{console.count(extra, 'row')} {'is' if extra == 1 else 'are'}"
        console.say(f"{path}: {rows_are} of other images")
    if not known.any():
        raise BadInput(f"{path}: none of its {len(places):,} rows is of an image of the run")
    rows = {name: values[places[known]] for name, values in run["image"].items()}
    return rows | {"score": scores[known]}


def with_cases_of(image_rows: dict[str, np.ndarray], run: Rows) -> Rows:
    """Images, and the cases of a run whose images are all among them, with the mean of these.

    So that two tables whose images say the same also say the same of cases.
    """
    if "case" not in run:
        return {"image": image_rows}
    order = np.argsort(image_rows["ids"][:, 3], kind="stable")
    ids, scores = image_rows["ids"][order], image_rows["score"][order]
    means, first = case_probabilities(scores, ids[:, 1])
    mean_of = dict(zip(ids[first, 1].tolist(), means, strict=True))
    images_of = lambda ids: collections.Counter(ids[:, 1].tolist())
    there, wanted = images_of(image_rows["ids"]), images_of(run["image"]["ids"])
    cases = run["case"]["ids"][:, 1].tolist()
    whole = [k for k, case in enumerate(cases) if there[case] == wanted[case]]
    rows = {name: values[whole] for name, values in run["case"].items()}
    rows["score"] = np.array([mean_of[cases[k]] for k in whole])
    return {"image": image_rows, "case": rows}


def read_bytes(path: str) -> bytes:
    """The content of a file, on a disk or elsewhere; raises BadInput where it cannot be read."""
    return _read_remote(path) if "://" in path else _read_local(path)


def _read_text(path: str) -> str:
    try:
        return read_bytes(path).decode("utf-8-sig")  # as Excel writes it, with a mark at its start
    except UnicodeDecodeError as error:
        line = 1 + error.object[: error.start].count(b"\n")
        raise BadInput(f"{path} row {line}: damaged (not UTF-8 text)") from None


def _exists(path: str) -> bool:
    if "://" not in path:
        return os.path.exists(path)
    import tensorflow as tf

    return tf.io.gfile.exists(path)


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
    patient = row["patient_id"] or f"{_NOT_NAMED}{row['case_id']}"
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
