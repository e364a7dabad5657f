"""What the name of a metric in result.json says.

[calibrated/][case/ or image/][findings/]metric[/class or finding][@condition], such as
"case/auc_macro", "findings/auc/Edema", "calibrated/case/ece" and
"case/sensitivity/melanoma@specificity=0.9".
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

_NAME = re.compile(
    r"(?P<calibrated>calibrated/)?((?P<level>case|image)/)?(findings/)?(?P<metric>\w+)"
    r"(/(?P<column>.*?))?(?P<at>@(prevalence|specificity|sensitivity|threshold|coverage)=[^@]+)?",
    re.DOTALL,
)
# Metrics of a class or finding that rest on its positives.
_OF_POSITIVES = ("auc", "average_precision", "sensitivity", "f1", "calibration_slope",
                 "calibration_intercept")  # fmt: skip
MEANS = ("_macro", "_mean")  # ends of what is a mean over classes or findings


class Parsed(NamedTuple):
    """The parts of a name.

    Attributes:
      level: "image" or "case".
      metric: "auc", "auc_macro", "top1", ...
      column: the class or finding; "" where it is about all.
      at: "@specificity=0.9"; "" where there is no condition.
      calibrated: whether the probabilities were scaled.
    """

    level: str
    metric: str
    column: str
    at: str
    calibrated: bool

    @property
    def counts_positives(self) -> bool:
        """Whether it rests on the positives of a class or finding, and not on all rows."""
        return bool(self.column) and self.metric in _OF_POSITIVES

    @property
    def condition(self) -> str:
        """The kind of `at`: "specificity", ...; "" for none."""
        return self.at[1:].partition("=")[0]

    @property
    def is_mean(self) -> bool:
        """Whether it is a mean over classes or findings."""
        return self.metric.endswith(MEANS) or self.metric == "balanced_accuracy"


def parsed(name: str, columns: Sequence[str] = ()) -> Parsed:
    """The parts of a name.

    Args:
      name: of a metric.
      columns: names of the classes or findings, where they are known: one that itself ends like a
        condition, as "m@specificity=0.9", is then told from "m" at a condition.
    """
    found = _NAME.fullmatch(name)
    if not found:
        return Parsed("image", name, "", "", False)
    level, column, at = (found[part] or "" for part in ("level", "column", "at"))
    whole = column + at
    known = [one for one in columns if whole == one or whole.startswith(f"{one}@")]
    if found["column"] is not None and known:
        column = max(known, key=len)
        at = whole.removeprefix(column)
    return Parsed(level or "image", found["metric"], column, at, bool(found["calibrated"]))
