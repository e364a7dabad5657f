"""What came out of a study, against what the same runs give when they are compared by hand."""

import csv
import dataclasses
import io
import itertools
import json
import math
import os
import re

import numpy as np
import pytest

from micle_tf.errors import BadInput
from micle_tf.evaluation.compare import compare
from micle_tf.evaluation.contrasts import contrasts, statistics_of
from micle_tf.evaluation.predictions_file import read_predictions
from micle_tf.evaluation.variants import read_variants
from micle_tf.statistics import bootstrap, holm, label_efficiency, statistic
from micle_tf.statistics.obuchowski_rockette import of_differences
from micle_tf.study import curve, results, tables
from micle_tf.study.architectures import parts
from micle_tf.study.reading import parse
from micle_tf.study.runs import planned
from tests.study.fake_runs import PATIENTS, finished, judged, labels, scores

TEXT = """
dataset = "derm_cases"
seeds = [0, 1, 2]
label_fractions = [0.1, 1.0]
reference = "supervised"
[stages.simclr]
mode = "pretrain"
[stages.finetune]
mode = "finetune"
[stages.linear_eval]
mode = "linear_eval"
[stages.nih]
mode = "evaluate"
dataset = "nih_chest_xray14"
[variants]
random = ["linear_eval"]
supervised = ["finetune"]
simclr = ["simclr", "finetune", "nih"]
"""
ONE_SEED = TEXT.replace("[0, 1, 2]", "[4]")
SAMPLES = 12
QUALITY = {"random": 0.05, "supervised": 0.2, "simclr": 0.3, "micle": 0.4}


class Made:
    """A study whose runs are finished: `study`, `runs`, and where they lie, `places`.

    Args:
      folder: its directory.
      text: of its file.
      without: paths of runs that are not there.
      **others: of `fake_runs.judged`.
    """

    def __init__(self, folder, text=TEXT, without=(), **others):
        self.study = parse(text, "mine")
        self.runs = planned(self.study, {})
        self.places, self._judged = {}, {}
        for number, run in enumerate(self.runs):
            if run.path in without:
                continue
            self.places[run.path] = os.path.join(folder, run.path)
            if run.fraction is None:
                finished(self.places[run.path])
                continue
            variant, _ = parts(run.variants[0], self.study.architectures)
            quality = QUALITY[variant] + 0.1 * math.log10(run.fraction) * (run.seed != 1)
            of_findings = others.get("multilabel", False)
            predicted = scores(number, max(quality, 0.02), of_findings)
            judged(self.places[run.path], predicted, **others)

    def judged(self, primary=""):
        """As `results.judged`, once; with another primary metric than the study's."""
        if primary not in self._judged:
            study = dataclasses.replace(self.study, primary=primary) if primary else self.study
            self._judged[primary] = results.judged(study, self.runs, self.places, SAMPLES)
        return self._judged[primary]

    def of(self, variant, fraction, kind="judged"):
        """The directories of the seeds of a variant."""
        return [
            self.places[run.path]
            for run in self.runs
            if variant in run.variants and (run.kind, run.fraction) == (kind, fraction)
        ]


@pytest.fixture(scope="module")
def three_seeds(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("three"))


@pytest.fixture(scope="module")
def one_seed(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("one"), ONE_SEED)


def by_cell(found):
    """{(variant, fraction, metric): summary}."""
    return {(one.variant, one.fraction, one.metric): one for one in found.summaries}


def refusal(function, *given):
    with pytest.raises(BadInput) as refused:
        function(*given)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# ---------------------------------------------------------------- by brute force


def auc_macro(label, score):
    """The mean over classes of how often one of it has more than another, of all pairs."""
    values = []
    for k in range(3):
        of, others = score[label == k, k], score[label != k, k]
        above = (of[:, None] > others).mean() + 0.5 * (of[:, None] == others).mean()
        values.append(above if len(of) and len(others) else math.nan)
    return np.mean(values)


def score_of(run):
    rows, *_ = read_predictions(run)
    return rows["case"]["score"]


