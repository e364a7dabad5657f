"""What a study found, in tables: CSV, Markdown, and text for a terminal."""

import csv
import dataclasses
import io
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from micle_tf.study.architectures import parts

_WIDTH = 100  # of a terminal's table, where one column fits into it
_MISSING = "-"
_ONE_SEED = "With one seed the variance of training is not in the intervals."


@dataclasses.dataclass(frozen=True)
class Summary:
    """One variant on one judged stage, label fraction and metric, over its seeds.

    Attributes:
      variant, stage, metric: their names.
      fraction: of the labels, in (0, 1].
      seeds: how many.
      mean, sd: of the seeds' values; sd is nan for one seed.
      low, high: ends of the 95 % interval of the mean, in the range of the metric: see `ranges`.
      difference, difference_low, difference_high: from the reference on the same kind of stage and
        fraction, with its 95 % interval, in that of differences; nan for the reference itself.
      p, p_holm: of that difference, and adjusted for all that are tested; nan for all metrics but
        the primary.
    """

    variant: str
    stage: str
    fraction: float
    metric: str
    seeds: int
    mean: float
    sd: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    p: float
    p_holm: float


class OnOff(NamedTuple):
    """Two variants that are alike but for MICLe, at one fraction, of one metric.

    Attributes:
      off: without it.
      on: with it; its difference and p are from the other, p_holm for all such pairs of the stage.
    """

    off: Summary
    on: Summary


def csv_text(summaries: Sequence[Summary], architectures: Sequence[str] = ()) -> str:
    """A row for each, under the names of the fields: numbers to the last digit, nan as empty.

    A last column has the architecture, one of the study's, which is in the variant's name too.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(field.name for field in dataclasses.fields(Summary)), "architecture"])
    for one in summaries:
        values = [*dataclasses.astuple(one), parts(one.variant, architectures)[1]]
        writer.writerow("" if value != value else value for value in values)
    return text.getvalue()


def markdown(
    summaries: Sequence[Summary],
    *,
    reference: str,
    primary: str,
    of: Sequence[str],
    architectures: Sequence[str] = (),
) -> str:
    """A table of variants by label fractions for each metric, and of differences for the primary.

    With architectures, also a table of these by variants for each metric and fraction.

    Args:
      summaries: of one or more metrics.
      reference: the variant that the others are compared with, of their architecture each.
      primary: the metric whose differences are shown.
      of: the metrics to show, in this order; those that no summary has are left out.
      architectures: of the study, of which the names of variants are then, as `named` has them.

    Returns:
      Sections with a heading of the second level each; "" if none is left.
    """
    sections = []
    for metric in of:
        found = [one for one in summaries if one.metric == metric]
        if not found:
            continue
        sections.append(_section(metric, _grid(found, _mean_cell), _notes_of_means(found)))
        compared = compared_with(reference, found, architectures)
        if metric == primary and compared:
            heading = f"{metric}, difference from {of_each(reference, architectures)}"
            notes = _notes_of_differences(compared)
            sections.append(_section(heading, _grid(compared, _difference_cell), notes))
        if architectures:
            sections += _by_architecture(metric, found, architectures)
    return "\n".join(sections)


def terminal(
    summaries: Sequence[Summary],
    *,
    reference: str,
    primary: str,
    architectures: Sequence[str] = (),
) -> str:
    """As `markdown` of the primary metric, in aligned columns.

    Fractions that do not fit into 100 characters come below the others; "" without any summary.
    """
    found = [one for one in summaries if one.metric == primary]
    if not found:
        return ""
    lines = [primary, _aligned(_grid(found, _mean_cell)), *_notes_of_means(found)]
    compared = compared_with(reference, found, architectures)
    if compared:
        lines += ["", f"{primary}, difference from {of_each(reference, architectures)}"]
        lines += [_aligned(_grid(compared, _difference_cell)), *_notes_of_differences(compared)]
    return "\n".join(lines) + "\n"


def label_efficiency_markdown(
    needed: Sequence[tuple[str, float, float, float]], *, reference: str, smallest: float
) -> str:
    """A table of the labels that variants need.

    Args:
      needed: (variant, fraction, low, high) as `statistics.label_efficiency` has them: nan for a
        fraction that is not reached, infinite for such an end; nan for ends that are not known.
      reference: that is to be reached, in words.
      smallest: the smallest fraction that was measured; what needs no more may need less.
    """
    rows = [
        (variant, _needed_cell(fraction, low, high, smallest))
        for variant, fraction, low, high in needed
    ]
    notes = [
        f"Share of the labels with which a variant does as well as {reference} with all of them "
        "[95 % interval over patients].",
    ]
    if any("≤" in cell for _, cell in rows):
        notes.append("≤: the smallest share that was tried is enough.")
    return _section("Labels needed", [("variant", "labels needed"), *rows], notes)


def label_efficiency_csv(
    needed: Sequence[tuple[str, str, float, float, float]],
) -> str:
    """A row for each (stage, variant, fraction, low, high); nan as empty, infinite ends as inf."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["stage", "variant", "fraction", "low", "high"])
    for one in needed:
        writer.writerow("" if value != value else value for value in one)
    return text.getvalue()


