"""Is one model better than another? Differences of their metrics, patients resampled in pairs.

    python -m micle_tf.evaluation.compare A B [C ...]

Each is a run directory, or several with commas between them that differ in their seed
(A0,A1,A2 B0,B1,B2: paired in this order), or a CSV file of what somebody else predicted (image_id
and a probability of each class). All predict the same images, or --common takes those that they
share. All others are compared with the first.
"""

import sys
from collections.abc import Sequence

from micle_tf import console, quiet
from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.evaluation.contrasts import Contrast, Contrasts, contrasts
from micle_tf.evaluation.judging import labelled
from micle_tf.evaluation.metric_names import parsed
from micle_tf.evaluation.predictions_file import is_named
from micle_tf.evaluation.shown import main_metrics
from micle_tf.evaluation.variants import Variants, read_variants
from micle_tf.exits import ArgumentParser, guarded
from micle_tf.statistics.questions import Questions

# Flags as of the modes that judge.
_QUESTIONS = {
    "operating_points": "sensitivity@specificity=0.9: thresholds are of each run's validation",
    "prevalence": "at which PPV and NPV are compared too: 0.02, or melanoma:0.02",
    "net_benefit_at": "probabilities from which on somebody would act: 0.05,0.1",
}
LEAST = 10  # resamples, from which on there are percentiles to speak of
_EXAMPLES = 3  # of what is not defined


def compare(
    run_a: str,
    run_b: str,
    samples: int = 1000,
    seed: int = 0,
    common: bool = False,
    allow_seen: bool = False,
) -> dict[str, tuple[float, float, float]]:
    """Differences B - A of all metrics, with 95 % intervals.

    Args:
      run_a, run_b: run directories, local or paths of `tf.io.gfile`, with a predictions.csv of the
        same names and, in any order, the same rows; or what else the command takes.
      samples: resamples of patients (of cases, where no patient is known).
      seed: of the resampling.
      common: compare on the rows that both have, with the same label, and leave out the others.
      allow_seen: compare also where one of the two learned from what it was judged on.

    Returns:
      {"case/top1": (difference, low, high), ...}, names as in result.json; ends that too few rows
      define are nan.

    Raises:
      BadInput: a file is missing or damaged, or the two are not of the same rows, labels and
        names, or share none, or have no labels; or one learned from images that it was judged on,
        labels and all.
    """
    variants = read_variants([run_a, run_b], common, allow_seen)
    (contrast,) = contrasts(variants, samples, seed).all
    return contrast.differences


def main(argv: list[str]) -> int:
    """Prints the comparison; returns the exit code."""

    def command() -> None:
        parser = ArgumentParser(
            prog="python -m micle_tf.evaluation.compare", description=__doc__.split("\n\n")[2]
        )
        parser.add_argument("a", metavar="A", help="with what is compared")
        parser.add_argument("others", metavar="B", nargs="+", help="what is compared with it")
        parser.add_argument(
            "--samples", type=int, default=1000,
            help="resamples of patients, and exchanges of them between two models for a p",
        )  # fmt: skip
        parser.add_argument("--seed", type=int, default=0, help="of the resampling")
        parser.add_argument(
            "--primary",
            default="",
            help="the metric that gets a p (default: macro AUC of the highest level)",
        )
        parser.add_argument("--common", action="store_true", help="only the rows that all have")
        parser.add_argument(
            "--allow_seen", action="store_true", help="also where one learned from what is judged"
        )
        for flag, text in _QUESTIONS.items():
            parser.add_argument(f"--{flag}", default="", help=text)
        parser.add_argument(
            "--calibrated", action="store_true",
            help="also after the temperature scaling that each run's validation gives",
        )  # fmt: skip
        asked = parser.parse_args(argv)
        if asked.samples < LEAST or asked.seed < 0:
            raise BadInput(f"--samples: at least {LEAST}; --seed: at least 0")
        texts = {flag: getattr(asked, flag) for flag in _QUESTIONS}
        questions = Config.of_mode("evaluate", **texts).questions()
        wanted = questions if asked.calibrated or questions != Questions() else None
        variants = read_variants(
            [asked.a, *asked.others], asked.common, asked.allow_seen,
            validation=wanted is not None,
        )  # fmt: skip
        _say_without_validation(variants, wanted)
        seeds = len(variants.all[0].seeds)
        found = contrasts(variants, asked.samples, asked.seed, asked.primary, questions=wanted)
        for contrast in found.all:
            console.say(f"{contrast.name} (B) minus {asked.a} (A), 95 % interval of the pairs:")
            _say(contrast, found, variants.names)
        for line in (
            _compared_on(variants),
            *_explained(found, seeds, asked.samples),
            *_left_out(found, variants.names, asked.samples),
        ):
            console.say(line)

    return guarded(command)


