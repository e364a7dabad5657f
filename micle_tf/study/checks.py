"""What cannot be a study, whatever data it is of: every fault is one line that names its table."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from micle_tf.config import Config
from micle_tf.config.modes import JUDGE, LABELS, PRETRAIN, TRAIN
from micle_tf.errors import BadInput
from micle_tf.settings import Tag, nearest, tagged
from micle_tf.study import architectures, entries
from micle_tf.study.specification import DECIDED, JUDGED_ON, OF_JUDGED, Study, combinations

# Flags that are of no grid, and why.
_NOT_TRIED = {
    **dict.fromkeys(JUDGED_ON, "all of a grid are judged on the same data"),
    "preset": "is decided once for all runs of a stage; try its flags by their names",
    **DECIDED,
}
_MODES = (*PRETRAIN, *JUDGE)
# What a run directory may hold, below which the stages behind it lie; and what tables call test.
_TAKEN = ("checkpoints", "export", "lock", "plugins", "test")
# Data of which every flag of data does something: which data it is may be said later.
_ANY_DATA = {"dataset": "derm_cases/manifest", "manifest": "cases.csv", "manual_dir": ""}


def check(study: Study) -> None:
    """Raises BadInput, one line that names the table and what to do, for what cannot be a study.

    Names that cannot be folders or that stand for two things; a variant that is judged nowhere; a
    flag that the study decides, that is no such value, stands twice or would do nothing.

    Args:
      study: `Study` whose values are of the types of their flags.
    """
    _check_stages(study)
    _check_variants(study)
    _check_common(study)
    architectures.check(study.architectures, study.common, study.stages, study.grid)
    architectures.check_weights(study.architectures, study.stages, study.weights)
    for stage in study.stages:
        _check_flags(study, stage)
    for stage in study.grid:
        _check_grid(study, stage)
    _check_select(study)
    _check_encoders(study)
    _check_idle(study)


# ---------------------------------------------------------------- stages and variants


def _check_stages(study: Study) -> None:
    entries.check_spelling(study.stages, "stages")
    for stage, flags in study.stages.items():
        where, mode = f"[stages.{stage}]", flags.get("mode", "")
        if not re.fullmatch(r"\w+", stage):
            raise BadInput(f"{where}: name it by letters, digits and underscores")
        if stage.lower() in _TAKEN:
            raise BadInput(f"{where}: runs have a file or folder of that name; choose another")
        if not mode:
            raise BadInput(f"{where} no mode; add one of {', '.join(_MODES)}")
        if mode not in _MODES:
            raise BadInput(
                f"{where} mode={mode}: not one of {', '.join(_MODES)}{nearest(mode, _MODES)}"
            )


def _check_variants(study: Study) -> None:
    for variant, chain in study.variants.items():
        if not re.fullmatch(r"\w[\w-]*", variant):
            raise BadInput(
                f"[variants] {variant}: name it by letters, digits, dashes and underscores"
            )
        _check_chain(study.stages, chain, f"[variants] {variant}:")
        same = next(one for one, other in study.variants.items() if other == chain)
        if same != variant:  # p of the others would be adjusted for one comparison more
            raise BadInput(f"[variants] {variant}: is {same} again; remove one of them")
    used = set(itertools.chain(*study.variants.values()))
    for stage in study.stages:
        if stage not in used:
            raise BadInput(f"[stages.{stage}]: no variant uses it; add it to one, or remove it")
    if study.reference not in study.variants:
        hint = nearest(study.reference, study.variants)
        raise BadInput(f"reference: there is no variant {study.reference}{hint}")


def _check_chain(stages: Mapping[str, Mapping[str, Any]], chain: Sequence[str], where: str) -> None:
    """Raises BadInput unless there is one stage to judge, between trainings and evaluations."""
    for stage in chain:
        if stage not in stages:
            raise BadInput(f"{where} there is no stage {stage}{nearest(stage, stages)}")
    judged = [k for k, stage in enumerate(chain) if stages[stage]["mode"] in LABELS]
    if not judged:
        raise BadInput(f"{where} nothing is judged; add a stage of mode {' or '.join(LABELS)}")
    last = judged[-1]
    for stage in chain[:last]:
        if stages[stage]["mode"] not in TRAIN:
            raise BadInput(
                f"{where} {stage} stands before {chain[last]}, which is judged, and trains no "
                f"encoder; before it go stages of mode {' or '.join(TRAIN)}"
            )
    for stage in chain[last + 1 :]:
        if stages[stage]["mode"] != "evaluate":
            raise BadInput(
                f"{where} {stage} stands behind {chain[last]}, which is judged; behind it go "
                "stages of mode evaluate"
            )


def _check_select(study: Study) -> None:
    for stage in study.select:
        if stage not in study.grid:
            hint = nearest(stage, study.grid)
            raise BadInput(f"[select] {stage}: there is no [grid.{stage}] to choose from{hint}")


# ---------------------------------------------------------------- flags


def _check_common(study: Study) -> None:
    for name in study.common:
        if name in DECIDED:
            raise BadInput(f"[common] {name}: {DECIDED[name]}")
        if name in tagged(Config, Tag.NAMES_DATA):
            raise BadInput(f"[common] {name}: state it at the top of the file, or in a stage")
    entries.check(study.common, "[common]")


def _check_flags(study: Study, stage: str) -> None:
    """Raises BadInput for a flag of a stage that the study decides, or no value of it."""
    chains = [chain for chain in study.variants.values() if stage in chain]
    free = {"mode"}
    if all(chain[0] == stage for chain in chains):
        free.add("checkpoint")
    if stage not in map(study.judged_stage, study.variants):
        free |= OF_JUDGED.keys()
    for name in [*study.stages[stage], *(["checkpoint"] if stage in study.weights else [])]:
        if name in DECIDED and name not in free:
            raise BadInput(f"[stages.{stage}] {name}: {DECIDED[name]}")
    entries.check(study.stages[stage], f"[stages.{stage}]")


def _check_encoders(study: Study) -> None:
    """Raises BadInput where a stage states another encoder than one that its weights come from."""
    shape = tagged(Config, Tag.ENCODER)
    for variant, chain in study.variants.items():
        stated: dict[str, tuple[Any, str]] = {}
        for stage in chain:
            flags = study.flags(stage)
            for name in [name for name in shape if name in flags]:
                value, before = stated.setdefault(name, (flags[name], stage))
                if flags[name] != value:
                    raise BadInput(
                        f"[stages.{stage}] {name}: in {variant} weights come from {before}, where "
                        f"it is {value}; leave it out"
                    )
        judged = study.judged_stage(variant)
        for name in study.grid.get(judged, ()):
            if name in shape and judged != chain[0]:
                raise BadInput(
                    f"[grid.{judged}] {name}: in {variant} weights come from {chain[0]}, and are "
                    "of one encoder; [architectures] compares several"
                )


def _check_grid(study: Study, stage: str) -> None:
    where = f"[grid.{stage}]"
    if stage not in study.stages:
        raise BadInput(f"{where}: there is no such stage{nearest(stage, study.stages)}")
    judged = {v for v in study.variants if study.judged_stage(v) == stage}
    if not judged:
        raise BadInput(f"{where}: no variant is judged by {stage}; a grid is of a stage that is")
    others = [v for v, chain in study.variants.items() if stage in chain and v not in judged]
    if others:
        raise BadInput(
            f"{where}: {others[0]} is not judged by {stage}, so that nothing is chosen there; give "
            "it a stage of another name"
        )
    for name, values in study.grid[stage].items():
        if name in _NOT_TRIED:
            raise BadInput(f"{where} {name}: {_NOT_TRIED[name]}")
        if name in study.stages[stage]:
            raise BadInput(f"{where} {name}: [stages.{stage}] states it too; remove one of them")
        for value in values:
            entries.check({name: value}, where)
            if isinstance(value, str) and not re.fullmatch(r"[\w.]+", value):
                raise BadInput(
                    f"{where} {name}={value}: names a run directory; letters, digits, dots and "
                    "underscores alone"
                )


def _check_idle(study: Study) -> None:
    """Raises BadInput for a flag that does nothing in any run of those it is of."""
    idle = {stage: _idle_flags(study, stage) for stage in study.stages}
    for stage in study.stages:
        for table, flags in (("stages", study.stages), ("grid", study.grid)):
            for name in flags.get(stage, {}):
                if name in idle[stage]:
                    raise BadInput(
                        f"[{table}.{stage}] {name}: does nothing {idle[stage][name]}; remove it"
                    )
    named = {name: "" for name in tagged(Config, Tag.NAMES_DATA) if getattr(study, name)}
    for name, table in (named | dict.fromkeys(study.common, "[common] ")).items():
        takers = [
            stage
            for stage, own in study.stages.items()
            if name in study.flags(stage)
            and name not in {*own, *study.grid.get(stage, ()), *idle[stage]}
        ]
        if not takers:
            raise BadInput(f"{table}{name}: does nothing in any of the stages; remove it")


def _idle_flags(study: Study, stage: str) -> dict[str, str]:
    """{flag: why} of what a stage states, or tries, and does nothing; as `Config.otherwise`."""
    values = study.flags(stage) | _ANY_DATA
    if any(stage in chain[1:] for chain in study.variants.values()) or stage in study.weights:
        values["checkpoint"] = "the stage before, or what others trained"
    tried = study.grid.get(stage, {})
    configs = [Config.of_mode(**values | choice) for choice in combinations(tried)]
    reasons = {
        name: [config.otherwise(name) for config in configs]
        for name in (study.flags(stage) | tried)
    }
    return {name: each[0] for name, each in reasons.items() if all(each)}
