"""The three splits of a supervised run, and what is said when one is of no use."""

import types

import numpy as np
import pytest

from micle_tf.config import Config, Inputs
from micle_tf.data.cases import CaseData
from micle_tf.data.supervised import labelled_splits
from micle_tf.data.targets import Targets
from micle_tf.errors import BadInput
from tests.data.test_targets import make_index


def make_data(labels, class_names=("a", "b"), finding_names=()):
    """Splits of cases of two images, from {split: label of each case}."""

    def index(of_case):
        per_case = np.full(len(of_case), 2)
        of_image = np.repeat(of_case, 2, axis=0)
        if finding_names:
            return make_index(per_case, findings=of_image)
        return make_index(per_case, of_image)

    readers = {
        split: types.SimpleNamespace(index=index(np.array(found)))
        for split, found in labels.items()
    }
    index = {split: reader.index for split, reader in readers.items()}
    return CaseData("set", class_names, finding_names, True, (), index, readers)


TRAIN = [0, 1, -1] * 20
GOOD = {"train": TRAIN, "validation": [0, 1, -1], "test": [1, -1, 0, 0]}


def open_splits(config, data, targets):
    return labelled_splits(
        data, targets, config.part(Inputs), mode=config.mode,
        label_fraction=config.label_fraction, seed=config.seed,
    )  # fmt: skip


def splits_of(labels=GOOD, targets=None, data=None, **changes):
    targets = targets or Targets(("a", "b"), False)
    config = Config.of_mode("finetune", **changes)
    return open_splits(config, data or make_data(labels), targets)


def test_only_training_labels_are_few(capsys):
    splits = splits_of(label_fraction=0.1, seed=1)
    assert list(splits) == ["train", "selection", "evaluation"]
    assert [split.name for split in splits.values()] == ["train", "validation", "test"]
    assert capsys.readouterr().out == "labels: 8 images of 4 cases to learn 2 classes\n"
    train = splits["train"]
    assert np.bincount(train.labels[train.images]).tolist() == [4, 4]
    assert splits["selection"].images.tolist() == [0, 1, 2, 3]
    assert splits["evaluation"].images.tolist() == [0, 1, 4, 5, 6, 7]
    np.testing.assert_array_equal(splits["evaluation"].labels, np.repeat(GOOD["test"], 2))


@pytest.mark.parametrize(
    "unmentioned, images, labels",
    [
        # Uncertain alone says nothing; with zeros, the finding beside it is absent.
        ("ignore", [0, 1, 2, 3], "labels: 4 images of 2 cases to learn 2 findings\n"),
        ("zeros", [0, 1, 2, 3, 4, 5], "labels: 6 images of 3 cases to learn 2 findings\n"),
    ],
)
def test_findings_of_splits(unmentioned, images, labels, capsys):
    table = {split: [[1, -2], [0, 1], [-1, -2], [-2, -2]] for split in GOOD}
    data = make_data(table, (), ("e", "f"))
    targets = Targets(("e", "f"), True, unmentioned=unmentioned)
    splits = splits_of(targets=targets, data=data)
    for split in splits.values():
        assert split.images.tolist() == images
    assert capsys.readouterr().out == labels


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"train_split": "train+validation"},
         "--train_split=train+validation: validation chooses the model"),
        ({"eval_split": "train"}, "--eval_split=train: the classifier is trained on it"),
        ({"eval_split": "test+train"}, "--eval_split=test+train: the classifier is trained on it"),
    ],
)  # fmt: skip
def test_splits_that_overlap(changes, message):
    with pytest.raises(BadInput) as error:
        splits_of(**changes)
    assert str(error.value) == message


@pytest.mark.parametrize("split", list(GOOD))
def test_a_split_without_labels_is_named(split):
    with pytest.raises(BadInput) as error:
        splits_of(GOOD | {split: [-1, -1]})
    assert str(error.value) == f"--mode=finetune: no image of {split} in set is labelled"


def test_classes_that_validation_does_not_have():
    with pytest.raises(BadInput, match="validation and train of set have no class in common"):
        splits_of(GOOD | {"train": [0, 0], "validation": [1]})


def test_judging_on_validation_is_warned_of(capsys):
    splits = splits_of(eval_split="validation")
    assert splits["evaluation"].images.tolist() == splits["selection"].images.tolist()
    assert "warning: validation chooses the model, which flatters it" in capsys.readouterr().out


def test_all_training_labels_are_of_one_class():
    with pytest.raises(BadInput) as error:
        splits_of(GOOD | {"train": [0, 0, -1], "validation": [0, 1]})
    assert str(error.value) == (
        "--mode=finetune: all labelled images of train in set are of one class, a: there is "
        "nothing to tell apart"
    )


def test_classes_that_a_split_lacks_are_named(capsys):
    targets = Targets(tuple("abc"), False)
    data = make_data(GOOD | {"test": [0, 0], "validation": [0, 1, 2]}, tuple("abc"))
    splits_of(targets=targets, data=data)
    assert capsys.readouterr().out.splitlines()[:2] == [
        "note: no labelled image in train of c, which cannot be learned",
        "note: no labelled image in test of b, c, which does not count there",
    ]


@pytest.mark.parametrize("mode", ["finetune", "linear_eval"])
def test_too_few_patients_for_three_splits(mode):
    for labels, units in (({"train": [0, 1]}, "2 patients"), ({"train": [0]}, "1 patient")):
        config = Config.of_mode(mode)
        with pytest.raises(BadInput) as error:
            open_splits(config, make_data(labels), Targets(("a", "b"), False))
        assert str(error.value) == (
            f"--mode={mode}: set has no validation split: it is of {units}, whose images stay in "
            "one split; train, validation and test want three at least"
        )
    message = f"^--mode={mode}: set has no validation split to choose the model on; it has train$"
    with pytest.raises(BadInput, match=message):
        open_splits(config, make_data({"train": TRAIN}), Targets(("a", "b"), False))
