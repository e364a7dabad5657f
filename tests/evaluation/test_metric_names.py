"""Names of metrics, taken apart."""

import pytest

from micle_tf.evaluation.metric_names import parsed


@pytest.mark.parametrize(
    "name, parts",
    [
        ("case/top1", ("case", "top1", "", "", False)),
        ("image/auc_macro", ("image", "auc_macro", "", "", False)),
        ("case/auc/auc/b", ("case", "auc", "auc/b", "", False)),
        ("image/auc/a@b=c", ("image", "auc", "a@b=c", "", False)),
        ("findings/auc_mean", ("image", "auc_mean", "", "", False)),
        ("case/findings/auc/Pleural Effusion", ("case", "auc", "Pleural Effusion", "", False)),
        ("case/sensitivity/nevus@specificity=0.9",
         ("case", "sensitivity", "nevus", "@specificity=0.9", False)),
        ("image/ppv/a@b@prevalence=0.02", ("image", "ppv", "a@b", "@prevalence=0.02", False)),
        ("case/accuracy@coverage=0.5", ("case", "accuracy", "", "@coverage=0.5", False)),
        ("calibrated/case/ece", ("case", "ece", "", "", True)),
        ("calibrated/findings/brier/Edema", ("image", "brier", "Edema", "", True)),
        ("validation/loss", ("image", "validation", "loss", "", False)),
        ("image/auc/", ("image", "auc", "", "", False)),
        ("what is this", ("image", "what is this", "", "", False)),
    ],
)  # fmt: skip
def test_parts(name, parts):
    assert parsed(name) == parts


@pytest.mark.parametrize(
    "name, column, at",
    [
        ("case/auc/m@specificity=0.9", "m@specificity=0.9", ""),
        ("case/sensitivity/m@specificity=0.8", "m", "@specificity=0.8"),
        ("case/sensitivity/m@specificity=0.9@specificity=0.9", "m@specificity=0.9",
         "@specificity=0.9"),
        ("case/auc/m", "m", ""),
        ("case/auc/other@specificity=0.9", "other", "@specificity=0.9"),
        ("case/accuracy@coverage=0.5", "", "@coverage=0.5"),
    ],
)  # fmt: skip
def test_the_longest_known_class_is_meant(name, column, at):
    found = parsed(name, ("m", "m@specificity=0.9", "m@spec"))
    assert (found.level, found.column, found.at) == ("case", column, at)


def test_what_it_rests_on():
    assert parsed("case/auc/a").counts_positives
    assert parsed("findings/sensitivity/Edema@specificity=0.9").counts_positives
    assert not parsed("case/auc_macro").counts_positives
    assert not parsed("case/npv/a").counts_positives
    assert [parsed(f"case/{name}").is_mean for name in ("auc_macro", "balanced_accuracy", "top1")]\
        == [True, True, False]  # fmt: skip
    assert parsed("case/npv/a@prevalence=0.1").condition == "prevalence"
    assert parsed("case/npv/a").condition == ""
