"""Projection heads and classifiers in files: whether they are ones that we build, and trained."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from micle_tf.pretrained.blueprint import Shape
from micle_tf.pretrained.contents import Source

_KERNEL = re.compile(r"projection_head/dense(\d+)/kernel")


class Head(NamedTuple):
    """The arguments of `projection_head`, and the width of its inputs."""

    num_layers: int
    out_dim: int
    in_dim: int

    def __str__(self) -> str:
        layers = "1 layer" if self.num_layers == 1 else f"{self.num_layers} layers"
        return f"{layers}, {self.in_dim} to {self.out_dim}"


def head_of(found: Mapping[str, Source], in_dim: int) -> Head | None:
    """The projection head that has exactly these tensors; None if `projection_head` builds none.

    Args:
        found: {`projection_head/dense1/kernel`: tensor}, and so on.
        in_dim: the width of the features that it stands on.
    """
    numbers = [int(match[1]) for name in found if (match := _KERNEL.fullmatch(name))]
    if not numbers:
        return None
    last = found[f"projection_head/dense{max(numbers)}/kernel"].shape
    head = Head(max(numbers), last[-1] if last else 0, in_dim)
    return head if head_tensors(head) == {n: s.shape for n, s in found.items()} else None


def head_tensors(head: Head) -> dict[str, Shape]:
    """{name: shape} of the variables of a projection head: of the last norm, no offsets."""
    shapes: dict[str, Shape] = {}
    for number in range(1, head.num_layers + 1):
        is_last = number == head.num_layers
        outputs = head.out_dim if is_last else head.in_dim
        shapes[f"projection_head/dense{number}/kernel"] = (head.in_dim, outputs)
        for variable in ("gamma", "beta", "moving_mean", "moving_variance"):
            if variable != "beta" or not is_last:
                shapes[f"projection_head/norm{number}/{variable}"] = (outputs,)
    return shapes


def is_trained(found: Mapping[str, Source], read: Callable[[str], np.ndarray]) -> bool:
    """Whether a batch norm of a head ever saw a batch: its moments are not those of the start."""
    starts = {"moving_mean": 0.0, "moving_variance": 1.0}
    return any(
        np.any(read(source.key) != starts[variable])
        for name, source in found.items()
        if (variable := name.rpartition("/")[2]) in starts
    )


def classes_of(found: Mapping[str, Source]) -> tuple[int, int] | None:
    """(width of the inputs, number of classes) of a classifier; None if it is not one of ours."""
    shapes = {name.rpartition("/")[2]: source.shape for name, source in found.items()}
    kernel, bias = shapes.get("kernel", ()), shapes.get("bias", ())
    return (kernel[0], kernel[1]) if len(kernel) == 2 and bias == kernel[1:] else None
