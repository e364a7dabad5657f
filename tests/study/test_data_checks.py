"""What data lacks for a study: metrics that its runs cannot have, classes that a share misses."""

import hashlib
import types

import numpy as np
import pytest

from micle_tf.config import Config, Judging, Selection
from micle_tf.data.supervised import LabelledSplit
from micle_tf.data.targets import Targets
from micle_tf.errors import BadInput
from micle_tf.study.data_checks import check_labels, check_metrics, metrics_of_targets
from micle_tf.study.reading import parse
from micle_tf.study.runs import planned
from tests.data.test_targets import make_index
from tests.study.small_studies import GRID


def refusal_of_metrics(text, of_cases=True, **flags):
    """What is said of the metrics of a study of classes with `GRID`'s stage; "" for nothing."""
    asked = parse(text, "chosen")
    config = Config.of_mode(asked.stages["finetune"]["mode"], **flags)
    groups = {"finetune": (config.part(Selection), config.part(Judging))}
    try:
        check_metrics(asked, Targets(("oval", "ring"), False), groups, of_cases=of_cases)
    except BadInput as error:
        return str(error)
    return ""


def test_metrics_of_cases_are_of_data_whose_cases_have_labels():
    primary = f'primary = "case/auc_macro"\n{GRID}'
    for text in (GRID, primary):
        assert refusal_of_metrics(text) == ""
    of_images = GRID.replace("case/top1", "calibrated/image/ece")
    assert refusal_of_metrics(of_images, of_cases=False) == ""
    assert refusal_of_metrics(f'primary = "case/auc_macro"\n{of_images}', of_cases=False) == (
        "chosen: primary = case/auc_macro: no metric to compare by; did you mean image/auc_macro?"
    )
    for metric in ("case/top1", "calibrated/case/ece"):
        refused = refusal_of_metrics(GRID.replace("case/top1", metric), of_cases=False)
        assert refused.startswith(f"chosen: [select] finetune = {metric}: no metric to compare by")


def test_a_fine_tuning_has_a_loss_on_validation_where_it_is_chosen_by_it():
    text = GRID.replace("case/top1", "validation/loss")
    for best_metric in ("", "image/ece"):
        assert refusal_of_metrics(text, best_metric=best_metric) == (
            "chosen: [select] finetune = validation/loss: a fine-tuning says it if its own best "
            'checkpoint is chosen by it; add best_metric = "loss" to [stages.finetune]'
        )
    assert refusal_of_metrics(text, best_metric="loss") == ""
    tried = text.replace("[select]", 'best_metric = ["loss", "image.ece"]\n[select]')
    assert refusal_of_metrics(tried) == ""
    linear = text.replace('"finetune"\ntrain_batch_size = 8\ntrain_steps = 1', '"linear_eval"')
    linear = linear.replace("learning_rate = [0.01, 0.1]", "sk_ratio = [0, 0.0625]")
    assert refusal_of_metrics(linear) == ""


def test_a_stage_is_chosen_by_what_is_asked_of_it():
    """Whatever is asked of the others."""
    metric = "case/sensitivity/oval@specificity=0.9"
    text = GRID.replace("case/top1", metric)
    assert refusal_of_metrics(text, operating_points="sensitivity@specificity=0.9") == ""
    assert f"[select] finetune = {metric}: no metric" in refusal_of_metrics(text)


# ---------------------------------------------------------------- what a share has of each class


