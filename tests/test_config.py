"""Settings: defaults by mode, bounds, and which of them a resumed run may change."""

import dataclasses
import json

import pytest

from micle_tf.config import Config
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
        ({"ft_proj_selector": -1}, "--ft_proj_selector=-1: must be at least 0"),
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


@pytest.mark.parametrize(
    "text, expected", [("1epochs", 7), ("12epochs", 84), ("500steps", 500), ("1steps", 1)]
)
def test_intervals_of_epochs_or_steps(text, expected):
    assert Config(validate_every=text).steps_between("validate_every", 7) == expected
    assert Config(knn_every=text).steps_between("knn_every", 7) == expected


@pytest.mark.parametrize(
    "text", ["", "0epochs", "-1steps", "1.5epochs", "epochs", "7", "3m", "²steps"]
)
def test_intervals_that_are_none(text):
    with pytest.raises(BadInput, match="--validate_every="):
        Config(validate_every=text)
    if text:  # empty: never
        with pytest.raises(BadInput, match="--knn_every="):
            Config(knn_every=text)


def test_intervals_of_checkpoints():
    for text, expected in (("10m", (600, None)), ("30s", (30, None)), ("9steps", (None, 9))):
        assert Config(checkpoint_every=text).checkpoint_interval() == expected


def test_profiled_steps():
    assert Config(profile="20:25").profiled_steps() == (20, 25)
    assert Config().profiled_steps() is None
    for text in ("20", "0:3", "5:4", "a:b", "1:2:3", "-1:3"):
        with pytest.raises(BadInput, match=f"--profile={text}: give the first and the last step"):
            Config(profile=text)


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
