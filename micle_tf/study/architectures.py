"""Several encoders in one study: what [architectures] may say, and how variants are named then.

[architectures.r50]            # every variant is made with each
resnet_depth = 50

[architectures.r152x2]
resnet_depth = 152
width_multiplier = 2.0

[stages.natural]
checkpoint = {r50 = "r50_1x_sk0", r152x2 = "r152_2x_sk0"}
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from micle_tf.config import Config, Encoder
from micle_tf.errors import BadInput
from micle_tf.settings import Tag, nearest, tagged
from micle_tf.study import entries

_SHAPE = tagged(Config, Tag.ENCODER)
# {name: {flag: value}} of tables.
_Tables = Mapping[str, Mapping[str, Any]]


def named(what: str, architecture: str) -> str:
    """A variant or stage with one of the architectures: "micle-r50"; as it is with none, ""."""
    return f"{what}-{architecture}" if architecture else what


def parts(name: str, architectures: Collection[str]) -> tuple[str, str]:
    """The inverse of `named`, in a study of some architectures or none: ("micle", "r50").

    No architecture has a dash in its name.
    """
    if not architectures:
        return name, ""
    what, _, architecture = name.rpartition("-")
    return what, architecture


def check(
    architectures: _Tables, common: Mapping[str, Any], stages: _Tables, grid: _Tables
) -> None:
    """Raises BadInput for what cannot be an architecture of a study with such tables.

    Args:
      architectures: {name: {flag: value}}, of values of the flags' types.
      common, stages, grid: of the study.
    """
    stated = {"[common]": common}
    stated |= {f"[stages.{stage}]": flags for stage, flags in stages.items()}
    stated |= {f"[grid.{stage}]": flags for stage, flags in grid.items()}
    entries.check_spelling(architectures, "architectures")
    for name, flags in architectures.items():
        where = f"[architectures.{name}]"
        _check_name(name, stages, where)
        _check_flags(flags, stated, where)
        entries.check({**common, **flags}, where)
        same = next(k for k, other in architectures.items() if Encoder(**other) == Encoder(**flags))
        if same != name:
            raise BadInput(f"{where}: is [architectures.{same}] again; remove one of them")


def without_weights(stages: _Tables) -> tuple[_Tables, dict[str, dict[str, Any]]]:
    """Stages without the checkpoints that they state as a table, and {stage: that table}."""
    weights = {
        stage: flags["checkpoint"]
        for stage, flags in stages.items()
        if isinstance(flags.get("checkpoint"), dict)
    }
    rest = {
        stage: {flag: value for flag, value in flags.items() if flag != "checkpoint"}
        for stage, flags in stages.items()
        if stage in weights
    }
    return {**stages, **rest}, weights


def check_weights(architectures: _Tables, stages: _Tables, weights: _Tables) -> None:
    """Raises BadInput unless what others trained is stated for each encoder, or for the only one.

    Args:
      architectures, stages: of the study.
      weights: {stage: {architecture: checkpoint}}, of any values.
    """
    for stage, flags in stages.items():
        if architectures and "checkpoint" in flags:
            each = ", ".join(f'{name} = "..."' for name in architectures)
            raise BadInput(
                f"[stages.{stage}] checkpoint: weights are of one encoder; with [architectures] "
                f"state those of each: checkpoint = {{{each}}}"
            )
    for stage, of in weights.items():
        where = f"[stages.{stage}] checkpoint"
        if not architectures:
            raise BadInput(f"{where}: expected a text; a table is for [architectures]")
        for name in of:
            if name not in architectures:
                hint = nearest(name, architectures)
                raise BadInput(f"{where}: there is no [architectures.{name}]{hint}")
        for name in architectures:
            if not (isinstance(of.get(name), str) and of[name].strip()):
                raise BadInput(f"{where}: no text for {name}; every variant is made with each")


def _check_name(name: str, stages: _Tables, where: str) -> None:
    if not re.fullmatch(r"\w+", name):
        raise BadInput(f"{where}: name it by letters, digits and underscores")
    if name.lower() in map(str.lower, stages):
        raise BadInput(f"{where}: a stage has that name; choose another")


def _check_flags(flags: Mapping[str, Any], stated: _Tables, where: str) -> None:
    """Raises BadInput unless they are of the encoder, and stated nowhere else."""
    if not flags:
        raise BadInput(f"{where}: no flags; add one of {', '.join(_SHAPE)}")
    for flag in flags:
        if flag not in _SHAPE:
            raise BadInput(
                f"{where} {flag}: no shape of the encoder, as {', '.join(_SHAPE)} are; state it in "
                "[common] or in a stage"
            )
        place = next((place for place, others in stated.items() if flag in others), "")
        if place:
            raise BadInput(f"{where} {flag}: {place} states it too; remove one of them")
