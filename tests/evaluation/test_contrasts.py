"""Differences of variants against the statistics that they are made of, called one by one."""

import dataclasses
import math

import numpy as np
import pytest

from micle_tf.errors import BadInput
from micle_tf.evaluation import judging, metrics
from micle_tf.evaluation.contrasts import _levels, _measure, contrasts
from micle_tf.evaluation.variants import Variant, Variants
from micle_tf.statistics import bootstrap, holm, obuchowski_rockette, panel
from micle_tf.statistics.obuchowski import paired_difference
from micle_tf.statistics.permutation import swap_test
from micle_tf.statistics.questions import Questions, operating_points
from micle_tf.statistics.statistic import difference, selected

NAMES = ("a", "b", "c")
N = 60
LABEL = np.random.default_rng(0).integers(0, 3, N)
FINDINGS = np.random.default_rng(1).integers(-2, 2, (N, 3))
PATIENT = np.array([f"p{k}" for k in np.random.default_rng(2).integers(0, 25, N)])


def rows_of(seed, multilabel=False, level="image"):
    rng = np.random.default_rng(seed)
    label = FINDINGS if multilabel else LABEL
    truth = (label == 1) if multilabel else np.eye(3)[label]
    score = rng.dirichlet(np.ones(3), N) * 0.7 + 0.3 * truth / max(1, truth.sum(axis=1).max())
    return {level: {"label": label, "score": score, "patient": PATIENT}}


def variants_of(*seeds, multilabel=False, level="image"):
    """Each a tuple of seeds."""
    tables = [
        Variant(f"v{k}", tuple(rows_of(s, multilabel, level) for s in of))
        for k, of in enumerate(seeds)
    ]
    return Variants(tuple(tables), NAMES, multilabel)


def statistic_of(seed, names):
    rows = rows_of(seed)["image"]
    of = panel.of_classes(rows["label"], rows["score"], NAMES, panel.Asked()).statistic
    return selected(of, names)


def score(seed, multilabel=False):
    return rows_of(seed, multilabel)["image"]["score"]


def auc_macro(scores):
    return metrics.classification_metrics(LABEL, scores, NAMES)["auc_macro"]


def test_one_model_each_is_a_bootstrap_of_patients_and_an_exchange_of_them():
    found = contrasts(variants_of((1,), (2,)), 50, 3)
    (contrast,) = found.all
    names = ["top1", "f1_macro", "ece", "calibration_slope/b"]
    paired = difference(statistic_of(1, names), statistic_of(2, names))
    for name, one in bootstrap.estimates(paired, PATIENT, 50, 3).items():
        assert contrast.differences[f"image/{name}"] == (one.value, one.low, one.high)
    assert found.primary == "image/auc_macro" and contrast.name == "v1"
    p = swap_test(auc_macro, score(1), score(2), PATIENT, 50, 3, on_ranks=True)
    assert contrast.p == contrast.p_holm == p


def test_the_auc_of_one_class_needs_no_resampling():
    found = contrasts(variants_of((1,), (2,)), 20, 0, "image/auc/b")
    (contrast,) = found.all
    expected = paired_difference(LABEL == 1, score(1)[:, 1], score(2)[:, 1], PATIENT)
    ends = expected.value, expected.low, expected.high
    assert contrast.differences["image/auc/b"] == ends and contrast.p == expected.p


def test_of_findings_the_rows_where_one_is_known():
    (contrast,) = contrasts(variants_of((1,), (2,), multilabel=True), 20, 0).all
    known = FINDINGS[:, 2] >= 0
    a, b = (score(seed, True)[known, 2] for seed in (1, 2))
    expected = paired_difference(FINDINGS[known, 2] == 1, a, b, PATIENT[known])
    ends = expected.value, expected.low, expected.high
    assert contrast.differences["findings/auc/c"] == ends
    p = swap_test(
        lambda s: metrics.findings_metrics(FINDINGS, s, NAMES)["findings/auc_mean"],
        score(1, True), score(2, True), PATIENT, 20, 0, on_ranks=True,
    )  # fmt: skip
    assert contrast.p == p


@pytest.mark.parametrize("primary", ["image/top1", "image/brier"])
def test_other_metrics_are_exchanged_as_they_are(primary):
    def measure(scores):
        if primary == "image/top1":
            return metrics.classification_metrics(LABEL, scores, NAMES)["top1"]
        return ((scores - np.eye(3)[LABEL]) ** 2).sum(axis=1).mean()

    (contrast,) = contrasts(variants_of((1,), (2,)), 30, 1, primary).all
    assert contrast.p == swap_test(measure, score(1), score(2), PATIENT, 30, 1)