def of_all_and_of_resamples(runs):
    """AUC of each run's cases [S], and with patients drawn again [samples, S]."""
    label, patient = labels(), np.array([f"p{k % PATIENTS}" for k in range(40)])
    unique, rng, drawn = np.unique(patient), np.random.default_rng(0), []
    every = [score_of(run) for run in runs]
    for _ in range(SAMPLES):
        chosen = unique[rng.choice(len(unique), size=len(unique))]
        rows = np.concatenate([np.flatnonzero(patient == one) for one in chosen])
        drawn.append([auc_macro(label[rows], score[rows]) for score in every])
    return np.array([auc_macro(label, score) for score in every]), np.array(drawn)


VARIANTS = ("random", "supervised", "simclr")
CELLS = [(variant, fraction) for variant in VARIANTS for fraction in (0.1, 1.0)]


@pytest.mark.parametrize("variant, fraction", CELLS)
def test_means_of_seeds_and_their_interval(three_seeds, variant, fraction):
    (found, _), _ = three_seeds.judged()
    one = by_cell(found)[variant, fraction, "case/auc_macro"]
    theta, drawn = of_all_and_of_resamples(three_seeds.of(variant, fraction))
    assert one.seeds == 3 and one.stage == "test"
    assert one.mean == pytest.approx(theta.mean(), abs=1e-12)
    assert one.sd == pytest.approx(np.std(theta, ddof=1), abs=1e-12)
    expected = of_differences(theta, np.cov(drawn, rowvar=False))
    cut = np.clip([expected.low, expected.high], 0, 1)
    assert (one.low, one.high) == pytest.approx(tuple(cut), abs=1e-9)


@pytest.mark.parametrize("variant, fraction", CELLS)
def test_one_seed_has_the_percentiles_of_a_bootstrap(one_seed, variant, fraction):
    (found, _), _ = one_seed.judged()
    one = by_cell(found)[variant, fraction, "case/auc_macro"]
    theta, drawn = of_all_and_of_resamples(one_seed.of(variant, fraction))
    assert one.seeds == 1 and math.isnan(one.sd)
    assert one.mean == pytest.approx(theta[0], abs=1e-12)
    assert (one.low, one.high) == pytest.approx(np.percentile(drawn, (2.5, 97.5)), abs=1e-9)


def test_all_of_one_seed_is_that_of_estimates(one_seed):
    (found, _), _ = one_seed.judged()
    (run,) = one_seed.of("simclr", 0.1)
    rows, names, multilabel = read_predictions(run)
    of = statistics_of(rows, names, multilabel)["case"]
    of = statistic.selected(of, found.shown)
    expected = bootstrap.estimates(of, rows["case"]["patient"], SAMPLES, 0)
    assert found.shown == ("case/auc_macro", "case/top1", "case/balanced_accuracy")
    for metric, estimate in expected.items():
        one = by_cell(found)["simclr", 0.1, metric]
        assert (one.mean, one.low, one.high) == (estimate.value, estimate.low, estimate.high)


def test_intervals_of_two_seeds_stay_in_the_range_of_the_metric(tmp_path):
    """Where one seed does well and the other does not, t of one degree of freedom is wide."""
    made = Made(tmp_path, TEXT.replace("[0, 1, 2]", "[0, 1]"))
    for number, run in enumerate(made.runs):
        if run.fraction is not None:
            quality = 0.9 if (run.seed == 1) == ("simclr" in run.variants) else 0.02
            judged(made.places[run.path], scores(number, quality))
    (found, _), _ = made.judged()
    uncut = []
    for variant, fraction in CELLS:
        one = by_cell(found)[variant, fraction, "case/auc_macro"]
        theta, drawn = of_all_and_of_resamples(made.of(variant, fraction))
        of = of_differences(theta, np.cov(drawn, rowvar=False))
        uncut += [of.low, of.high]
        expected = np.clip([of.low, of.high], 0, 1)
        assert (one.low, one.high) == pytest.approx(expected, abs=1e-9)
    assert min(uncut) < 0 and max(uncut) > 1
    assert all(0 <= one.low <= one.mean <= one.high <= 1 for one in found.summaries)
    known = [one for one in found.summaries if not math.isnan(one.difference)]
    assert all(-1 <= a <= d <= b <= 1 for d, a, b in map(against, known))
    assert {-1, 1} & {end for one in known for end in against(one)[1:]}

    rows = list(csv.DictReader(io.StringIO(tables.csv_text(found.summaries))))
    assert [float(row["high"]) for row in rows] == [one.high for one in found.summaries]
    of = {"reference": "supervised", "primary": found.primary}
    text = tables.markdown(found.summaries, of=found.shown, **of)
    means = text.partition(", difference from supervised")[0]
    ends = [float(end) for pair in re.findall(r"\[(\S+), (\S+)\]", means) for end in pair]
    assert min(ends) == 0 and max(ends) == 1
    figure = curve._figure([one for one in found.summaries if one.metric == found.primary],
                           found.primary, "supervised")  # fmt: skip
    bands = [path.vertices[:, 1] for c in figure.axes[0].collections for path in c.get_paths()]
    assert min(map(np.min, bands)) == pytest.approx(max(0, min(uncut)))
    assert max(map(np.max, bands)) == pytest.approx(min(1, max(uncut)))


