"""Every setting of a run: one field, one flag, one help line.

The fields are stated in groups, beside this file; here they are one flat list. `cli.py` makes the
flags from it, a run directory keeps it as `config.json`, and a later run on the same directory is
held to it.
"""

import dataclasses
import json
import os
import re
from typing import Any, Self, TypeVar

from micle_tf.config.data import LabelPolicy, Preparation, Source, Storage
from micle_tf.config.evaluation import Export, Judging, Selection
from micle_tf.config.inputs import Inputs, Labels
from micle_tf.config.model import Encoder, FineTuning, ProjectionHead
from micle_tf.config.run import Command, Devices, Pace, Run
from micle_tf.config.training import Augmentation, Balance, Batches, Optimizer, Pretraining
from micle_tf.errors import BadInput
from micle_tf.settings import check_value, options_of

Group = TypeVar("Group")


# Fields come from the last of the classes to the first: this is the order of config.json.
@dataclasses.dataclass(frozen=True)
class Config(
    Export, Judging, Selection, FineTuning, Balance, Labels, Augmentation, Pretraining, Optimizer,
    Batches, ProjectionHead, Encoder, Pace, Devices, Run, Inputs, LabelPolicy, Preparation, Storage,
    Source, Command,
):  # fmt: skip
    """All settings. Names are SimCLR's where the meaning is the same."""

    def __post_init__(self) -> None:
        """Raises BadInput, naming the flag, for a value that no run could use."""
        for field in dataclasses.fields(self):
            check_value(field, getattr(self, field.name))
        self.checkpoint_interval()
        self.steps_between_validations(1)
        self.steps_between_neighbours(1)
        self.profiled_steps()
        self.questions()
        if not re.fullmatch(r"\w[\w.-]*", self.export_name):
            raise BadInput(
                f"--export_name={self.export_name}: letters, digits, dots, dashes and underscores"
            )

    def otherwise(self, name: str) -> str:
        """Why a field does nothing: "in --mode=evaluate", "without --max_image_side"; else "".

        Only for a configuration whose dataset is known to be one.
        """
        meta = type(self).__dataclass_fields__[name].metadata
        if meta["only"] and self.mode not in meta["only"]:
            return f"in --mode={self.mode}"
        return "" if not meta["needs"] or meta["needs"].met(self) else meta["needs"].otherwise

    @classmethod
    def of_mode(cls, mode: str, **given: Any) -> Self:
        """A config of a mode: what is given, else the mode's own defaults, else the common ones."""
        own = {
            field.name: field.metadata["by_mode"][mode]
            for field in dataclasses.fields(cls)
            if mode in field.metadata["by_mode"]
        }
        return cls(mode=mode, **own | given)

    def part(self, group: type[Group]) -> Group:
        """One of the groups that this is made of, with its settings and no others.

        So a function says by its arguments what it reads: `Encoder`, `Optimizer`.
        """
        return options_of(group, self)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """JSON text with one line per field, in the order of the fields."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`; fields this version does not know are dropped."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{k: v for k, v in json.loads(text).items() if k in known})

    def differences(self, other: "Config") -> list[str]:
        """Names of the fields in which a resumed run would differ in its result."""
        return [
            field.name
            for field in dataclasses.fields(self)
            if is_compared(field, self.mode)
            and field.name != "model_dir"
            and _comparable(field.name, self) != _comparable(field.name, other)
            and not self.otherwise(field.name)
        ]


def is_compared(field: dataclasses.Field, mode: str) -> bool:
    """Whether a field must be the same when a run of a mode is resumed."""
    volatile = field.metadata["volatile"]
    return mode not in volatile if isinstance(volatile, tuple) else not volatile


def _comparable(name: str, config: Config) -> Any:
    """The value of a field; of a path, the same however it is spelled."""
    value = getattr(config, name)
    return os.path.normpath(os.path.expanduser(value)) if name == "checkpoint" and value else value
