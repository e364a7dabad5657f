"""What a study leaves for people: tables, curves, and in words what was found."""

import math
import os
from collections.abc import Callable, Collection, Sequence
from typing import Any

import tensorflow as tf

from micle_tf import console
from micle_tf.files import write_text
from micle_tf.program import typed
from micle_tf.run_config import is_finished
from micle_tf.study import curve, results, tables
from micle_tf.study.architectures import named, parts
from micle_tf.study.directory import StudyDirectory
from micle_tf.study.results import Judged
from micle_tf.study.runs import Planned, lower_is_better
from micle_tf.study.specification import Study
from micle_tf.study.tables import Summary
from micle_tf.study.working import read_result

_LEVEL = 0.05  # of an adjusted p, up to which a difference counts as shown


def write(directory: StudyDirectory, study: Study, runs: Sequence[Planned], samples: int) -> None:
    """Writes study.csv, tables.csv, tables.md and the curves of what is finished, and says it.

    What a study that was cut down has no rows for any more, micle.csv or labels_needed.csv, is
    removed; curves of before stay.

    Args:
      directory: `StudyDirectory`.
      study: `Study`.
      runs: of it.
      samples: resamples of patients.

    Raises:
      BadInput: as `results.judged`, study.csv being there; or a result.json is damaged.
    """
    places = {run.path: directory.run(run) for run in runs if is_finished(directory.run(run))}
    found = {path: read_result(place) for path, place in places.items()}
    file = lambda name: os.path.join(directory.path, name)
    with directory.locked():  # as other processes may end just now
        write_text(file("study.csv"), results.tidy(runs, found))
    judged, left_out = results.judged(study, runs, places, samples)
    summaries = [one for each in judged for one in each.summaries]
    markdown = "\n".join(_markdown(study, each) for each in judged)
    with directory.locked():
        write_text(file("tables.csv"), tables.csv_text(summaries, tuple(study.architectures)))
        write_text(file("tables.md"), markdown)
        micle = [pair for each in judged for pair in each.micle]
        _write_or_remove(file("micle.csv"), micle, tables.on_off_csv)
        needed = [(each.stage, *one) for each in judged for one in each.needed]
        _write_or_remove(file("labels_needed.csv"), needed, tables.label_efficiency_csv)
        pictures = [file(name) for each in judged for name in _draw(directory, study, each)]
    for line in left_out:
        console.say(line)
    for each in judged:
        console.say(f"\n{study.name}, {each.stage}")
        table = tables.terminal(each.summaries, primary=each.primary, **_names(study))
        console.say(table.rstrip())
    if judged:
        for each in judged:
            for line in in_words(study, each):
                console.say(line)
        console.say(f"tables: {', '.join([file('tables.md'), *pictures])}")
    else:
        console.say("no variant has all of its runs yet, so that there is nothing to compare")
    console.say(f"every number: {file('study.csv')}")
    best = best_run(study, runs, judged[0]) if judged else None
    if best is not None:
        checkpoint = f"--checkpoint={directory.run(best)}"
        console.say(f"next: {typed('--mode=export', checkpoint)}")


def _write_or_remove(path: str, rows: Sequence[Any], text_of: Callable[[Any], str]) -> None:
    """Writes a table that a study may lack; without rows, one of before is there no longer."""
    if rows:
        write_text(path, text_of(rows))
    elif tf.io.gfile.exists(path):
        tf.io.gfile.remove(path)


def _draw(directory: StudyDirectory, study: Study, found: Judged) -> list[str]:
    """Draws the curves of a table, one for each architecture, and names those that are defined."""
    curve_of = "curve" if found.stage == results.TEST else f"curve-{found.stage}"
    drawn = []
    for architecture in study.architectures or ("",):
        shown = [
            one
            for one in found.summaries
            if parts(one.variant, study.architectures)[1] == architecture
        ]
        if all(math.isnan(one.mean) for one in shown if one.metric == found.primary):
            continue
        name, reference = named(curve_of, architecture), named(study.reference, architecture)
        path = os.path.join(directory.path, name)
        curve.draw(shown, path, metric=found.primary, reference=reference)
        drawn.append(f"{name}.png")
    return drawn


def _names(study: Study) -> dict[str, Any]:
    """How tables tell the variants of a study apart."""
    return {"reference": study.reference, "architectures": tuple(study.architectures)}