# ---------------------------------------------------------------- against the reference


def against(one):
    return one.difference, one.difference_low, one.difference_high


def compared(made, variant, fraction, primary, kind="judged"):
    """As `python -m micle_tf.evaluation.compare` has it of the same runs."""
    texts = [",".join(made.of(one, fraction, kind)) for one in ("supervised", variant)]
    (contrast,) = contrasts(read_variants(texts), SAMPLES, 0, primary).all
    return contrast


@pytest.mark.parametrize(
    "seeds, primary",
    [
        ("one_seed", "case/auc_macro"), ("one_seed", "case/top1"), ("one_seed", "case/auc/b"),
        ("three_seeds", "case/auc_macro"), ("three_seeds", "case/brier"),
    ],
)  # fmt: skip
def test_differences_and_p_are_those_of_a_comparison(seeds, primary, request):
    made = request.getfixturevalue(seeds)
    (found, _), _ = made.judged(primary)
    assert found.primary == found.shown[0] == primary
    cells, p = by_cell(found), {}
    for variant, fraction in itertools.product(("random", "simclr"), (0.1, 1.0)):
        expected = compared(made, variant, fraction, primary)
        p[variant, fraction] = expected.p
        for metric in found.shown:
            one = cells[variant, fraction, metric]
            assert against(one) == expected.differences[metric]
            assert not math.isnan(one.difference_low)
            np.testing.assert_equal(one.p, expected.p if metric == primary else math.nan)
    got = [cells[*cell, primary].p_holm for cell in p]
    assert got == holm.adjusted(list(p.values())).tolist() and not np.isnan(got).any()
    for fraction in (0.1, 1.0):
        one = cells["supervised", fraction, primary]
        assert np.isnan([*against(one), one.p, one.p_holm]).all()


def test_one_seed_is_that_of_the_function_compare(one_seed):
    (found, _), _ = one_seed.judged()
    (a,), (b,) = (one_seed.of(variant, 1.0) for variant in ("supervised", "simclr"))
    one = by_cell(found)["simclr", 1.0, "case/top1"]
    assert against(one) == compare(a, b, samples=SAMPLES)["case/top1"]


# ---------------------------------------------------------------- several architectures

ARCHITECTURES = """
[architectures.r18]
resnet_depth = 18
[architectures.r50x2]
resnet_depth = 50
width_multiplier = 2.0
"""
ONE_ARCHITECTURE = ARCHITECTURES.partition("[architectures.r50x2]")[0]


def as_table(one, **others):
    """A summary's values, under names that tell what differs from another's."""
    return dataclasses.asdict(one) | others


