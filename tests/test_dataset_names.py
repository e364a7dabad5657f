"""What --dataset means, and which flags go with which dataset."""

import pytest

from micle_tf import dataset_names as names
from micle_tf.config import Config
from micle_tf.data.prepared import module_of
from micle_tf.dataset_names import dataset_names
from micle_tf.errors import BadInput


@pytest.mark.parametrize(
    "dataset, full",
    [
        ("derm_cases", ["derm_cases/synthetic"]),
        ("derm_cases/ham10000", ["derm_cases/ham10000"]),
        ("chexpert", ["chexpert_cases/official"]),
        ("chexpert/paper", ["chexpert_cases/paper"]),
        ("chexpert_cases", ["chexpert_cases/official"]),
        ("nih_chest_xray14", ["nih_chest_xray14/default"]),
        ("mimic_cxr_jpg", ["mimic_cxr_jpg/default"]),
        ("padchest/default", ["padchest/default"]),
        ("cifar10", ["cifar10"]),
        ("cifar10:3.0.2", ["cifar10:3.0.2"]),
        ("imagenet2012_subset/1pct", ["imagenet2012_subset/1pct"]),
        ("derm_cases/scin+ chexpert +cifar10",
         ["derm_cases/scin", "chexpert_cases/official", "cifar10"]),
    ],
)  # fmt: skip
def test_full_names(dataset, full):
    assert dataset_names(Config(dataset=dataset)) == tuple(full)


def test_a_manifest_is_a_dataset():
    assert dataset_names(Config(manifest="a.csv")) == ("derm_cases/manifest",)
    joined = Config(manifest="a.csv", dataset="derm_cases+derm_cases/ham10000")
    assert dataset_names(joined) == ("derm_cases/manifest", "derm_cases/ham10000")


CONFIGURATIONS = (
    "synthetic, synthetic_shuffled, synthetic_same_photo, manifest, scin, pad_ufes_20, "
    "ham10000, isic2019"
)


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"dataset": "derm_cases/ham"},
            f"--dataset=derm_cases/ham: derm_cases has {CONFIGURATIONS}",
        ),
        (
            {"dataset": "chexpert/small"},
            "--dataset=chexpert/small: chexpert_cases has official, paper",
        ),
        (
            {"dataset": "padchest+derm_cases/x"},
            f"--dataset=padchest+derm_cases/x: derm_cases has {CONFIGURATIONS}",
        ),
        (
            {"dataset": ""},
            "--dataset=: not one of derm_cases, chexpert_cases, nih_chest_xray14, mimic_cxr_jpg, "
            "padchest",
        ),
        (
            {"dataset": "padchest+"},
            "--dataset=padchest+: not one of derm_cases, chexpert_cases, nih_chest_xray14, "
            "mimic_cxr_jpg, padchest",
        ),
        (
            {"dataset": "derm_cases/manifest"},
            "--dataset=derm_cases/manifest: name your cases with --manifest=cases.csv",
        ),
        ({"dataset": "cifar10+cifar10"}, "--dataset=cifar10+cifar10: a dataset is named twice"),
        (
            {"dataset": "chexpert+chexpert_cases/official"},
            "--dataset=chexpert+chexpert_cases/official: a dataset is named twice",
        ),
        (
            {"dataset": "cifar10+mnist", "mode": "finetune"},
            "--dataset=cifar10+mnist: --mode=finetune works on one dataset; name it",
        ),
        (
            {"dataset": "cifar10+mnist", "mode": "linear_eval"},
            "--dataset=cifar10+mnist: --mode=linear_eval works on one dataset; name it",
        ),
        (
            {"dataset": "cifar10+mnist", "mode": "evaluate"},
            "--dataset=cifar10+mnist: --mode=evaluate works on one dataset; name it",
        ),
        (
            {"dataset": "chexpert", "manifest": "a.csv"},
            "--manifest=a.csv: goes with --dataset=derm_cases/manifest, not with chexpert",
        ),
        ({"image_dir": "x"}, "--image_dir=x: goes with --manifest=cases.csv"),
        ({"columns": "a=b"}, "--columns=a=b: goes with --manifest=cases.csv"),
        (
            {"dataset": "chexpert", "findings_column": "x"},
            "--findings_column=x: goes with --manifest=cases.csv",
        ),
        (
            {"dataset": "derm_cases/scin", "findings": "Edema"},
            "--findings=Edema: goes with --manifest=cases.csv or chest X-rays",
        ),
        (
            {"dataset": "cifar10", "max_image_side": 64},
            "--max_image_side=64: cifar10 is used as tensorflow_datasets keeps it",
        ),
        (
            {"dataset": "cifar10+mnist", "max_image_side": 64},
            "--max_image_side=64: cifar10+mnist is used as tensorflow_datasets keeps it",
        ),
        ({"manual_dir": "files"}, "--manual_dir=files: derm_cases is not made from files there"),
        (
            {"manual_dir": "files", "manifest": "a.csv"},
            "--manual_dir=files: derm_cases is not made from files there",
        ),
    ],
)
def test_what_does_not_go_together(changes, message):
    with pytest.raises(BadInput) as caught:
        dataset_names(Config(**changes))
    assert str(caught.value) == message


def test_what_does():
    assert dataset_names(Config(dataset="chexpert", findings="Edema", manual_dir="x"))
    assert dataset_names(Config(manifest="a.csv", findings="Edema", findings_column="x"))
    assert dataset_names(Config(dataset="imagenet2012", manual_dir="x"))
    assert dataset_names(Config(dataset="cifar10+derm_cases/scin", max_image_side=64))
    assert dataset_names(Config(dataset="cifar10+mnist", mode="export")) == ("cifar10", "mnist")
    both = Config(dataset="derm_cases/synthetic+derm_cases/scin", manual_dir="x", mode="prepare")
    assert len(dataset_names(both)) == 2


def test_names_agree_with_the_builders():
    """The names are listed where nothing slow is imported."""
    for dataset, configurations in names.DATASETS.items():
        module = module_of(f"{dataset}/x")
        declared = [config.name for config in module.Builder.BUILDER_CONFIGS]
        assert sorted([*declared, *(["manifest"] if dataset == "derm_cases" else [])]) == sorted(
            configurations
        )
        assert module.Builder.name == dataset


def test_whose_a_dataset_is():
    assert names.is_own("derm_cases/scin") and names.is_own("padchest/default")
    assert not names.is_own("cifar10") and not names.is_own("derm/x")
    made = [name for name in names.DATASETS["derm_cases"]
            if not names.takes_manual_dir(f"derm_cases/{name}")]  # fmt: skip
    assert made == ["synthetic", "synthetic_shuffled", "synthetic_same_photo", "manifest"]
    assert names.takes_manual_dir("imagenet2012") and names.takes_manual_dir("padchest/default")


def test_names_of_files():
    assert names.file_name(("derm_cases/ham10000",)) == "derm_cases-ham10000"
    assert names.file_name(("derm_cases/ham10000", "cifar10:3.0.2")) == (
        "derm_cases-ham10000+cifar10-3.0.2"
    )
