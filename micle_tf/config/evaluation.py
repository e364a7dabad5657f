"""Settings of validation, evaluation and export."""

import dataclasses
import functools

from micle_tf.config.modes import EXPORT, FINETUNE, JUDGE, KNN
from micle_tf.settings import setting, steps_between

_evaluation = functools.partial(setting, group="evaluation")
_export = functools.partial(setting, group="export")


@dataclasses.dataclass(frozen=True)
class Selection:
    """How a run is validated, and which checkpoint counts."""

    best_metric: str = _evaluation(
        "", "What the best checkpoint is chosen by, as in result.json, or loss; empty: macro AUC.",
        only=FINETUNE,
    )  # fmt: skip
    validate_every: str = _evaluation(
        "1epochs", "How often to validate: 2epochs or 500steps.", only=FINETUNE
    )
    patience: int = _evaluation(
        0, "Stop after so many validations that were no better than the best; 0: never.", low=0,
        high=10**6, only=FINETUNE,
    )  # fmt: skip

    def steps_between_validations(self, steps_per_epoch: int) -> int:
        """`validate_every` in steps."""
        return steps_between("validate_every", self.validate_every, steps_per_epoch)


@dataclasses.dataclass(frozen=True)
class Judging:
    """How models are judged."""

    eval_batch_size: int = _evaluation(
        256, "Images per step when nothing is trained.", low=1, high=10**6, volatile=True,
        only=("pretrain", *JUDGE), needs=KNN,
    )  # fmt: skip
    allow_seen: bool = _evaluation(
        False, "Judge on images that the model learned from, labels and all, in a run before or "
        "in other data.", volatile=True, only=JUDGE,
    )  # fmt: skip
    bootstrap_samples: int = _evaluation(
        1000, "Resamples of patients behind each 95 % interval.", low=10, high=10**7, only=JUDGE
    )


@dataclasses.dataclass(frozen=True)
class Export:
    """Names of an exported model."""

    export_name: str = _export("model", "Name of the exported model.", only=EXPORT, common=True)
    export_version: int = _export(
        1, "Version of the exported model, a folder of its own.", low=1, high=10**15, only=EXPORT
    )
