"""The columns of predictions.csv, for what writes the file and what reads it.

level,case_id,patient_id,image_id,label,p_<class>,...
level,case_id,patient_id,image_id,label_<finding>,...,p_<finding>,...
"""

from collections.abc import Sequence

IDS = ("level", "case_id", "patient_id", "image_id")
_SCORE = "p_"


def label_columns(names: Sequence[str], multilabel: bool) -> list[str]:
    """["label"] of one class per row; of findings, one for each of them."""
    return [f"label_{name}" for name in names] if multilabel else ["label"]


def score_columns(names: Sequence[str]) -> list[str]:
    """The columns of the probabilities, one for each class or finding."""
    return [f"{_SCORE}{name}" for name in names]


def names_of(header: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """(names of the classes or findings, multilabel) of a header; no names: it is not ours."""
    names = tuple(column.removeprefix(_SCORE) for column in header if column.startswith(_SCORE))
    multilabel = "label" not in header
    if not {*IDS, *label_columns(names, multilabel)} <= set(header):
        return (), multilabel
    return names, multilabel
