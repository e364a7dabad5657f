"""Summaries to make tables and pictures of."""

import math

from micle_tf.study.tables import Summary

METRIC = "case/auc_macro"
NAN = math.nan


def summary(variant, fraction, mean, **others):
    """Of three seeds, with a difference from "supervised" unless it is that."""
    of_reference = variant == "supervised"
    values = {
        "stage": "finetune", "metric": METRIC, "seeds": 3, "sd": 0.004,
        "low": mean - 0.02, "high": mean + 0.01,
        "difference": NAN if of_reference else 0.031,
        "difference_low": NAN if of_reference else 0.01,
        "difference_high": NAN if of_reference else 0.052,
        "p": NAN if of_reference else 0.004, "p_holm": NAN if of_reference else 0.012,
    }  # fmt: skip
    return Summary(variant=variant, fraction=fraction, mean=mean, **values | others)


def study(variants, fractions=(0.1, 0.3, 1.0), **others):
    """Each variant a hundredth below the one before, and ten times the labels 0.05 better."""
    return [
        summary(variant, fraction, 0.9 - 0.01 * k + 0.05 * math.log10(fraction), **others)
        for k, variant in enumerate(variants)
        for fraction in fractions
    ]
