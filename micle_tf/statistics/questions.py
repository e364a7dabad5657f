"""What is asked of an evaluation beyond what is always said, read from text; without numpy."""

import dataclasses
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Values = TypeVar("Values", bound=tuple)

SENSITIVITY, SPECIFICITY = "sensitivity", "specificity"


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """The best `metric` with `fixed` at least `at`, a share in (0, 1].

    metric and fixed are "sensitivity" and "specificity" in either order.
    """

    metric: str
    fixed: str
    at: float

    def __str__(self) -> str:
        """As it is read."""
        return f"{self.metric}@{self.fixed}={self.at:g}"


@dataclasses.dataclass(frozen=True)
class Attribute:
    """What divides images into sub-groups.

    Attributes:
      name: as in the data, such as "sex".
      cuts: of a number, ascending: (40, 60) makes "<40", "40-<60" and ">=60"; () for a text.
    """

    name: str
    cuts: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Questions:
    """All of it.

    Attributes:
      operating_points: each with a threshold that validation gives.
      prevalence: at which PPV and NPV are stated too: of all classes or findings, or of some by
        their names; None: they are not.
      net_benefit_at: probabilities from which on somebody would act.
      subgroups: attributes, in the groups of which is judged too.
    """

    operating_points: tuple[OperatingPoint, ...] = ()
    prevalence: Mapping[str, float] | float | None = None
    net_benefit_at: tuple[float, ...] = ()
    subgroups: tuple[Attribute, ...] = ()


def operating_points(text: str) -> tuple[OperatingPoint, ...]:
    """Points of "sensitivity@specificity=0.9,specificity@sensitivity=0.95"; none of "".

    Raises:
      ValueError: anything else, a value outside (0, 1], or a point that is there twice.
    """
    points = tuple(_operating_point(part) for part in _parts(text))
    return _distinct(points, [str(point) for point in points])


def _operating_point(text: str) -> OperatingPoint:
    read = re.fullmatch(r"(\w+)@(\w+)=(.+)", text, re.ASCII)
    at = _number(read[3]) if read else None
    if not read or {read[1], read[2]} != {SENSITIVITY, SPECIFICITY} or not at or not 0 < at <= 1:
        raise ValueError(
            f"{text!r}: give sensitivity@specificity=0.9 or specificity@sensitivity=0.95, with a "
            "value above 0 and up to 1"
        )
    return OperatingPoint(read[1], read[2], at)


def subgroups(text: str) -> tuple[Attribute, ...]:
    """Attributes of "sex,age:40:60,view"; none of "".

    Raises:
      ValueError: an attribute without a name, or twice, or cuts that are not ascending numbers.
    """
    attributes = tuple(_attribute(part) for part in _parts(text))
    return _distinct(attributes, [attribute.name for attribute in attributes])


def _attribute(text: str) -> Attribute:
    name, *cuts = text.split(":")
    numbers = [number for cut in cuts if (number := _number(cut)) is not None]
    if not name.strip() or len(numbers) < len(cuts) or sorted(set(numbers)) != numbers:
        raise ValueError(f"{text!r}: give a name, or a name and ascending numbers as age:40:60")
    return Attribute(name.strip(), tuple(numbers))


def probabilities(text: str) -> tuple[float, ...]:
    """Numbers of "0.05,0.1,0.2"; none of "".

    Raises:
      ValueError: one that is not above 0 and below 1, or is there twice.
    """
    numbers = tuple(_probability(part, part) for part in _parts(text))
    return _distinct(numbers, numbers)


def prevalence(text: str) -> dict[str, float] | float | None:
    """0.02 of "0.02", {"melanoma": 0.02} of "melanoma:0.02", of several with commas; None of "".

    Raises:
      ValueError: a number that is not above 0 and below 1, or a name that is there twice.
    """
    parts = _parts(text)
    if len(parts) == 1 and ":" not in parts[0]:
        return _probability(parts[0], parts[0])
    pairs = [part.rpartition(":")[::2] for part in parts]
    if not all(name for name, _ in pairs):
        raise ValueError(
            f"{text!r}: give one number, or a name and a number of each, as a:0.1,b:0.2"
        )
    named = {name: _probability(number, f"{name}:{number}") for name, number in pairs}
    _distinct((), [name for name, _ in pairs])
    return named or None


def _probability(number: str, text: str) -> float:
    value = _number(number)
    if value is None or not 0 < value < 1:
        raise ValueError(f"{text!r}: give a number above 0 and below 1")
    return value


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text.strip() else []


def _number(text: str) -> float | None:
    plain = re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", text.strip(), re.ASCII)
    return float(text) if plain else None


def _distinct(values: Values, names: Sequence[Hashable]) -> Values:
    """The values, whose names are all different."""
    twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
    if twice is not None:
        raise ValueError(f"{twice} is there twice")
    return values