def in_words(study: Study, found: Judged) -> list[str]:
    """A sentence for each variant against the reference, with most labels that the study has.

    Of a stage that transfers, its name stands before each, and there is none where the reference is
    not judged on it; what is said of seeds and labels is of the judged stages alone.
    """
    primary = [one for one in found.summaries if one.metric == found.primary]
    fractions = {one.fraction for one in primary}
    transferred = found.stage != results.TEST
    judged = {one.variant for one in primary} if transferred else study.named_variants()
    lines = [
        _sentence(one, reference)
        for one in primary
        if one.fraction == max(fractions)
        and (reference := study.reference_of(one.variant)) != one.variant
        and reference in judged
    ]
    lines += [
        _sentence(on, off.variant)
        for off, on in found.micle
        if (on.metric, on.fraction) == (found.primary, max(fractions))
        and study.reference_of(on.variant) not in (off.variant, on.variant)  # said already
    ]
    if transferred:
        return [f"{found.stage}: {line}" for line in lines]
    if any(one.seeds == 1 for one in primary):
        lines.append(
            "one seed: another training could come out otherwise; seeds = [0, 1, 2] says how much"
        )
    for variant, *needed in found.needed:
        reference = study.reference_of(variant)
        if variant != reference:
            lines.append(_labels(variant, reference, needed, fractions))
    return lines


def _sentence(one: Summary, reference: str) -> str:
    ends = f"{one.difference:+.3f} [{one.difference_low:+.3f}, {one.difference_high:+.3f}]"
    sign = -1 if lower_is_better(one.metric) else 1
    if math.isnan(one.difference_low):
        return f"{one.variant} against {reference}: not known"
    low, high = sorted((sign * one.difference_low, sign * one.difference_high))
    if not (low > 0 or high < 0):
        return f"{one.variant} against {reference}: no difference is shown, {one.metric} {ends}"
    if one.p_holm > _LEVEL:  # not of nan
        return (
            f"{one.variant} against {reference}: no difference is shown for all comparisons "
            f"together, {one.metric} {ends}, p by Holm {one.p_holm:.3f}"
        )
    verdict = "better" if low > 0 else "worse"
    return f"{one.variant} is {verdict} than {reference}: {one.metric} {ends}"


def _labels(
    variant: str, reference: str, needed: Sequence[float], fractions: Collection[float]
) -> str:
    """How many labels a variant needs: `needed` is the fraction and the ends of its interval."""
    most = "all labels" if max(fractions) == 1 else f"{tables.share(max(fractions))} of the labels"
    if math.isnan(needed[0]):
        return f"{variant} does not reach what {reference} does with {most}"
    fewer = " or fewer" * (needed[0] <= min(fractions))
    ends = [tables.share(one, 2) if math.isfinite(one) else "never" for one in needed[1:]]
    is_known = not any(map(math.isnan, needed))
    interval = f" [95 % interval over patients: {', '.join(ends)}]" * is_known
    return (
        f"{variant} needs {tables.share(needed[0], 2)}{fewer} of the labels{interval} to be as "
        f"good as {reference} with {most}"
    )


def _markdown(study: Study, found: Judged) -> str:
    names = _names(study)
    sections = [tables.markdown(found.summaries, primary=found.primary, of=found.shown, **names)]
    if found.micle:
        sections.append(tables.on_off_markdown(found.micle, found.shown))
    if found.needed:
        smallest = min(one.fraction for one in found.summaries)
        reference = tables.of_each(**names)
        sections.append(
            tables.label_efficiency_markdown(found.needed, reference=reference, smallest=smallest)
        )
    return f"# {study.name}: {found.stage}\n\n" + "\n".join(sections)


def best_run(study: Study, runs: Sequence[Planned], found: Judged) -> Planned | None:
    """The best variant's first run with most labels; None where no mean is defined."""
    sign = -1 if lower_is_better(found.primary) else 1
    primary = [one for one in found.summaries if one.metric == found.primary]
    most = max(one.fraction for one in primary)
    at_most = [one for one in primary if one.fraction == most and not math.isnan(one.mean)]
    best = max(at_most, key=lambda one: sign * one.mean, default=None)
    return next(
        (run for run in runs if run.kind == "judged" and run.fraction == most
         and best is not None and best.variant in run.variants),
        None,
    )  # fmt: skip
