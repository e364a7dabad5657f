"""The picture of a study: a metric by the share of the labels, a line for each variant."""

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from scipy import optimize

from micle_tf.files import renamed_when_whole
from micle_tf.study.tables import Summary, by_label, number_of_seeds, share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 150
_TEXT, _TITLE = 9, 11  # points
_DARK, _GREY, _LIGHT = "0.15", "0.35", "0.92"
_MOST_BANDS = 4  # that can be told apart where they overlap
_TICKS_APART, _BARS_SPREAD = 0.08, 0.05  # of the width
# The reference is black, the others have the colours of Okabe and Ito, 2008, "Color universal
# design", but for their yellow, which is faint on white; and marks, to be told apart in grey.
_REFERENCE = {"color": "#000000", "marker": "o"}
_OTHERS = [
    {"color": color, "marker": marker}
    for color, marker in zip(
        ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255"),
        ("s", "^", "D", "v", "P", "X", "p"),
        strict=True,
    )
]
# The same bytes for the same numbers: names inside the SVG that do not vary, and no date. Words
# stay words, to be found and edited, and a $ in a name begins no formula.
_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "micle_tf", "svg.fonttype": "none", "text.parse_math": False,
    "font.size": _TEXT,
}  # fmt: skip

_Lines = Mapping[str, Sequence[Summary]]
_Styles = Mapping[str, dict[str, Any]]


def draw(
    summaries: Sequence[Summary], path_without_suffix: str, *, metric: str, reference: str
) -> None:
    """Writes the label-efficiency curve as .svg and .png, each whole or not at all.

    The mean by the fraction of the labels, on a logarithmic axis, with the 95 % interval as a band
    (as bars beside each other, where there are many variants), and as a dashed line what the
    reference reaches with most labels. Of one fraction alone, a row for each variant with the mean
    as a mark and the interval as a bar.

    Args:
      summaries: of any metrics; of one judged stage, or of such as can be compared.
      path_without_suffix: a path of `tf.io.gfile`.
      metric: what is drawn.
      reference: the variant that the others are compared with; there may be nothing of it.

    Raises:
      ValueError: no summary has a mean of this metric.
    """
    # Only here, and no pyplot: as in training/picture.py.
    import matplotlib

    shown = [one for one in summaries if one.metric == metric and not math.isnan(one.mean)]
    if not shown:
        raise ValueError(f"draw: no mean of {metric}")
    with matplotlib.rc_context(_SETTINGS):
        figure = _figure(shown, metric, reference)
        for suffix, metadata in (("svg", {"Date": None}), ("png", {})):
            drawn = io.BytesIO()
            figure.savefig(drawn, format=suffix, dpi=_DPI, metadata=metadata)
            with (
                renamed_when_whole(f"{path_without_suffix}.{suffix}") as unfinished,
                tf.io.gfile.GFile(unfinished, "wb") as file,
            ):
                file.write(drawn.getvalue())


def _figure(shown: Sequence[Summary], metric: str, reference: str) -> "Figure":
    from matplotlib.figure import Figure

    lines = by_label(shown)
    styles = _styles(lines, reference)
    fractions = sorted({one.fraction for one in shown})
    goal = _goal(shown, reference)
    several = len(fractions) > 1
    bars = not several or len(lines) > _MOST_BANDS or min(map(len, lines.values())) == 1

    wide = 7.5 + 0.08 * max(0, max(map(len, lines)) - 20)
    high = max(4.5, 1.5 + 0.22 * len(lines)) if several else 1.5 + 0.28 * len(lines)
    figure = Figure(figsize=(wide, high), layout="constrained")
    axis = figure.add_subplot()
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_axisbelow(True)
    title = f"{metric} {'by share' if several else f'with {share(fractions[0])}'} of the labels"
    at_left: dict[str, Any] = {"x": 0.01, "ha": "left"}
    figure.suptitle(textwrap.fill(title, 75), fontsize=_TITLE, **at_left)
    notes = textwrap.fill(_notes(shown, "bar" if bars else "band", goal), 95)
    figure.supxlabel(notes, fontsize=_TEXT, color=_GREY, **at_left)
    if several:
        places = _beside(lines, fractions) if bars else dict.fromkeys(lines, 1.0)
        _curves(axis, lines, styles, places, bars)
        _percent_ticks(axis, fractions)
        axis.set(xlabel="share of the labels (logarithmic)", ylabel=textwrap.fill(metric, 55))
    else:
        _rows(axis, lines, styles)
        axis.set(xlabel=textwrap.fill(metric, 70))
    if goal is not None:
        line = axis.axhline(goal.mean) if several else axis.axvline(goal.mean)
        line.set(color="0.2", linewidth=1, linestyle=(0, (5, 3)), zorder=1.5)
    if several:
        figure.draw_without_rendering()  # from here on the height of the axis is known
        points = axis.get_window_extent().height * 72 / figure.dpi
        _name_at_the_ends(axis, lines, styles, places, points)
    return figure


def _notes(shown: Sequence[Summary], interval: str, goal: Summary | None) -> str:
    notes = f"mean of {number_of_seeds(shown)}, {interval}: 95 % interval"
    if any(one.seeds == 1 for one in shown):
        notes += " (with one seed, without the variance of training)"
    if goal is not None:
        notes += f"; dashed: {goal.variant} with {share(goal.fraction)} of the labels"
    return notes


