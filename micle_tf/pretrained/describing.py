"""What a file of weights holds, told without building a model."""

from __future__ import annotations

import dataclasses
import os
from typing import NamedTuple

from micle_tf.console import count
from micle_tf.pretrained.blueprint import Architecture
from micle_tf.pretrained.found import weights_folder
from micle_tf.pretrained.heads import Head, classes_of, head_of, is_trained
from micle_tf.pretrained.opening import Opened, open_weights, where_of


class Classifier(NamedTuple):
    """A linear layer with offsets, from `in_dim` numbers to `num_classes` logits."""

    in_dim: int
    num_classes: int

    def __str__(self) -> str:
        return f"{count(self.num_classes, 'output')}, on {self.in_dim} numbers"


@dataclasses.dataclass(frozen=True)
class Description:
    """What weights are.

    Attributes:
        path: of the checkpoint, without its endings, or of the .keras file.
        name: for a run directory: the first folder that says something, and the hash's start.
        layout: as "a checkpoint of SimCLR (TF2)".
        architecture: of the encoder.
        projection_head: None if there is none that can be taken.
        classifier: None if there is none that can be taken.
        step: of the training that wrote it; None if the file does not say.
        sha256: of the weights, hexadecimal.
        notes: what was left out of it and why, each a clause.
    """

    path: str
    name: str
    layout: str
    architecture: Architecture
    projection_head: Head | None
    classifier: Classifier | None
    step: int | None
    sha256: str
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """For a person, a line each."""
        at = "" if self.step is None else f", step {self.step:,}"
        return [
            f"{self.path}: {self.layout}{at}",
            f"  encoder          {self.architecture}, {self.architecture.feature_dim} features",
            f"  projection head  {self.projection_head or 'none'}",
            f"  classifier       {self.classifier or 'none'}",
            f"  name             {self.name}",
            f"  sha256           {self.sha256}",
            *(f"  note: {note}" for note in self.notes),
        ]


def describe(path: str | os.PathLike[str], *, flag: str = "") -> Description:
    """What the weights at a path are, from the names and shapes of their tensors.

    Args:
        path: as of `load`.
        flag: with which it was typed, for error messages, as "--checkpoint".

    Raises:
        BadInput: see `load`.
    """
    return description_of(open_weights(path, where_of(path, flag)))


def description_of(opened: Opened) -> Description:
    """`Description` of weights that were opened."""
    found, contents, architecture = opened
    notes = list(contents.notes)
    head = head_of(contents.projection_head, architecture.feature_dim)
    if contents.projection_head and head is None:
        notes.append("the projection head was left out: it is not built as SimCLR's are")
    elif head and not is_trained(contents.projection_head, contents.read):
        notes.append("the projection head was left out: its batch norms never saw a batch")
        head = None
    classes = classes_of(contents.classifier)
    if contents.classifier and classes is None:
        notes.append("the classifier was left out: it is not one linear layer")
    return Description(
        found.path,
        f"{weights_folder(found)}-{contents.sha256[:6]}",
        contents.layout,
        architecture,
        head,
        Classifier(*classes) if classes else None,
        contents.step,
        contents.sha256,
        tuple(notes),
    )
