"""What a study found, in tables: CSV, Markdown, and text for a terminal."""

import csv
import dataclasses
import io
import math
from collections.abc import Callable, Sequence

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
      low, high: ends of the 95 % interval of the mean.
      difference, difference_low, difference_high: from the reference on the same kind of stage and
        fraction, with its 95 % interval; nan for the reference itself.
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


def csv_text(summaries: Sequence[Summary]) -> str:
    """A row for each, under the names of the fields: numbers to the last digit, nan as empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in dataclasses.fields(Summary))
    for one in summaries:
        values = dataclasses.astuple(one)
        writer.writerow("" if value != value else value for value in values)
    return text.getvalue()


def markdown(
    summaries: Sequence[Summary], *, reference: str, primary: str, of: Sequence[str]
) -> str:
    """A table of variants by label fractions for each metric, and of differences for the primary.

    Args:
      summaries: of one or more metrics.
      reference: the variant that the others are compared with.
      primary: the metric whose differences are shown.
      of: the metrics to show, in this order; those that no summary has are left out.

    Returns:
      Sections with a heading of the second level each; "" if none is left.
    """
    sections = []
    for metric in of:
        found = [one for one in summaries if one.metric == metric]
        if not found:
            continue
        sections.append(_section(metric, _grid(found, _mean_cell), _notes_of_means(found)))
        compared = compared_with(reference, found)
        if metric == primary and compared:
            heading = f"{metric}, difference from {reference}"
            notes = _notes_of_differences(compared)
            sections.append(_section(heading, _grid(compared, _difference_cell), notes))
    return "\n".join(sections)


def terminal(summaries: Sequence[Summary], *, reference: str, primary: str) -> str:
    """As `markdown` of the primary metric, in aligned columns.

    Fractions that do not fit into 100 characters come below the others; "" without any summary.
    """
    found = [one for one in summaries if one.metric == primary]
    if not found:
        return ""
    parts = [primary, _aligned(_grid(found, _mean_cell)), *_notes_of_means(found)]
    compared = compared_with(reference, found)
    if compared:
        parts += ["", f"{primary}, difference from {reference}"]
        parts += [_aligned(_grid(compared, _difference_cell)), *_notes_of_differences(compared)]
    return "\n".join(parts) + "\n"


def label_efficiency_markdown(
    needed: Sequence[tuple[str, float, float, float]], *, reference: str, smallest: float
) -> str:
    """A table of the labels that variants need.

    Args:
      needed: (variant, fraction, low, high) as `statistics.label_efficiency` has them: nan for a
        fraction that is not reached, infinite for such an end; nan for ends that are not known.
      reference: the variant that is to be reached.
      smallest: the smallest fraction that was measured; what needs no more may need less.
    """
    rows = [
        (variant, _needed_cell(fraction, low, high, smallest))
        for variant, fraction, low, high in needed
    ]
    notes = [
        f"Share of the labels with which a variant does as well as {reference} with all of them "
        "[95 % interval].",
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


def compared_with(reference: str, summaries: Sequence[Summary]) -> list[Summary]:
    """Those of other variants; none where there is nothing of the reference to compare with."""
    others = [one for one in summaries if one.variant != reference]
    return others if any(not math.isnan(one.difference) for one in others) else []


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


def _mean_cell(one: Summary) -> str:
    if math.isnan(one.mean):
        return "n/a"
    deviation = "" if math.isnan(one.sd) else f" ± {one.sd:.3f}"
    return f"{one.mean:.3f}{deviation}" + _between(one.low, one.high, ".3f")


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


def _notes_of_means(summaries: Sequence[Summary]) -> list[str]:
    seeds = number_of_seeds(summaries)
    deviation = "" if seeds == "1 seed" else " ± standard deviation"
    note = f"By share of the labels: mean{deviation} of {seeds} [95 % interval]."
    return [note, *_note_of_one_seed(summaries)]


def _notes_of_differences(summaries: Sequence[Summary]) -> list[str]:
    note = "Mean difference [95 % interval], two-sided p"
    if not all(math.isnan(one.p_holm) for one in summaries):
        note += ", and p adjusted for all comparisons (Holm)"
    return [f"{note}.", *_note_of_one_seed(summaries)]


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