@pytest.mark.parametrize("text", [TEXT, ONE_SEED])
def test_one_architecture_has_the_numbers_of_the_plain_study(tmp_path, text):
    plain, left_out = Made(tmp_path / "plain", text).judged()
    mine, mine_left_out = Made(tmp_path / "mine", text + ONE_ARCHITECTURE).judged()
    assert left_out == mine_left_out == []
    for a, b in zip(plain, mine, strict=True):
        assert (a.stage, a.primary, a.shown) == (b.stage, b.primary, b.shown)
        for one, other in zip(a.summaries, b.summaries, strict=True):
            np.testing.assert_equal(as_table(other), as_table(one, variant=f"{one.variant}-r18"))
        needed = [(f"{variant}-r18", *ends) for variant, *ends in a.needed]
        np.testing.assert_equal([*b.needed], needed)


@pytest.mark.parametrize("text", [TEXT, ONE_SEED])
def test_of_two_each_is_compared_with_its_own_reference(tmp_path, text):
    """All but p by Holm is that of the study of this architecture alone."""
    both = Made(tmp_path, text + ARCHITECTURES)
    (found, nih), _ = both.judged()
    plain = parse(text, "mine")
    tested = []
    for architecture in ("r18", "r50x2"):
        places = {
            run.path: both.places[run.path.replace("/", f"/{architecture}/", 1)]
            for run in planned(plain, {})
        }
        alone, _ = results.judged(plain, planned(plain, {}), places, SAMPLES)
        of = [one for one in found.summaries if one.variant.endswith(f"-{architecture}")]
        for one, other in zip(alone[0].summaries, of, strict=True):
            changed = {"variant": f"{one.variant}-{architecture}", "p_holm": other.p_holm}
            np.testing.assert_equal(as_table(other), as_table(one, **changed))
        needed = [(f"{variant}-{architecture}", *ends) for variant, *ends in alone[0].needed]
        np.testing.assert_equal(
            [one for one in found.needed if one[0].endswith(f"-{architecture}")], needed
        )
        tested += [one for one in of if not math.isnan(one.p)]
    assert len(tested) == 2 * 2 * 2  # architectures, variants, fractions
    family = holm.adjusted([one.p for one in tested])
    assert [one.p_holm for one in tested] == family.tolist()
    assert {one.variant for one in nih.summaries} == {"simclr-r18", "simclr-r50x2"}


def test_a_reference_that_is_missing_leaves_the_other_architecture(tmp_path):
    without = [f"seed4/r18/finetune-{fraction}" for fraction in ("0.1", "1")]
    (found, _), left_out = Made(tmp_path, ONE_SEED + ARCHITECTURES, without).judged()
    assert left_out == [
        f"not in the tables, as runs of it are not there: supervised-r18, {fraction}"
        for fraction in ("0.1", "1")
    ]
    compared = {one.variant for one in found.summaries if not math.isnan(one.difference)}
    assert compared == {"random-r50x2", "simclr-r50x2"}
    assert [variant for variant, *_ in found.needed] == [f"{one}-r50x2" for one in VARIANTS]


# ---------------------------------------------------------------- MICLe on and off

MICLE = """
[stages.half]
mode = "pretrain"
method = "simclr"
[stages.micle]
mode = "pretrain"
method = "micle"
"""


def with_micle(text):
    """With a variant that is that of SimCLR, but for MICLe."""
    text = text.replace('mode = "pretrain"', 'mode = "pretrain"\nmethod = "simclr"')
    return f"{text}\nmicle = ['half', 'micle', 'finetune', 'nih']\n{MICLE}"


def of_pairs(found):
    """{(off, on, fraction, metric): the variant with MICLe, against that without}."""
    return {(off.variant, on.variant, on.fraction, on.metric): on for off, on in found.micle}


