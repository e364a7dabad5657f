"""A difference, its standard error, and what follows: an interval and a p value."""

import dataclasses
import math

from scipy.special import stdtr, stdtrit


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much more one has than another.

    Attributes:
      value: the difference.
      low, high: ends of its 95 % interval, not cut at what is possible.
      p: two-sided, of the hypothesis that the true difference is 0.
      standard_error: of the difference.
      df: degrees of freedom of t; infinite where it is the normal distribution.
      dropped: how many resamples do not define it, where there are any.
    """

    value: float
    low: float
    high: float
    p: float
    standard_error: float
    df: float
    dropped: int = 0


def t_test(value: float, standard_error: float, df: float = math.inf) -> Difference:
    """The two-sided test and the interval of `value / standard_error` as t.

    Args:
      value: the difference.
      standard_error: of it, not negative; nan where it is not defined.
      df: degrees of freedom, positive; infinite for the normal distribution.

    Returns:
      Of a standard error of 0: both ends are the value, and p is 1 if that is 0 and else nan, since
      data that do not vary do not tell how much others would. Of nan: the ends and p are nan.
    """
    margin = standard_error * float(stdtrit(df, 0.975)) if standard_error else 0.0
    if standard_error:
        p = 2 * float(stdtr(df, -abs(value) / standard_error))
    else:
        p = 1.0 if value == 0 else math.nan
    return Difference(value, value - margin, value + margin, p, standard_error, df)
