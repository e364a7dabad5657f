"""What a study leaves for people: tables, curves, and in words what was found."""

import math
import os
from collections.abc import Sequence

from micle_tf import console
from micle_tf.files import write_text
from micle_tf.program import typed
from micle_tf.study import curve, results, tables
from micle_tf.study.directory import StudyDirectory
from micle_tf.study.results import Judged
from micle_tf.study.runs import Planned, lower_is_better
from micle_tf.study.specification import Study
from micle_tf.study.tables import Summary
from micle_tf.study.working import read_result


def write(directory: StudyDirectory, study: Study, runs: Sequence[Planned], samples: int) -> None:
    """Writes study.csv, tables.csv, tables.md and the curves of what is finished, and says it.

    Args:
      directory: `StudyDirectory`.
      study: `Study`.
      runs: of it.
      samples: resamples of patients.
    """
    done = [run for run in runs if os.path.exists(_result(directory, run))]
    places = {run.path: directory.run(run) for run in done}
    found = {path: read_result(place) for path, place in places.items()}
    file = lambda name: os.path.join(directory.path, name)
    write_text(file("study.csv"), results.tidy(runs, found))
    judged, missing = results.judged(study, runs, places, samples)
    for name in missing:
        console.say(f"not in the tables, as runs of it are not there: {name}")
    summaries = [one for each in judged for one in each.summaries]
    write_text(file("tables.csv"), tables.csv_text(summaries))
    write_text(file("tables.md"), "\n".join(_markdown(study, each) for each in judged))
    for each in judged:
        name = "curve" if each.stage == "test" else f"curve-{each.stage}"
        if any(one.mean == one.mean for one in each.summaries if one.metric == each.primary):
            curve.draw(each.summaries, file(name), metric=each.primary, reference=study.reference)
        title = "" if each.stage == "test" else f" ({each.stage})"
        console.say(f"\n{study.name}{title}, test")
        table = tables.terminal(each.summaries, reference=study.reference, primary=each.primary)
        console.say(table.rstrip())
    if judged:
        for line in in_words(study, judged[0]):
            console.say(line)
        console.say(f"tables: {file('tables.md')}, picture: {file('curve.png')}")
        console.say(f"every number: {file('study.csv')}")
        console.say(f"next: {_next(directory, study, runs, judged[0])}")


def in_words(study: Study, found: Judged) -> list[str]:
    """A sentence for each variant against the reference, with all labels that it had."""
    primary = [one for one in found.summaries if one.metric == found.primary]
    most = max(one.fraction for one in primary)
    lines = []
    for one in primary:
        if one.fraction == most and one.variant != study.reference:
            lines.append(_sentence(one, study.reference))
    if any(one.seeds == 1 for one in primary):
        lines.append(
            "one seed: another training could come out otherwise; seeds = [0, 1, 2] says how much"
        )
    for variant, needed, low, high in found.needed:
        if variant != study.reference:
            lines.append(_labels(variant, study.reference, needed, low, high))
    return lines


def _sentence(one: Summary, reference: str) -> str:
    ends = f"{one.difference:+.3f} [{one.difference_low:+.3f}, {one.difference_high:+.3f}]"
    sign = -1 if lower_is_better(one.metric) else 1
    if math.isnan(one.difference_low):
        return f"{one.variant} against {reference}: not known"
    low, high = sorted((sign * one.difference_low, sign * one.difference_high))
    if low > 0:
        return f"{one.variant} is better than {reference}: {one.metric} {ends}"
    if high < 0:
        return f"{one.variant} is worse than {reference}: {one.metric} {ends}"
    return (
        f"{one.variant} against {reference}: no difference is shown, and none is excluded within "
        f"{ends}"
    )


def _labels(variant: str, reference: str, needed: float, low: float, high: float) -> str:
    if math.isnan(needed):
        return f"{variant} does not reach what {reference} does with all labels"
    shown = lambda value: tables.share(value, 2) if math.isfinite(value) else "never"
    return (
        f"{variant} needs {shown(needed)} of the labels [{shown(low)}, {shown(high)}] to be as "
        f"good as {reference} with all of them"
    )


def _markdown(study: Study, found: Judged) -> str:
    of = {"reference": study.reference}
    title = "test" if found.stage == "test" else f"{found.stage}, which no model learned from"
    text = f"# {study.name}: {title}\n\n"
    text += tables.markdown(found.summaries, primary=found.primary, of=found.shown, **of)
    if found.needed:
        smallest = min(one.fraction for one in found.summaries)
        text += "\n" + tables.label_efficiency_markdown(found.needed, smallest=smallest, **of)
    return text


def _next(directory: StudyDirectory, study: Study, runs: Sequence[Planned], found: Judged) -> str:
    """An export of the best variant's first run with most labels."""
    sign = -1 if lower_is_better(found.primary) else 1
    primary = [one for one in found.summaries if one.metric == found.primary]
    most = max(one.fraction for one in primary)
    at_most = [one for one in primary if one.fraction == most and one.mean == one.mean]
    best = max(at_most, key=lambda one: sign * one.mean, default=None)
    run = next(
        run for run in runs if run.kind == "judged" and run.fraction == most
        and (best is None or best.variant in run.variants)
    )  # fmt: skip
    return typed("--mode=export", f"--checkpoint={directory.run(run)}")


def _result(directory: StudyDirectory, run: Planned) -> str:
    return os.path.join(directory.run(run), "result.json")
