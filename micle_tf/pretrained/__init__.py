"""Encoders and heads from what others trained: SimCLR's published weights, and .keras files.

    encoder, report = load_encoder("r50_1x_sk0/saved_model", input_shape=(224, 224, 3))
    print(report.line())

TensorFlow is loaded by what needs it: `is_weights` does so for remote paths alone.
"""

import importlib
from typing import TYPE_CHECKING, Any

from micle_tf.pretrained.found import is_weights

if TYPE_CHECKING:
    from micle_tf.pretrained.describing import Description, describe
    from micle_tf.pretrained.loading import (
        Pretrained,
        Report,
        build_encoder,
        load,
        load_encoder,
        restore,
    )
    from micle_tf.pretrained.rescaling import rescale_kernels

_MODULES = {
    "Description": "describing", "describe": "describing", "Pretrained": "loading",
    "Report": "loading", "build_encoder": "loading", "load": "loading", "load_encoder": "loading",
    "restore": "loading", "rescale_kernels": "rescaling",
}  # fmt: skip
__all__ = [
    "Description", "Pretrained", "Report", "build_encoder", "describe", "is_weights", "load",
    "load_encoder", "rescale_kernels", "restore",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