@pytest.mark.parametrize("text", [TEXT, ONE_SEED])
def test_what_micle_makes_is_that_of_a_comparison(tmp_path, text):
    made = Made(tmp_path, with_micle(text))
    (found, nih), _ = made.judged()
    on = of_pairs(found)
    assert list(on) == [
        ("simclr", "micle", fraction, metric) for fraction in (0.1, 1.0) for metric in found.shown
    ]
    p = []
    for fraction in (0.1, 1.0):
        texts = [",".join(made.of(one, fraction)) for one in ("simclr", "micle")]
        (expected,) = contrasts(read_variants(texts), SAMPLES, 0, found.primary).all
        p.append(expected.p)
        for metric in found.shown:
            one = on["simclr", "micle", fraction, metric]
            assert against(one) == expected.differences[metric]
            np.testing.assert_equal(one.p, expected.p if metric == found.primary else math.nan)
    of_primary = [on["simclr", "micle", fraction, found.primary] for fraction in (0.1, 1.0)]
    assert [one.p_holm for one in of_primary] == holm.adjusted(p).tolist()
    assert [one.stage for one in on.values()] == ["test"] * len(on)
    assert len(nih.micle) == len(found.micle)
    cells = by_cell(found)
    for off, one in found.micle:  # all else is what the other tables say of them
        assert off is cells[off.variant, off.fraction, off.metric]
        assert one.mean == cells[one.variant, one.fraction, one.metric].mean
        assert one.difference == pytest.approx(one.mean - off.mean, abs=1e-12)


def test_where_the_reference_is_without_micle_it_is_said_of_both_alike(tmp_path):
    text = with_micle(ONE_SEED).replace('reference = "supervised"', 'reference = "simclr"')
    (found, _), _ = Made(tmp_path, text).judged()
    for (_, variant, fraction, metric), one in of_pairs(found).items():
        other = by_cell(found)[variant, fraction, metric]
        assert against(one) == against(other)
        np.testing.assert_equal(one.p, other.p)
        np.testing.assert_equal(one.p_holm, other.p_holm)  # one comparison has one


def test_pairs_of_architectures_and_of_what_is_there(tmp_path):
    without = ["seed4/r18/simclr/finetune-1", "seed4/r50x2/half/micle/finetune-0.1"]
    (found, _), _ = Made(tmp_path, with_micle(ONE_SEED) + ARCHITECTURES, without).judged()
    assert list(dict.fromkeys(key[:3] for key in of_pairs(found))) == [
        ("simclr-r18", "micle-r18", 0.1), ("simclr-r50x2", "micle-r50x2", 1.0),
    ]  # fmt: skip


def test_without_such_variants_there_are_no_pairs(one_seed):
    assert all(one.micle == () for one in one_seed.judged()[0])


# ---------------------------------------------------------------- labels needed


@pytest.mark.parametrize("primary, sign", [("case/auc_macro", 1), ("case/brier", -1)])
def test_labels_needed_are_of_the_means(three_seeds, primary, sign):
    """Of a metric of which low values are good, of its negative."""
    (found, _), _ = three_seeds.judged(primary)
    mean = {key[:2]: sign * one.mean for key, one in by_cell(found).items() if key[2] == primary}
    assert [variant for variant, *_ in found.needed] == [*VARIANTS]
    for variant, needed, low, high in found.needed:
        curve = [mean[variant, fraction] for fraction in (0.1, 1.0)]
        expected = label_efficiency.needed([0.1, 1.0], curve, mean["supervised", 1.0])
        np.testing.assert_equal(needed, expected)
        assert low <= high
    by_variant = {variant: needed for variant, needed, *_ in found.needed}
    assert by_variant["simclr"] < 1 and by_variant["supervised"] <= 1


def test_the_interval_of_labels_needed_is_over_the_same_resamples(three_seeds):
    (found, _), _ = three_seeds.judged()
    cells = [("simclr", 0.1), ("simclr", 1.0), ("supervised", 1.0)]
    drawn = [of_all_and_of_resamples(three_seeds.of(*cell))[1].mean(axis=1) for cell in cells]
    low, high = label_efficiency.interval([0.1, 1.0], np.array(drawn[:2]).T, drawn[2])
    (needed,) = [of[2:] for of in found.needed if of[0] == "simclr"]
    assert needed == pytest.approx((low, high), abs=1e-9)


def test_of_one_fraction_no_labels_are_needed(tmp_path):
    text = ONE_SEED.replace("label_fractions = [0.1, 1.0]", "")
    (found, _), _ = Made(tmp_path, text).judged()
    assert found.needed == () and len(found.summaries) == 3 * 3


# ---------------------------------------------------------------- what is there