def _say_without_validation(variants: Variants, questions: Questions | None) -> None:
    """Names the variants because of which nothing that rests on validation is compared."""
    for variant in variants.all:
        if questions is not None and None in variant.validation:
            console.say(
                f"note: {variant.name} keeps no validation_predictions.csv: no operating points, "
                "and nothing calibrated"
            )


def _say(contrast: Contrast, found: Contrasts, columns: Sequence[str]) -> None:
    names = _shown(contrast, found.primary, columns)
    width = max(28, *(len(name) for name in names))
    console.say(f"  {'':{width}s}  {'A':>6s}  {'B':>6s}   B - A")
    for name in names:
        a, b = contrast.values[name]
        value, low, high = contrast.differences[name]
        ends = f"[{low:+.3f}, {high:+.3f}]" if low == low else "[too few for an interval]"
        p = _shown_p(contrast, len(found.all)) if name == found.primary else ""
        console.say(f"  {name:{width}s}  {a:6.3f}  {b:6.3f}  {value:+.3f} {ends}{p}")


def _shown(contrast: Contrast, primary: str, columns: Sequence[str]) -> list[str]:
    """The metrics that are printed."""
    names = {*main_metrics(contrast.differences, columns), primary}
    return [name for name in contrast.differences if name in names]


def _shown_p(contrast: Contrast, family: int) -> str:
    if contrast.p != contrast.p:
        return "  p n/a"
    adjusted = f", by Holm {_digits(contrast.p_holm)}" if family > 1 else ""
    return f"  p {_digits(contrast.p)}{adjusted}"


def _digits(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1g}"


def _compared_on(variants: Variants) -> str:
    """How many images, cases and patients the comparison rests on."""
    levels = {level: labelled(rows) for level, rows in variants.all[0].seeds[0].items()}
    there = [console.count(len(rows["label"]), level) for level, rows in levels.items()]
    patients = {patient for rows in levels.values() for patient in rows["patient"].tolist()}
    named = sum(map(is_named, patients))
    others = len(patients) - named
    text = f"compared on {', '.join(there)}"
    if not named:
        return f"{text}; no patient is known, so that cases are resampled"
    text += f" of {console.count(named, 'patient')}"
    if others:
        text += f"; resampled as patients: {console.count(others, 'case')} without one"
    return text


def _explained(found: Contrasts, seeds: int, samples: int) -> list[str]:
    """What the intervals and p hold for."""
    if seeds > 1:
        how = (
            f"intervals and p: of other patients and other seeds (Obuchowski-Rockette, {seeds} "
            "seeds as readers)"
        )
    else:
        how = (
            "intervals: of other patients; how much one training differs from the next is not in "
            "them: name several seeds of each, A0,A1,A2 B0,B1,B2"
        )
    lines = [how]
    if seeds == 1 and any("/auc/" in name for name in found.all[0].differences):
        lines.append(
            "intervals of the AUC of one class or finding: DeLong's, in Obuchowski's form for "
            "several rows of a patient"
        )
    if found.primary and seeds == 1 and "/auc/" not in found.primary:
        lines.append(f"p: the predictions of patients exchanged at random, {samples:,} times")
    if len(found.all) > 1 and found.primary:
        lines.append(f"by Holm: of {len(found.all)} comparisons of {found.primary} together")
    return lines


def _left_out(found: Contrasts, columns: Sequence[str], samples: int) -> list[str]:
    """What is not compared, has no p, or is not defined in all resamples."""
    lines = []
    if not found.primary:
        reasons = (
            f"{name}: {why}" for name, why in found.undefined.items()
            if parsed(name, columns).metric == "auc"
        )  # fmt: skip
        lines.append(f"no p: no AUC is defined ({next(reasons, 'no level has any')})")
    for name, variant in found.of_other_classes.items():
        kind = "findings" if "findings/" in name else "classes"
        lines.append(f"{name}: not compared, defined for other {kind} in {variant}")
    if found.undefined:
        examples = [f"{name}: {why}" for name, why in found.undefined.items()][:_EXAMPLES]
        more = ", ..." * (len(found.undefined) > _EXAMPLES)
        lines.append(
            "not compared, as not defined for all: "
            f"{console.count(len(found.undefined), 'metric')} ({', '.join(examples)}{more})"
        )
    for contrast in found.all:
        shown = _shown(contrast, found.primary, columns)
        for dropped in sorted(set(contrast.dropped.values())):
            names = [name for name in shown if contrast.dropped.get(name) == dropped]
            if names and dropped > samples / 100:
                its = "its interval" if len(names) == 1 else "their intervals"
                lines.append(
                    f"{dropped:,} of {samples:,} resamples do not define {', '.join(names)} and "
                    f"are not in {its}"
                )
    return list(dict.fromkeys(lines))


if __name__ == "__main__":
    quiet.hide_native_messages()
    sys.exit(main(sys.argv[1:]))