def _goal(shown: Sequence[Summary], reference: str) -> Summary | None:
    """The reference with most labels."""
    found = [one for one in shown if one.variant == reference]
    return max(found, key=lambda one: one.fraction, default=None)


def _styles(lines: _Lines, reference: str) -> _Styles:
    """Of each line, its colour and mark; the eighth of the others has a hollow one, and so on."""
    others = [label for label, found in lines.items() if found[0].variant != reference]
    styles = {}
    for number, label in enumerate(others):
        again, which = divmod(number, len(_OTHERS))
        styles[label] = _OTHERS[which] | ({"markerfacecolor": "white"} if again % 2 else {})
    return {label: styles.get(label, _REFERENCE) for label in lines}


def _beside(lines: _Lines, fractions: Sequence[float]) -> dict[str, float]:
    """By what the fractions of each line are multiplied, so that bars are beside each other."""
    steps = np.diff(np.log(fractions))
    spread = min(0.7 * steps.min(), _BARS_SPREAD * steps.sum())
    return dict(zip(lines, np.exp(spread * np.linspace(-0.5, 0.5, len(lines))), strict=True))


def _curves(
    axis: "Axes", lines: _Lines, styles: _Styles, places: Mapping[str, float], bars: bool
) -> None:
    axis.set_xscale("log")
    axis.grid(axis="y", color=_LIGHT)
    for label, found in lines.items():
        x, mean, low, high = _columns(found)
        x *= places[label]
        color = styles[label]["color"]
        if bars:
            axis.vlines(x, low, high, color=color, alpha=0.6, linewidth=1.2)
        else:
            axis.fill_between(x, low, high, color=color, alpha=0.08, linewidth=0)
            for end in (low, high):
                axis.plot(x, end, color=color, alpha=0.35, linewidth=0.7)
        axis.plot(x, mean, **styles[label], linewidth=1.5, markersize=5)


def _rows(axis: "Axes", lines: _Lines, styles: _Styles) -> None:
    axis.grid(axis="x", color=_LIGHT)
    for row, (label, found) in enumerate(lines.items()):
        _, mean, low, high = _columns(found)
        axis.hlines([row], low, high, color=styles[label]["color"], linewidth=2)
        axis.plot(mean, [row], **styles[label], markersize=7, linestyle="")
    axis.set_yticks(range(len(lines)), list(lines))
    axis.set_ylim(len(lines) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)


def _columns(found: Sequence[Summary]) -> np.ndarray:
    """float64 [4, F]: fractions, means, lows and highs."""
    return np.array([(one.fraction, one.mean, one.low, one.high) for one in found]).T


def _percent_ticks(axis: "Axes", fractions: Sequence[float]) -> None:
    """A tick for each fraction, and its percentage where there is room, from the largest on."""
    room = _TICKS_APART * math.log(fractions[-1] / fractions[0])
    named = [fractions[-1]]
    for fraction in fractions[-2::-1]:
        if math.log(named[-1] / fraction) >= room:
            named.append(fraction)
    axis.set_xticks(named, [share(fraction) for fraction in named])
    axis.set_xticks([fraction for fraction in fractions if fraction not in named], minor=True)
    axis.xaxis.set_minor_formatter("")


def _name_at_the_ends(
    axis: "Axes", lines: _Lines, styles: _Styles, places: Mapping[str, float], points: float
) -> None:
    """The name of each line at the right, at the height of its end or as near as others let it.

    `points` is the height of the axis.
    """
    ends = {label: found[-1] for label, found in lines.items()}
    labels = sorted(lines, key=lambda label: ends[label].mean)
    bottom, top = axis.get_ylim()
    gap = 1.35 * _TEXT / points * (top - bottom)
    heights = apart(np.array([ends[label].mean for label in labels]), gap, bottom, top)
    right = axis.get_yaxis_transform()
    for label, height in zip(labels, heights, strict=True):
        axis.annotate(
            "",
            (ends[label].fraction * places[label], ends[label].mean), xycoords="data",
            xytext=(1.05, height), textcoords=right,
            arrowprops={"arrowstyle": "-", "color": styles[label]["color"], "linewidth": 0.8,
                        "linestyle": ":", "shrinkA": 0, "shrinkB": 4},
        )  # fmt: skip
        axis.plot(1.05, height, **styles[label], markersize=5, transform=right, clip_on=False)
        axis.text(1.07, height, label, transform=right, va="center", color=_DARK)


def apart(wanted: np.ndarray, gap: float, bottom: float, top: float) -> np.ndarray:
    """Places as near as can be to those that are wanted, by least squares, and a gap apart.

    Args:
      wanted: float [n], increasing.
      gap: between two places, at least.
      bottom, top: between which all are, if they fit; else they begin at the bottom.

    Returns:
      float64 [n].
    """
    steps = gap * np.arange(len(wanted))
    free = optimize.isotonic_regression(wanted - steps).x
    return np.clip(free, bottom, max(bottom, top - steps[-1])) + steps