def on_off_markdown(pairs: Sequence[OnOff], of: Sequence[str]) -> str:
    """A table for each metric, as of `markdown`: a row for each pair, three columns a fraction."""
    sections = []
    for metric in of:
        found = [pair for pair in pairs if pair.on.metric == metric]
        if found:
            sections.append(
                _section(f"MICLe on and off, {metric}", _on_off(found), _notes_of_on_off(found))
            )
    return "\n".join(sections)


def on_off_csv(pairs: Sequence[OnOff]) -> str:
    """A row for each pair, fraction and metric; nan as empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["stage", "off", "on", "fraction", "metric", "off_mean", "on_mean"]
    head += ["difference", "low", "high", "p", "p_holm", "seeds", "off_sd", "on_sd"]
    writer.writerow(head)
    for off, on in pairs:
        row = [on.stage, off.variant, on.variant, on.fraction, on.metric, off.mean, on.mean]
        row += [on.difference, on.difference_low, on.difference_high, on.p, on.p_holm]
        row += [on.seeds, off.sd, on.sd]
        writer.writerow("" if value != value else value for value in row)
    return text.getvalue()


def by_label(summaries: Sequence[Summary]) -> dict[str, list[Summary]]:
    """{variant: its summaries by increasing fraction}, in the order in which they come.

    A variant that was judged on several stages is there once for each: "transfer, nih".
    """
    stages: dict[str, set[str]] = {}
    for one in summaries:
        stages.setdefault(one.variant, set()).add(one.stage)
    found: dict[str, list[Summary]] = {}
    for one in summaries:
        several = len(stages[one.variant]) > 1
        label = f"{one.variant}, {one.stage}" if several else one.variant
        found.setdefault(label, []).append(one)
    return {label: sorted(those, key=lambda one: one.fraction) for label, those in found.items()}


def compared_with(
    reference: str, summaries: Sequence[Summary], architectures: Sequence[str] = ()
) -> list[Summary]:
    """Those of other variants; none where there is nothing of the reference to compare with."""
    others = [one for one in summaries if parts(one.variant, architectures)[0] != reference]
    return others if any(not math.isnan(one.difference) for one in others) else []


def of_each(reference: str, architectures: Sequence[str]) -> str:
    """The reference in words, which is one for each architecture."""
    return f"{reference} of the same architecture" if architectures else reference


def share(fraction: float, digits: int = 4) -> str:
    """ "10 %", "1.5 %": a fraction in percent, to some significant digits."""
    return f"{float(f'{100 * fraction:.{digits}g}'):g} %"


def number_of_seeds(summaries: Sequence[Summary]) -> str:
    """ "1 seed", "3 seeds", "1 to 3 seeds"."""
    fewest, most = min(one.seeds for one in summaries), max(one.seeds for one in summaries)
    if fewest < most:
        return f"{fewest} to {most} seeds"
    return f"{most} seed{'' if most == 1 else 's'}"


# A table is a list of rows of as many texts, the first of them a heading.
_Table = Sequence[Sequence[str]]


def _grid(summaries: Sequence[Summary], cell: Callable[[Summary], str]) -> _Table:
    """Variants by fractions, of one metric."""
    fractions = sorted({one.fraction for one in summaries})
    rows = [["variant", *map(share, fractions)]]
    for label, found in by_label(summaries).items():
        cells = {one.fraction: cell(one) for one in found}
        rows.append([label, *(cells.get(fraction, _MISSING) for fraction in fractions)])
    return rows


def _by_architecture(
    metric: str, summaries: Sequence[Summary], architectures: Sequence[str]
) -> list[str]:
    """Architectures by variants, of one metric: a section for each fraction."""
    sections = []
    for fraction in sorted({one.fraction for one in summaries}):
        found = [one for one in summaries if one.fraction == fraction]
        cells = {parts(one.variant, architectures): _mean_cell(one) for one in found}
        variants = list(dict.fromkeys(variant for variant, _ in cells))
        rows = [["architecture", *variants]]
        for architecture in architectures:
            of = [cells.get((variant, architecture), _MISSING) for variant in variants]
            rows.append([architecture, *of])
        heading = f"{metric}, architecture x pretraining, {share(fraction)} of labels"
        sections.append(_section(heading, rows, _notes_of_means(found, "Mean")))
    return sections


def _on_off(pairs: Sequence[OnOff]) -> _Table:
    """Pairs by fractions, of one metric."""
    fractions = sorted({pair.on.fraction for pair in pairs})
    head = [f"{share(one)}: {what}" for one in fractions for what in ("off", "on", "on - off")]
    rows: dict[str, dict[float, list[str]]] = {}
    for off, on in pairs:
        cells = [_plain(off.mean), _plain(on.mean), _difference_cell(on)]
        rows.setdefault(f"{off.variant}, {on.variant}", {})[on.fraction] = cells
    missing = [_MISSING] * 3
    return [
        ["off, on", *head],
        *([name, *(cell for one in fractions for cell in of.get(one, missing))]
          for name, of in rows.items()),
    ]  # fmt: skip


def _mean_cell(one: Summary) -> str:
    if math.isnan(one.mean):
        return "n/a"
    deviation = "" if math.isnan(one.sd) else f" ± {one.sd:.3f}"
    return f"{one.mean:.3f}{deviation}" + _between(one.low, one.high, ".3f")


def _plain(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.3f}"


def _difference_cell(one: Summary) -> str:
    if math.isnan(one.difference):
        return "n/a"
    text = f"{one.difference:+.3f}" + _between(one.difference_low, one.difference_high, "+.3f")
    if math.isnan(one.p):
        return text
    holm = "" if math.isnan(one.p_holm) else f" (Holm {_p(one.p_holm)})"
    return f"{text}, p {_p(one.p)}{holm}"


def _between(low: float, high: float, form: str) -> str:
    return "" if math.isnan(low) or math.isnan(high) else f" [{low:{form}}, {high:{form}}]"


def _p(p: float) -> str:
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def _needed_cell(fraction: float, low: float, high: float, smallest: float) -> str:
    def shown(value: float) -> str:
        if not math.isfinite(value):
            return "not reached"
        return "≤ " * (value <= smallest) + share(value, digits=2)

    if math.isnan(low) or math.isnan(high) or (math.isnan(fraction) and math.isinf(low)):
        return shown(fraction)
    return f"{shown(fraction)} [{shown(low)}, {shown(high)}]"


def _notes_of_means(
    summaries: Sequence[Summary], of: str = "By share of the labels: mean"
) -> list[str]:
    seeds = number_of_seeds(summaries)
    deviation = "" if seeds == "1 seed" else " ± standard deviation"
    note = f"{of}{deviation} of {seeds} [95 % interval]."
    return [note, *_note_of_one_seed(summaries)]


def _notes_of_differences(summaries: Sequence[Summary]) -> list[str]:
    note = "Mean difference [95 % interval], two-sided p"
    if not all(math.isnan(one.p_holm) for one in summaries):
        note += ", and p adjusted for all comparisons (Holm)"
    return [f"{note}.", *_note_of_one_seed(summaries)]


def _notes_of_on_off(pairs: Sequence[OnOff]) -> list[str]:
    on = [pair.on for pair in pairs]
    has_p = not all(math.isnan(one.p) for one in on)
    notes = ["Of variants that are alike but for MICLe, at equal shares of the labels."]
    if has_p:
        return [*notes, *_notes_of_differences(on)]
    return [*notes, "Mean difference [95 % interval].", *_note_of_one_seed(on)]


def _note_of_one_seed(summaries: Sequence[Summary]) -> list[str]:
    return [_ONE_SEED] if any(one.seeds == 1 for one in summaries) else []


def _section(heading: str, table: _Table, notes: Sequence[str]) -> str:
    head, *rows = (f"| {' | '.join(row)} |" for row in table)
    rule = "|---" * len(table[0]) + "|"
    return "\n".join([f"## {heading}", "", head, rule, *rows, "", *notes, ""])


def _aligned(table: _Table) -> str:
    """The columns that fit, then the others below, each time behind the first."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    blocks: list[list[int]] = [[]]
    for column in range(1, len(widths)):
        taken = sum(widths[k] + 2 for k in [0, *blocks[-1]])
        if blocks[-1] and taken + 2 + widths[column] > _WIDTH:
            blocks.append([])
        blocks[-1].append(column)
    return "\n\n".join(
        "\n".join(
            "  " + "  ".join(f"{row[k]:{widths[k]}s}" for k in [0, *block]).rstrip()
            for row in table
        )
        for block in blocks
    )
