"""The labelled splits of a run that trains a classifier: to train, to choose, to judge."""

import dataclasses
import functools

import numpy as np

from data_builders.splits import SPLITS
from micle_tf import console
from micle_tf.data.reader import CaseIndex, CaseReader
from micle_tf.data.targets import choose_labelled, is_labelled
from micle_tf.errors import BadInput

SELECTION_SPLIT = "validation"
_LISTED = 5  # names of classes


@dataclasses.dataclass(frozen=True)
class LabelledSplit:
    """A split with its labels.

    Attributes:
      name: of the split.
      reader: `CaseReader`.
      labels: [I] classes or [I, K] findings, see `Targets.labels`.
      images: [L] int64, numbers of the labelled images to use, ascending.
    """

    name: str
    reader: CaseReader
    labels: np.ndarray
    images: np.ndarray


def labelled_splits(data, targets, inputs, *, mode, label_fraction, seed):
    """Opens the three splits.

    Args:
      data: `CaseData`.
      targets: `Targets`.
      inputs: `Inputs`; reads `train_split` and `eval_split`.
      mode: which asks, for messages.
      label_fraction: share of the labelled training cases to take.
      seed: of which those are.

    Returns:
      {"train", "selection", "evaluation": `LabelledSplit`}; the label fraction is that of
      "train", the others have all their labels.

    Raises:
      BadInput: splits that overlap, or one without labels to work on.
    """
    train, judged = inputs.train_split.split("+"), data.judged_splits(inputs.eval_split)
    if SELECTION_SPLIT in train:
        raise BadInput(f"--train_split={inputs.train_split}: {SELECTION_SPLIT} chooses the model")
    if set(judged) & set(train):
        raise BadInput(f"--eval_split={inputs.eval_split}: the classifier is trained on it")
    opened = functools.partial(_open, mode, data, targets, seed=seed)
    splits = {
        "train": opened(inputs.train_split, fraction=label_fraction),
        "selection": opened(SELECTION_SPLIT),
        "evaluation": opened(inputs.eval_split, flag="--eval_split"),
    }
    if SELECTION_SPLIT in judged:
        console.say(f"warning: {SELECTION_SPLIT} chooses the model, which flatters it")
    if not targets.multilabel:
        classes = [set(split.labels[split.images].tolist()) for split in list(splits.values())[:2]]
        if not classes[0] & classes[1]:
            raise BadInput(
                f"--mode={mode}: {SELECTION_SPLIT} and {inputs.train_split} of {data.name} "
                "have no class in common"
            )
        _say_what_is_not_learned(mode, data, targets, splits)
    train = splits["train"]
    cases = len(np.unique(train.reader.index.case_of_image[train.images]))
    console.say(
        f"labels: {console.count(len(train.images), 'image')} of {console.count(cases, 'case')} "
        f"to learn {len(targets.names)} {'findings' if targets.multilabel else 'classes'}"
    )
    return splits


def _open(mode, data, targets, name, *, seed, fraction=1.0, flag="--train_split"):
    _refuse_few_patients(mode, data, name, flag)
    reader = data.open(name, flag)
    labels = targets.labels(data, reader.index)
    if not is_labelled(labels).any():
        raise BadInput(f"--mode={mode}: no image of {name} in {data.name} is labelled")
    images = choose_labelled(labels, reader.index, fraction, seed)
    return LabelledSplit(name, reader, labels, images)


def _refuse_few_patients(mode, data, name, flag):
    """Raises BadInput if a split is not there since there are too few patients to make it."""
    names = data.judged_splits(name) if flag == "--eval_split" else name.split("+")
    if all(split in data.index for split in names):
        return
    index = CaseIndex.join(list(data.index.values()))
    units = index.num_patients or len(np.unique(index.patient_number))
    if name in SPLITS and units < len(SPLITS):
        noun = "patient" if index.num_patients else "case"
        raise BadInput(
            f"--mode={mode}: {data.name} has no {name} split: it is of "
            f"{console.count(units, noun)}, whose images stay in one split; train, validation and "
            "test want three at least"
        )
    if name == SELECTION_SPLIT:  # which nobody typed
        raise BadInput(
            f"--mode={mode}: {data.name} has no {name} split to choose the model on; it has "
            f"{', '.join(data.index)}"
        )


def _say_what_is_not_learned(mode, data, targets, splits):
    """Names classes that a split has no labelled image of; raises BadInput if train has but one."""
    there = {split.name: set(split.labels[split.images].tolist()) for split in splits.values()}
    train = splits["train"].name
    if len(there[train]) == 1:
        (only,) = there[train]
        raise BadInput(
            f"--mode={mode}: all labelled images of {train} in {data.name} are of one "
            f"class, {targets.names[only]}: there is nothing to tell apart"
        )
    for split, classes in there.items():
        lacking = [name for k, name in enumerate(targets.names) if k not in classes]
        if lacking:
            more = f" and {len(lacking) - _LISTED} more" if len(lacking) > _LISTED else ""
            what = "cannot be learned" if split == train else "does not count there"
            console.say(
                f"note: no labelled image in {split} of {', '.join(lacking[:_LISTED])}{more}, "
                f"which {what}"
            )