@pytest.mark.parametrize("multilabel", [False, True])
def test_one_metric_is_that_of_the_panel(multilabel):
    """Of other scores too, as an exchange makes them."""
    variants = variants_of((1,), (2,), multilabel=multilabel)
    levels = [_levels(variants, number, False)["image"] for number in (0, 1)]
    first, second = (level.statistics[0] for level in levels)
    names = [name for name in first.names if name in second.names]
    assert len(names) > 30
    for level, statistic in zip(levels, (first, second), strict=True):
        values = statistic(np.ones(len(level.label), int)).tolist()
        expected = dict(zip(statistic.names, values, strict=True))
        for name in names:
            found = _measure(levels[0], name)(level.scores[0])
            assert found == pytest.approx(expected[name], rel=1e-9, abs=1e-12), name


def test_a_mean_is_of_the_same_classes_whatever_the_scores():
    level = _levels(variants_of((1,), (2,)), 0, False)["image"]
    measure = _measure(level, "image/ppv_macro")
    assert math.isnan(measure(level.scores[0] * [1, 1, 0])) and measure(level.scores[0]) > 0


def test_seeds_are_readers_and_several_variants_a_family():
    seeds = ((1, 2, 3), (4, 5, 6), (7, 8, 9))
    found = contrasts(variants_of(*seeds), 40, 2, "image/top1")
    names = ["top1", "auc/a", "ece"]
    for contrast, of in zip(found.all, seeds[1:], strict=True):
        a, b = ([statistic_of(s, names) for s in one] for one in (seeds[0], of))
        expected = obuchowski_rockette.seeds_as_readers(a, b, PATIENT, 40, 2)
        for name, one in expected.items():
            ends = one.value, one.low, one.high
            assert contrast.differences[f"image/{name}"] == ends
        assert contrast.p == expected["top1"].p
        for name in names:
            once = (np.mean([one(np.ones(N, int))[names.index(name)] for one in s]) for s in (a, b))
            assert contrast.values[f"image/{name}"] == tuple(once)
    adjusted = holm.adjusted([one.p for one in found.all])
    assert [one.p_holm for one in found.all] == adjusted.tolist()