def refusal_of_share(names, labels, seeds, fraction=0.1, per_case=1, left=None):
    """What is said of a share of cases, each of so many images; "" for nothing.

    `left` are the seeds that have runs to be made; None for all.
    """
    text = f"label_fractions = [{fraction}, 0.9]\nseeds = {list(seeds)}\n"
    asked = parse(text + GRID.partition("seeds = [0, 1]")[2], "shares")
    labels = np.array(labels)
    number = np.full(len(labels) // per_case, per_case)
    of = {"findings": labels} if labels.ndim > 1 else {"labels": labels}
    split = types.SimpleNamespace(index=make_index(number, **of))
    there = (labels >= 0).any(axis=1) if labels.ndim > 1 else labels >= 0
    train = LabelledSplit("train", split, labels, np.flatnonzero(there))
    try:
        runs = planned(asked, {"manifest": "cases.csv"})
        runs = [run for run in runs if left is None or run.seed in left]
        judged = [run for run in runs if run.kind == "judged"]
        check_labels(asked, judged, Targets(names, labels.ndim > 1), train)
    except BadInput as error:
        assert "\n" not in str(error)
        return str(error)
    return ""


def test_a_share_has_a_case_of_each_class_wherever_cases_have_one():
    labels = [0] * 60 + [1] * 3 + [-1] * 7
    assert refusal_of_share("ab", labels, range(20), 0.001) == ""
    assert refusal_of_share("abc", labels, [0]) == (
        "shares: label_fractions = 0.1: train has no labelled case of c, so that no share of it "
        "has one of each class"
    )


def test_a_class_that_is_never_the_first_of_a_case_may_not_be_drawn():
    """One of ten cases has b, on its second image; that of the lowest hash is drawn."""
    labels = [0, 1] + [0, 0] * 9
    drawn = [seed for seed in range(12) if not refusal_of_share("ab", labels, [seed], per_case=2)]
    by_hash = lambda seed: min(
        range(10), key=lambda c: hashlib.sha256(f"{seed} c{c}".encode()).digest()
    )
    assert drawn == [seed for seed in range(12) if by_hash(seed) == 0] and 0 < len(drawn) < 12
    other = next(seed for seed in range(12) if seed not in drawn)
    assert refusal_of_share("ab", labels, [drawn[0], other], per_case=2) == (
        f"shares: label_fractions = 0.1: of train, seed {other} draws no labelled case of b; take "
        "a larger share"
    )


def present(*cases):
    """[40] of 0 and 1."""
    return np.isin(np.arange(40), cases).astype(int)


@pytest.mark.parametrize(
    "findings, kind",
    [
        # Whoever has c has something rarer: one of three is drawn for a, one of three for b.
        ((present(0, 1, 8), present(2, 3, 9), present(0, 1, 2, 3)), "with"),
        # Two of twenty are drawn for a, among which is all that is without c.
        ((present(*range(20)), present(), 1 - present(7)), "without"),
    ],
)
def test_each_finding_is_there_and_not_there_in_what_each_seed_draws(findings, kind):
    labels = np.stack(findings, axis=1)
    labels[30, 1] = 1  # so that b has one too
    said = {seed: refusal_of_share("abc", labels, [seed]) for seed in range(40)}
    fine, refused = ([seed for seed in said if bool(said[seed]) == no] for no in (False, True))
    assert fine and refused
    for seed in refused:
        assert said[seed] == (
            f"shares: label_fractions = 0.1: of train, seed {seed} draws no labelled case {kind} "
            "c; take a larger share"
        )
    assert refusal_of_share("abc", labels, fine) == ""
    assert refusal_of_share("abc", labels, [*fine, *refused]) == said[refused[0]]
    # What is made already is not asked again.
    assert refusal_of_share("abc", labels, [*fine, *refused], left=fine) == ""


def test_a_finding_that_no_case_has_is_no_reason():
    """Sets that state what is there alone, and parts of sets with rare findings: not judged."""
    labels = np.array([[0, 1], [-1, 0], [0, -2]] * 10)
    assert refusal_of_share(("a", "b"), labels, [0], 0.2) == ""
    assert refusal_of_share(("a", "b"), 1 - labels.clip(0), [0], 0.2) == ""


@pytest.mark.parametrize("multilabel", [False, True])
def test_names_of_metrics_that_could_be(multilabel):
    known = metrics_of_targets(("a", "b", "c"), multilabel)
    levels = (
        ("findings/auc/a", "case/findings/auc_mean") if multilabel else ("image/top1", "case/f1/c")
    )
    assert {"validation/loss", *levels} <= set(known)
