"""Settings of what is read of the data: which splits, at what size, and which labels."""

import dataclasses
import functools

from micle_tf.config.modes import JUDGE, KNN, LABELS, MODEL, PRETRAIN
from micle_tf.settings import Tag, setting

_data = functools.partial(setting, group="data")


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Which splits are read, and at what size."""

    train_split: str = _data("train", "Split to train on.", only=MODEL, common=True)
    eval_split: str = _data(
        "test",
        "Split to evaluate on.",
        volatile=PRETRAIN,  # which only looks on
        only=("pretrain", *JUDGE),
        by_mode={"pretrain": "validation"},
        needs=KNN,
        common=True,
    )
    image_size: int = setting(
        224, "Side of the model's input, in pixels.", low=8, high=2048,
        only=(*MODEL, "evaluate", "export"), common=True, tags=Tag.INPUT, group="model",
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Labels:
    """Which labelled cases there are to learn from, and which classes."""

    label_fraction: float = _data(
        1.0, "Share of the labelled training cases to learn from; 0.1 is inside 0.3.", low=1e-4,
        high=1, only=LABELS, common=True,
    )  # fmt: skip
    top_classes: int = _data(
        0, "Keep this many classes, the most frequent ones; the rest become Other. 0: all.", low=0,
        high=10**6, only=LABELS,
    )  # fmt: skip
