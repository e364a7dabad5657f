"""What a file of weights holds, under our names."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from micle_tf.pretrained.blueprint import Shape


class Source(NamedTuple):
    """A tensor in a file: its key there, its shape, and the name that people know it by."""

    key: str
    shape: Shape
    name: str


@dataclasses.dataclass
class Contents:
    """The tensors of a file, by the names of our variables.

    Attributes:
        layout: what the file is, as "a checkpoint of SimCLR (TF2)".
        encoder: as `block_group1_unit0_conv1/kernel`.
        projection_head: as `projection_head/dense1/kernel`; {} if there is none.
        classifier: `classifier/logits/kernel` and `classifier/logits/bias`; {} if there is none.
        unmatched: what belongs to the encoder and has no place in one of ours.
        others: the names of all else, but for the bookkeeping of TensorFlow.
        read: a function from a key to its array.
        sha256: of the weights; of a checkpoint's index, which has a checksum of each tensor.
        resnet_d: whether shortcuts are seen to be ResNet-D's.
        step: of the training; None if it is not there.
        notes: what a person should know, each a clause.
    """

    layout: str
    encoder: dict[str, Source]
    projection_head: dict[str, Source]
    classifier: dict[str, Source]
    unmatched: list[Source]
    others: list[str]
    read: Callable[[str], np.ndarray]
    sha256: str
    resnet_d: bool = False
    step: int | None = None
    notes: list[str] = dataclasses.field(default_factory=list)
