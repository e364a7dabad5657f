"""Settings of validation, evaluation and export."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from micle_tf.config.modes import EXPORT, FINETUNE, JUDGE, KNN
from micle_tf.errors import BadInput
from micle_tf.settings import setting, steps_between
from micle_tf.statistics import questions
from micle_tf.statistics.questions import Questions

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
    operating_points: str = _evaluation(
        "", "Sensitivity at a specificity of validation, or the reverse: "
        "sensitivity@specificity=0.9.", only=JUDGE,
    )  # fmt: skip
    prevalence: str = _evaluation(
        "", "Prevalence at which PPV and NPV are stated too: 0.02, or melanoma:0.02,naevus:0.6.",
        only=JUDGE,
    )  # fmt: skip
    net_benefit_at: str = _evaluation(
        "", "Probabilities from which on somebody would act, for the net benefit: 0.05,0.1,0.2.",
        only=JUDGE,
    )  # fmt: skip
    subgroups: str = _evaluation(
        "", "Attributes in the groups of which is judged too: sex,age:40:60,view.", only=JUDGE
    )

    def questions(self) -> Questions:
        """What is asked beyond what is always said; raises BadInput, naming the flag."""
        flags = {
            "operating_points": questions.operating_points, "prevalence": questions.prevalence,
            "net_benefit_at": questions.probabilities, "subgroups": questions.subgroups,
        }  # fmt: skip
        return Questions(
            **{flag: _read(flag, getattr(self, flag), read) for flag, read in flags.items()}
        )


def _read(flag: str, text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise BadInput(f"--{flag}={text}: {error}") from None


@dataclasses.dataclass(frozen=True)
class Export:
    """Names of an exported model."""

    export_name: str = _export("model", "Name of the exported model.", only=EXPORT, common=True)
    export_version: int = _export(
        1, "Version of the exported model, a folder of its own.", low=1, high=10**15, only=EXPORT
    )
    calibrated: bool = _export(
        False, "Export probabilities scaled by the temperature that validation gave.", only=EXPORT
    )