def test_cases_come_before_images_and_what_has_no_labels_is_left_out():
    variants = variants_of((1,), (2,))
    for variant in variants.all:
        (rows,) = variant.seeds
        rows["case"] = {name: values[::2] for name, values in rows["image"].items()}
    found = contrasts(variants, 10, 0)
    assert found.primary == "case/auc_macro"
    for variant in variants.all:
        (rows,) = variant.seeds
        rows["case"] = rows["case"] | {"label": np.full(N // 2, -1)}
    found = contrasts(variants, 10, 0)
    assert found.primary == "image/auc_macro"
    assert not any(name.startswith("case/") for name in found.all[0].differences)


def test_without_any_auc_there_is_no_p():
    variants = variants_of((1,), (2,))
    for variant in variants.all:
        (rows,) = variant.seeds
        rows["image"] = rows["image"] | {"label": np.zeros(N, int)}
    found = contrasts(variants, 10, 0)
    assert found.primary == "" and math.isnan(found.all[0].p)
    assert found.undefined["image/auc/a"] == f"no negative among {N} rows"
    assert found.undefined["image/auc/b"] == f"no positive among {N} rows"
    assert "image/top1" in found.all[0].differences
    with pytest.raises(BadInput, match="--primary=image/auc_macro: is not there"):
        contrasts(variants, 10, 0, "image/auc_macro")


def test_accuracies_and_aucs_alone_are_the_same():
    variants = variants_of((1, 2), (3, 4))
    whole = contrasts(variants, 20, 0)
    part = contrasts(variants, 20, 0, discrimination=True)
    assert part.primary == whole.primary and part.all[0].p == whole.all[0].p
    found = part.all[0].differences
    assert found == {name: whole.all[0].differences[name] for name in found}
    assert "image/balanced_accuracy" in found and "image/ece" not in found
    assert (
        "image/ece"
        in contrasts(variants, 5, 0, "image/ece", discrimination=True).all[0].differences
    )


def decided_for(seed, classes):
    """Rows of a model that never decides for another class."""
    rows = rows_of(seed)
    rows["image"]["score"] = rows["image"]["score"] * np.isin(np.arange(3), classes)
    return rows


def test_a_mean_is_compared_where_it_is_over_the_same_classes_in_all_variants_and_seeds():
    """The PPV of c is not defined in v1: its mean would be over a and b there, over all in v0."""
    whole, part = (rows_of(1),), (decided_for(2, [0, 1]),)
    found = contrasts(Variants((Variant("v0", whole), Variant("v1", part)), NAMES, False), 10, 0)
    assert found.of_other_classes == {"image/ppv_macro": "v1"}
    (contrast,) = found.all
    assert "image/ppv_macro" not in contrast.differences
    of_a, of_b = (rows_of(1)["image"], part[0]["image"])
    ppv = lambda rows, k: (rows["label"] == k)[rows["score"].argmax(axis=1) == k].mean()
    expected = ppv(of_b, 0) - ppv(of_a, 0)
    assert contrast.differences["image/ppv/a"][0] == pytest.approx(expected, abs=1e-12)
    assert {"image/npv_macro", "image/auc_macro", "image/sensitivity_macro"} <= set(
        contrast.differences
    )
    with pytest.raises(
        BadInput, match="--primary=image/ppv_macro: is over other classes or findings in v1"
    ):
        contrasts(
            Variants((Variant("v0", whole), Variant("v1", part)), NAMES, False), 10, 0,
            "image/ppv_macro",
        )  # fmt: skip
    same = Variants((Variant("v0", part), Variant("v1", (decided_for(3, [0, 1]),))), NAMES, False)
    found = contrasts(same, 10, 0)
    assert not found.of_other_classes and "image/ppv_macro" in found.all[0].differences
    seeds = Variants((Variant("v0", whole * 2), Variant("v1", (*whole, *part))), NAMES, False)
    assert contrasts(seeds, 10, 0).of_other_classes == {"image/ppv_macro": "v1"}


@pytest.mark.parametrize("seeds", [1, 2])
def test_resamples_that_do_not_define_a_number_are_counted(seeds):
    """Of class c two rows are left, of two patients: some resamples have neither."""
    variants = variants_of(tuple(range(seeds)), tuple(range(5, 5 + seeds)))
    label = np.where(np.arange(N) < 2, 2, LABEL % 2)
    for variant in variants.all:
        for rows in variant.seeds:
            rows["image"] = rows["image"] | {"label": label}
    (contrast,) = contrasts(variants, 100, 0).all
    drawn = [(weights * (label == 2)).any() for weights in bootstrap.weights_of(PATIENT, 100, 0)]
    without = drawn.count(False)
    assert 0 < without < 50
    assert contrast.dropped["image/auc_macro"] == contrast.dropped["image/sensitivity/c"] == without
    assert "image/top1" not in contrast.dropped
    assert ("image/auc/c" in contrast.dropped) == (seeds > 1)  # of one seed it is not resampled


def test_what_validation_fixes_is_each_runs_own():
    """Values are those that `judge` gives of each run alone."""
    variants = variants_of((1,), (2,))
    chose = {1: rows_of(11), 2: rows_of(12)}
    for rows in chose.values():
        ids = np.array([["image", str(k), "", str(k)] for k in range(N)])
        rows["image"] = rows["image"] | {"ids": ids}
    with_ids = [
        Variant(one.name, ({"image": one.seeds[0]["image"] | {"ids": ids}},), (chose[k + 1],))
        for k, one in enumerate(variants.all)
    ]
    asked = Questions(operating_points=operating_points("sensitivity@specificity=0.6"))
    variants = dataclasses.replace(variants, all=tuple(with_ids))
    found = contrasts(variants, 20, 0, questions=asked).all[0]
    judged = [
        judging.judge(
            one.seeds[0], NAMES, False, asked,
            judging.from_validation(one.validation[0], NAMES, False, asked.operating_points),
            samples=10, seed=0,
        ).estimates
        for one in variants.all
    ]  # fmt: skip
    for name in ("image/sensitivity/b@specificity=0.6", "calibrated/image/ece", "image/top1"):
        assert found.values[name] == tuple(one[name].value for one in judged)
        assert found.differences[name][0] == found.values[name][1] - found.values[name][0]
    with pytest.raises(BadInput, match="calibrated/image/ece: has no p between two models"):
        contrasts(variants, 20, 0, "calibrated/image/ece", questions=asked)
    alone = dataclasses.replace(with_ids[1], validation=(None,))
    variants = dataclasses.replace(variants, all=(with_ids[0], alone))
    found = contrasts(variants, 20, 0, questions=asked).all[0]
    assert not any("@spec" in name or "calibrated" in name for name in found.differences)
