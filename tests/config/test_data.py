"""The settings of the data: defaults, and where they do anything."""

import dataclasses

import pytest

from micle_tf.config import Config, LabelPolicy, Preparation, Source, Storage, is_compared


def test_defaults_of_what_counts_as_a_label():
    for mode in ("linear_eval", "finetune", "evaluate"):
        config = Config.of_mode(mode)
        assert (config.uncertain, config.unmentioned) == ("ignore", "zeros")


@pytest.mark.parametrize(
    "name, settings, otherwise",
    [
        ("max_pixels", {"dataset": "cifar10"}, "without data that is made from files"),
        ("max_pixels", {"dataset": "cifar10", "mode": "export"}, ""),
        ("max_pixels", {"manifest": "a.csv"}, ""),
        ("max_bad_images", {}, "without data that is made from files"),
        ("max_bad_images", {"dataset": "chexpert"}, ""),
        ("jpeg_quality", {"manifest": "a.csv"}, "without --max_image_side"),
        ("jpeg_quality", {"max_image_side": 64}, "without --max_image_side"),
        ("jpeg_quality", {"manifest": "a.csv", "max_image_side": 64}, ""),
        ("beam_options", {"dataset": "cifar10"}, "with sets of tensorflow_datasets"),
        ("beam_options", {}, ""),
        ("findings", {"dataset": "chexpert"}, "without --manifest in this mode"),
        ("findings", {"dataset": "chexpert", "mode": "finetune"}, ""),
        ("findings", {"manifest": "a.csv"}, ""),
        ("labels_shared_by_case", {"dataset": "nih_chest_xray14"},
         "where images have labels of their own, or are cases of their own"),
        ("labels_shared_by_case", {"dataset": "cifar10"},
         "where images have labels of their own, or are cases of their own"),
        ("labels_shared_by_case", {"manifest": "a.csv"}, ""),
        ("uncertain", {}, "in --mode=pretrain"),
        ("uncertain", {"mode": "evaluate"}, ""),
        ("dry_run", {"mode": "finetune"}, ""),
        ("dry_run", {"mode": "export"}, "in --mode=export"),
    ],
)  # fmt: skip
def test_where_a_setting_of_the_data_does_nothing(name, settings, otherwise):
    assert Config(**settings).otherwise(name) == otherwise


def test_what_says_how_data_is_prepared_may_differ_on_resume():
    """The prepared data itself is compared then; of these settings only the dataset is by name."""
    groups = (Source, Storage, Preparation, LabelPolicy)
    own = [field for group in groups for field in dataclasses.fields(group)]
    compared = [field.name for field in own if is_compared(field, "pretrain")]
    assert compared == ["dataset", "labels_shared_by_case", "uncertain", "unmentioned"]
    assert len(own) > 20