def test_runs_that_are_missing_are_named_and_the_others_judged(tmp_path):
    without = ["seed1/linear_eval-0.1", "seed2/simclr/finetune-1", "seed2/simclr/finetune-1/nih"]
    found, left_out = Made(tmp_path, without=without).judged()
    assert left_out == [
        "not in the tables, as runs of it are not there: random, 0.1",
        "not in the tables, as runs of it are not there: simclr, 1",
        "not in the table of nih, as runs of it are not there: simclr, 1",
    ]
    cells = {key[:2] for key in by_cell(found[0])}
    assert cells == {*CELLS} - {("random", 0.1), ("simclr", 1.0)}
    one = by_cell(found[0])["simclr", 0.1, "case/auc_macro"]
    assert not math.isnan(one.p) and one.p_holm >= one.p
    assert [variant for variant, *_ in found[0].needed] == ["random", "supervised", "simclr"]


def test_without_the_reference_nothing_is_compared(tmp_path):
    without = ["seed4/finetune-0.1", "seed4/finetune-1"]
    (found, _), _ = Made(tmp_path, ONE_SEED, without=without).judged()
    assert found.needed == ()
    assert np.isnan([(one.difference, one.p, one.p_holm) for one in found.summaries]).all()
    assert {one.variant for one in found.summaries} == {"random", "simclr"}


def test_nothing_is_there(tmp_path):
    made = Made(tmp_path, ONE_SEED)
    found, left_out = results.judged(made.study, made.runs, {}, SAMPLES)
    assert found == [] and len(left_out) == 6 + 2


def test_fractions_that_hardly_differ_are_two(tmp_path):
    text = ONE_SEED.replace("[0.1, 1.0]", "[0.1234567, 0.1234568]")
    (found, _), _ = Made(tmp_path, text).judged()
    assert {one.fraction for one in found.summaries} == {0.1234567, 0.1234568}


@pytest.mark.parametrize("seeds", [1, 3])
def test_findings(tmp_path, seeds):
    made = Made(tmp_path, TEXT if seeds == 3 else ONE_SEED, multilabel=True)
    (found, _), _ = made.judged()
    assert found.primary == "case/findings/auc_mean" and found.shown == (found.primary,)
    for variant in ("random", "simclr"):
        expected = compared(made, variant, 1.0, found.primary)
        one = by_cell(found)[variant, 1.0, found.primary]
        assert against(one) == expected.differences[found.primary] and one.p == expected.p


def test_images_alone(tmp_path):
    (found, _), _ = Made(tmp_path, ONE_SEED, level="image").judged()
    assert found.shown == ("image/auc_macro", "image/top1", "image/balanced_accuracy")


# ---------------------------------------------------------------- stages that transfer


def test_stages_that_transfer_have_a_table_of_their_own(tmp_path):
    text = TEXT.replace('["finetune"]', '["finetune", "nih"]')
    made = Made(tmp_path, text)
    found, left_out = made.judged()
    assert [one.stage for one in found] == ["test", "nih"] and left_out == []
    nih = found[1]
    assert {(one.variant, one.stage) for one in nih.summaries} == {
        ("supervised", "nih"), ("simclr", "nih"),
    }  # fmt: skip
    expected = compared(made, "simclr", 0.1, "case/auc_macro", "transfer")
    one = by_cell(nih)["simclr", 0.1, "case/auc_macro"]
    assert against(one) == expected.differences["case/auc_macro"] and one.p == expected.p
    family = [by_cell(nih)["simclr", fraction, "case/auc_macro"] for fraction in (0.1, 1.0)]
    assert [one.p_holm for one in family] == holm.adjusted([one.p for one in family]).tolist()


def test_other_data_that_has_not_the_metric_takes_no_table_from_the_others(tmp_path):
    made = Made(tmp_path, f'primary = "case/auc_macro"\n{ONE_SEED}')
    for run in made.runs:
        if run.kind == "transfer":
            judged(made.places[run.path], scores(0, 0.3, True), multilabel=True)
    found, left_out = made.judged()
    assert [one.stage for one in found] == ["test"]
    (line,) = left_out
    assert line.startswith("no table of nih: primary: case/auc_macro is not defined by what was")


