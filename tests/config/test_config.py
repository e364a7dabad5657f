"""Settings: defaults by mode, bounds, groups, and which of them a resumed run may change."""

import dataclasses
import json

import pytest

from micle_tf.config import Config, Encoder, Optimizer
from micle_tf.errors import BadInput


def test_a_mode_has_defaults_of_its_own_that_what_is_given_beats():
    pretrain, finetune = Config.of_mode("pretrain"), Config.of_mode("finetune")
    assert pretrain == Config(eval_split="validation")  # test is not to be looked at that early
    changed = {
        name: (a, b)
        for (name, a), b in zip(vars(pretrain).items(), vars(finetune).values(), strict=True)
        if a != b
    }
    assert changed == {
        "mode": ("pretrain", "finetune"),
        "eval_split": ("validation", "test"),
        "train_batch_size": (128, 64),
        "train_epochs": (100, 50),
        "optimizer": ("lars", "momentum"),
        "learning_rate": (0.3, 0.05),
        "warmup_epochs": (10.0, 0.0),
        "weight_decay": (1e-6, 1e-4),
        "crop_area_min": (0.08, 0.25),
        "color_jitter_strength": (1.0, 0.5),
        "rotation_degrees": (0.0, 30.0),
    }
    assert Config.of_mode("finetune", learning_rate=0.3).learning_rate == 0.3


def test_json_round_trip_of_every_field():
    config = Config.of_mode("finetune", best_metric="loss", validate_every="7steps", patience=3)
    stated = json.loads(config.to_json())
    assert list(stated) == [field.name for field in dataclasses.fields(Config)]
    assert Config.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    "mode, changes, expected",
    [
        ("finetune", {"patience": 2, "best_metric": "loss"}, ["best_metric", "patience"]),
        (
            "finetune",
            {"label_fraction": 0.5, "case_images": "one"},
            ["label_fraction", "case_images"],
        ),
        ("finetune", {"eval_batch_size": 8, "keep_checkpoints": 9, "manifest": "m.csv"}, []),
        ("finetune", {"method": "simclr", "mask_negatives": "case"}, []),
        ("pretrain", {"patience": 2, "class_weights": "balanced"}, []),
        ("evaluate", {"train_batch_size": 8, "fine_tune_after_block": 2}, []),
        ("evaluate", {"eval_split": "validation"}, ["eval_split"]),
        ("linear_eval", {"top_classes": 2, "model_dir": "elsewhere"}, ["top_classes"]),
        ("finetune", {"checkpoint": "runs//a/"}, []),
        ("finetune", {"uncertain": "ones", "unmentioned": "ignore"}, ["uncertain", "unmentioned"]),
        ("pretrain", {"uncertain": "ones", "unmentioned": "ignore"}, []),
        # The prepared data itself is compared.
        (
            "finetune",
            {
                "manual_dir": "x",
                "group_by": "image",
                "findings": "Edema",
                "max_bad_images": 1,
                "max_image_side": 9,
                "jpeg_quality": 9,
                "max_pixels": 9,
                "beam_options": "x",
            },
            [],
        ),
        (
            "finetune",
            {"dataset": "chexpert", "labels_shared_by_case": False},
            ["dataset", "labels_shared_by_case"],
        ),
        # Of single images nothing is shared.
        ("finetune", {"dataset": "cifar10", "labels_shared_by_case": False}, ["dataset"]),
    ],
)
def test_what_a_resumed_run_may_change(mode, changes, expected):
    config = Config.of_mode(mode, checkpoint="runs/a")
    found = config.replace(**changes).differences(config)
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"label_fraction": 0.0}, "--label_fraction=0.0: must be at least 0.0001"),
        ({"label_fraction": 1.5}, "--label_fraction=1.5: must be at most 1"),
        ({"fine_tune_after_block": 5}, "--fine_tune_after_block=5: must be at most 4"),
        ({"ft_proj_selector": -2}, "--ft_proj_selector=-2: must be at least -1"),
        ({"top_classes": -1}, "--top_classes=-1: must be at least 0"),
        (
            {"class_weights": "balance"},
            "--class_weights=balance: not one of none, balanced; did you mean balanced?",
        ),
        ({"case_images": "two"}, "--case_images=two: not one of all, one"),
        (
            {"validate_every": "5m"},
            "--validate_every=5m: give epochs or steps, as 2epochs or 500steps",
        ),
        (
            {"checkpoint_every": "2epochs"},
            "--checkpoint_every=2epochs: give a time or a number of steps, as 10m, 500s or "
            "1000steps",
        ),
        ({"bootstrap_samples": 9}, "--bootstrap_samples=9: must be at least 10"),
        ({"uncertain": "no"}, "--uncertain=no: not one of ignore, zeros, ones"),
        (
            {"unmentioned": "zero"},
            "--unmentioned=zero: not one of zeros, ignore; did you mean zeros?",
        ),
        ({"group_by": "lesions"}, "--group_by=lesions: not one of case, study, patient, image"),
        ({"max_bad_images": 2_000_000_000}, "--max_bad_images=2000000000: must be at most 1e+09"),
        ({"jpeg_quality": 101}, "--jpeg_quality=101: must be at most 100"),
    ],
)
def test_values_that_no_run_could_use(changes, message):
    with pytest.raises(BadInput) as error:
        Config.of_mode("finetune", **changes)
    assert str(error.value) == message


def test_what_only_looks_on_may_differ_on_resume_in_pretraining_alone():
    given = {"eval_split": "test", "knn_every": "5steps", "steps_per_loop": 9, "profile": "2:3"}
    assert Config().differences(Config(**given)) == []
    assert Config(mode="evaluate").differences(Config(mode="evaluate", eval_split="train"))


def test_a_config_of_an_older_version_is_read():
    """One without the fields that have been added since has their defaults."""
    stated = json.loads(Config(seed=3).to_json())
    for name in ("manual_dir", "group_by", "uncertain", "unmentioned", "max_bad_images"):
        del stated[name]
    assert Config.from_json(json.dumps(stated)) == Config(seed=3)


def test_a_part_has_the_settings_of_its_group_and_no_others():
    config = Config(resnet_depth=18, width_multiplier=0.5, learning_rate=0.25, seed=7)
    assert config.part(Encoder) == Encoder(resnet_depth=18, width_multiplier=0.5)
    assert config.part(Optimizer) == Optimizer(learning_rate=0.25)
    assert type(config.part(Encoder)) is Encoder and not hasattr(config.part(Encoder), "seed")


def test_every_setting_is_of_one_group():
    groups = Config.__mro__[1:-1]
    names = [field.name for group in groups for field in dataclasses.fields(group)]
    assert sorted(names) == sorted(field.name for field in dataclasses.fields(Config))


def test_the_order_of_config_json_stays():
    """Runs of earlier versions have it, and so has --helpfull."""
    names = [field.name for field in dataclasses.fields(Config)]
    assert names[:3] == ["mode", "dataset", "data_dir"]
    assert names[19:24] == ["beam_options", "dry_run", "uncertain", "unmentioned", "train_split"]
    assert names[-3:] == ["export_name", "export_version", "calibrated"]
