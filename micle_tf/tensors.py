"""Types in the signatures of what works on tensors; shape, dtype and unit stand in the docstrings.

Keras says nothing of its types to a type checker, so that `Tensor` tells people alone.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

# A tensor of Keras's backend, or what Keras makes one of.
Tensor: TypeAlias = Any
# `gather(x) -> (everything, offset)`, see `losses.nt_xent`.
Gather: TypeAlias = Callable[[Tensor], tuple[Tensor, Any]]
# Makes a normalisation layer, called with the arguments of `keras.layers.BatchNormalization`.
Norm: TypeAlias = Callable[..., Any]


def is_a(value: object, kind: type) -> bool:
    """`isinstance`, for the kinds of `numbers`: a type checker takes int and float for none."""
    return isinstance(value, kind)