# ---------------------------------------------------------------- what cannot be judged


@pytest.mark.parametrize(
    "primary, words",
    [
        ("case/auc_macr", "case/auc_macr is not defined by what was predicted; did you mean "),
        ("findings/auc_mean", "findings/auc_mean is not defined by what was predicted"),
        ("calibrated/case/ece", "calibrated/case/ece is not defined by what was predicted"),
    ],
)
def test_a_metric_that_is_not_defined_is_named(one_seed, primary, words):
    assert refusal(one_seed.judged, primary).startswith(f"primary: {words}")


def test_predictions_without_labels_define_no_auc(tmp_path):
    made = Made(tmp_path, ONE_SEED)
    for run in made.runs:
        if run.kind == "judged":
            path = os.path.join(made.places[run.path], "predictions.csv")
            with open(path, encoding="utf-8") as file:
                header, *rows = csv.reader(file)
            with open(path, "w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([header, *([*r[:4], "", *r[5:]] for r in rows)])
    assert refusal(made.judged) == (
        "primary: what was predicted defines no AUC; name another metric"
    )


def test_damaged_and_foreign_predictions_are_named(tmp_path):
    made = Made(tmp_path, ONE_SEED)
    place = made.places["seed4/finetune-1"]
    judged(place, scores(0, 0.3, True), multilabel=True)
    assert f"{place}: predicts other classes or findings than" in refusal(made.judged)
    os.remove(os.path.join(place, "predictions.csv"))
    assert f"{place}/predictions.csv: cannot be read" in refusal(made.judged)


@pytest.mark.parametrize("allowed", [False, True])
def test_who_may_learn_from_what_is_judged_is_the_study_s_to_say(tmp_path, capsys, allowed):
    text = ONE_SEED + "[common]\nallow_seen = true\n" * allowed
    made = Made(tmp_path, text)
    place = made.places["seed4/finetune-1"]
    result = {"seen": {"learned": {"images": 3}, "judged": {"images": 40}}, "metrics": {}}
    with open(os.path.join(place, "result.json"), "w", encoding="utf-8") as file:
        json.dump(result, file)
    if not allowed:
        assert "learned from 3 of the 40 images" in refusal(made.judged)
    else:
        assert len(made.judged()[0]) == 2
        assert f"warning: {place} learned from 3" in capsys.readouterr().out


# ---------------------------------------------------------------- study.csv


def test_every_number_of_every_judged_run_has_a_row_for_each_variant(tmp_path):
    text = TEXT.replace("nih = ", "").replace(
        "[variants]", '[variants]\nagain = ["simclr", "finetune"]'
    )
    study = parse(text + "[grid.finetune]\nlearning_rate = [0.1, 1]\n", "mine")
    runs = planned(study, {})
    grid = "seed0/simclr/finetune-1-grid/learning_rate_0.1"
    judged_run, nih = "seed2/simclr/finetune-1", "seed2/simclr/finetune-1/nih"
    found = {
        "seed0/simclr": {"metrics": {"loss": 3}},
        grid: {"metrics": {"a": 0.25}, "intervals": {"a": [0.1, None]}},
        judged_run: {"metrics": {"a": 1 / 3, "b": None}, "intervals": {"a": [0.1, 0.5]}},
        nih: {},
    }
    rows = list(csv.DictReader(io.StringIO(results.tidy(runs, found))))
    of_grid = ["finetune", "1.0", "0", "validation", "a", "0.25", "0.1", "", grid]
    of_run = ["finetune", "1.0", "2", "test"]
    expected = [
        of_grid,
        [*of_run, "a", repr(1 / 3), "0.1", "0.5", judged_run],
        [*of_run, "b", "", "", "", judged_run],
    ]
    for variant in ("again", "simclr"):
        assert [[*row.values()] for row in rows if row["variant"] == variant] == [
            [variant, *values, ""] for values in expected
        ]
    assert len(rows) == 6
    assert list(rows[0]) == [
        "variant", "stage", "fraction", "seed", "split", "metric", "value", "low", "high", "run",
        "architecture",
    ]  # fmt: skip
