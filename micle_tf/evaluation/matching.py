"""The rows of two tables of predictions, brought into one order."""

import collections
from collections.abc import Sequence

import numpy as np

from micle_tf import console
from micle_tf.errors import BadInput
from micle_tf.evaluation.predictions_file import Rows, is_named


def matched(tables: Sequence[tuple[str, Rows]], common: bool) -> list[Rows]:
    """The rows of several runs in the order of the first one's.

    Cases are the same if their images are. A patient whom one run names, and another does not, is
    the same in both, so that they are resampled alike whichever comes first.

    Args:
      tables: (what the run is called, its rows), two at least.
      common: leave out rows that one of them has not, or with another label.

    Raises:
      BadInput: they are not of the same rows and labels, or name different patients for a row; with
        `common`, they share none.
    """
    (run_a, first), *others = tables
    for run_b, rows_b in others:
        first = _shared(run_a, first, run_b, rows_b, common)
    in_order = [first, *(_alike(first, rows)[0] for _, rows in others)]
    return _with_patients_of_all([run for run, _ in tables], in_order)


def _with_patients_of_all(runs: Sequence[str], tables: Sequence[Rows]) -> list[Rows]:
    """Tables of the same rows, each with the patients that any of them names."""
    found, said = [dict(rows) for rows in tables], set()
    for level, rows in tables[0].items():
        named = np.stack([of_run[level]["patient"] for of_run in tables])
        known = np.array([[is_named(one) for one in of_run] for of_run in named.tolist()])
        source = known.argmax(axis=0)  # the first run that names the patient
        patient = named[source, np.arange(named.shape[1])]
        for number, run in enumerate(runs):
            strange = np.flatnonzero(known[number] & (named[number] != patient))
            if len(strange):
                k = strange[0]
                raise BadInput(
                    f"{run}: names another patient than {runs[source[k]]} for "
                    f"{console.count(len(strange), level)}, such as "
                    f"{rows['ids'][k, 3] or rows['ids'][k, 1]}"
                )
            taken = np.flatnonzero(~known[number] & known.any(axis=0))
            if len(taken) and run not in said:
                said.add(run)
                of = console.count(len(taken), level)
                console.say(
                    f"note: {run} does not name the patients of {of}; taken from "
                    f"{runs[source[taken[0]]]}"
                )
            found[number][level] = found[number][level] | {"patient": patient}
    return found


def _shared(run_a: str, rows_a: Rows, run_b: str, rows_b: Rows, common: bool) -> Rows:
    """The rows of A that B has too."""
    _, places, counts, different = _alike(rows_a, rows_b)
    if different and not common:
        raise BadInput(
            f"{run_b}: its predictions.csv is of other images or labels than {run_a}'s: "
            f"{'; '.join(counts) or 'no level in common'}; --common compares these"
        )
    shared = {level: _at(rows_a[level], rows) for level, rows in places.items() if len(rows)}
    if common:
        if not shared:
            raise BadInput(f"--common: {run_a} and {run_b} share no image with the same label")
        console.say(f"on what both have: {'; '.join(counts)}")
    return shared


def _alike(rows_a: Rows, rows_b: Rows) -> tuple[Rows, dict[str, np.ndarray], list[str], bool]:
    """(rows of B that A has too, in A's order; {level: which of A's these are}; a count of each
    level; whether anything is not the same)."""
    images = [_images_of_cases(rows) for rows in (rows_a, rows_b)]
    different = rows_a.keys() != rows_b.keys()
    of_b, places, counts = {}, {}, []
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
        places[level] = np.flatnonzero(alike)
        of_b[level] = _at(b, place_in_b[alike])
    return of_b, places, counts, different


def _at(rows: dict[str, np.ndarray], places: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[places] for name, values in rows.items()}


def _images_of_cases(rows: Rows) -> dict[str, list[str]]:
    """{case_id: [image_id], sorted} of a run's rows; {} where there are no images."""
    images_of = collections.defaultdict(list)
    for ids in rows["image"]["ids"].tolist() if "image" in rows else ():
        images_of[ids[1]].append(ids[3])
    return {case: sorted(images) for case, images in images_of.items()}
