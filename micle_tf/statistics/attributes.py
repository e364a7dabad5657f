"""Attributes of patients and images: what to group rows by, and the group of each row."""

import itertools
import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

UNKNOWN = "unknown"
SEVERAL = "several"  # of a case whose images are of different groups
NO_GROUPS = (UNKNOWN, SEVERAL)  # labels of rows that are of no one group


def _number(text: str) -> float:
    """nan of what is no finite number."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def assign(values: ArrayLike, cuts: tuple[float, ...] = ()) -> np.ndarray:
    """The group of each row.

    Args:
      values: str [n], of an attribute; "" where it is not known.
      cuts: ascending.

    Returns:
      str [n]. With cuts 40 and 60: "<40", "40-<60" or ">=60", and "unknown" for what is no finite
      number. Without cuts the text itself, without spaces around it, and "unknown" for none.
    """
    texts = [str(value).strip() for value in np.asarray(values).tolist()]
    if not cuts:
        return np.array([text or UNKNOWN for text in texts], np.str_)
    labels = _labels(cuts)
    numbers = [_number(text) for text in texts]
    return np.array(
        [
            UNKNOWN if math.isnan(number) else labels[np.searchsorted(cuts, number, side="right")]
            for number in numbers
        ],
        np.str_,
    )


def _labels(cuts: tuple[float, ...]) -> list[str]:
    at = [f"{cut:.15g}" for cut in cuts]
    between = [f"{low}-<{high}" for low, high in itertools.pairwise(at)]
    return [f"<{at[0]}", *between, f">={at[-1]}"]


def in_order(labels: Iterable[str], cuts: tuple[float, ...] = ()) -> list[str]:
    """The distinct labels of `assign`, by their cuts or else by the alphabet; unknown ones last."""
    places = {label: place for place, label in enumerate(_labels(cuts))} if cuts else {}
    return sorted(set(labels), key=lambda label: (label == UNKNOWN, places.get(label, 0), label))
