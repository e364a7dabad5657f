"""The runs that a study takes: which, in which order, where they lie and how they are called."""

import dataclasses
import itertools
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from micle_tf import console
from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.settings import Tag, tagged
from micle_tf.study.architectures import named
from micle_tf.study.entries import FLAGS
from micle_tf.study.specification import DECIDED, Study, combinations

_METRIC = re.compile(r"(calibrated/)?((case|image|validation)/)?(findings/)?(?P<metric>\w+)")
_LONGEST = 255  # bytes of the name of a folder
_LOWER_IS_BETTER = re.compile(r"(ece|brier|(\w+_)?loss)(_mean|_macro)?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Planned:
    """A run of a study.

    Attributes:
      path: of its directory, below the study's; parts are joined by "/".
      stage: what it is a run of.
      kind: "judged" and, before it, "stage" and "grid"; behind it "transfer".
      parent: path of the run whose weights it starts from; "" without.
      flags: {flag: value}, the mode first: all but where it lies, what it starts from and what is
        chosen from a grid.
      seed: one of the study's.
      fraction: of the labels, of a run that is judged or of a grid, and of transfers; else None.
      variants: those that need it, by their names in tables.
      architecture: one of the study's; "" where it states none.
      choice: of a run of a grid: {flag: value} that it tries, which are among its flags.
      chosen_from: of a run with a grid: paths of its runs.
      metric: of a run with a grid: by which it is chosen; "" for the AUC of the highest level.
    """

    path: str
    stage: str
    kind: Literal["stage", "grid", "judged", "transfer"]
    parent: str
    flags: dict[str, Any]
    seed: int
    fraction: float | None = None
    variants: tuple[str, ...] = ()
    architecture: str = ""
    choice: dict[str, Any] = dataclasses.field(default_factory=dict)
    chosen_from: tuple[str, ...] = ()
    metric: str = ""

    @property
    def named_stage(self) -> str:
        """The same of runs that differ in no setting but seed and labels: "finetune-r50"."""
        return named(self.stage, self.architecture)


def planned(study: Study, typed: Mapping[str, Any]) -> tuple[Planned, ...]:
    """All runs of a study, each once, in an order in which they can be made.

    A run comes behind its parent and behind what is chosen from for it, and all runs of a seed, of
    which all of an architecture, come before those of the next. What is added to a study leaves the
    runs that it had as they were: paths and flags, but for a seed before the first one and a
    fraction above the largest, which are the grid's. The first architectures of a study are other
    runs than those that it had without any.

    Args:
      study: `Study`.
      typed: {flag: value} of the command line, of all runs that read it: without --study and what
        says where the study lies.

    Raises:
      BadInput: one line that names a flag that the study decides or states too, or that none of its
        runs reads; or a run of which a folder could not have the name.
    """
    stated = _with_typed(study, typed)
    runs: dict[str, Planned] = {}
    for seed, architecture in itertools.product(study.seeds, study.architectures or ("",)):
        alone, training = stated.with_architecture(architecture), _Training(seed, architecture)
        for variant in study.variants:
            for run in _of_variant(alone, variant, training):
                others = runs[run.path].variants if run.path in runs else ()
                variants = (*others, named(variant, architecture))
                runs[run.path] = dataclasses.replace(run, variants=variants)
    for name in typed:
        if not any(name in run.flags for run in runs.values()):
            raise BadInput(f"{_shown(name, typed[name])}: no stage of {study.name} reads it")
    for run in runs.values():
        _check_length(run)
    return tuple(runs.values())


def choose(
    run: Planned, runs_by_path: Mapping[str, Planned], values: Mapping[str, float]
) -> dict[str, Any]:
    """The flags that did best in the grid of a run; {} of a run without one.

    Args:
      run: of kind "judged".
      runs_by_path: {path: run} of the grid's runs.
      values: {path: value of `run.metric` on validation} of them. The highest is best, of ECE,
        Brier score and losses the lowest; of equal ones the first; never nan.

    Raises:
      BadInput: all of them are nan.
    """
    sign = -1 if lower_is_better(run.metric) else 1
    scores = {path: sign * values[path] for path in run.chosen_from if not math.isnan(values[path])}
    if scores:
        return dict(runs_by_path[max(scores, key=lambda path: scores[path])].choice)
    if run.chosen_from:
        raise BadInput(
            f"[grid.{run.stage}]: {run.metric or 'the AUC'} is not defined in any of its runs, so "
            f"that nothing is chosen for {run.path}; name another in [select]"
        )
    return {}


def lower_is_better(metric: str) -> bool:
    """Whether of a metric, by its name in result.json, a low value is good."""
    found = _METRIC.match(metric)
    return bool(found and _LOWER_IS_BETTER.fullmatch(found["metric"]))


def command(
    run: Planned, directory: str | os.PathLike[str], chosen: Mapping[str, Any]
) -> list[str]:
    """The words behind the program's name that make a run.

    Args:
      run: `Planned`.
      directory: the study's.
      chosen: as of `choose`.
    """
    place = {"model_dir": os.path.join(directory, run.path)}
    start = {"checkpoint": os.path.join(directory, run.parent)} if run.parent else {}
    return [
        _shown(name, value) for name, value in (run.flags | dict(chosen) | start | place).items()
    ]


def spelled(value: Any) -> str:
    """A value of a flag as a part of a path: 0.1, 1, true, adam; of different ones different."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(console.flag_value(value))


def _shown(name: str, value: Any) -> str:
    return f"--{name}={console.flag_value(value)}"


# ---------------------------------------------------------------- the runs of a variant


class _Training(NamedTuple):
    """What all runs of a chain have in common."""

    seed: int
    architecture: str

    def path(self, *names: str) -> str:
        """In the folder of the seed, or of the architecture in it: "seed0/r50/simclr/micle"."""
        folders = (f"seed{self.seed}", self.architecture)
        return "/".join([folder for folder in folders if folder] + list(names))


def _of_variant(study: Study, variant: str, of: _Training) -> Iterator[Planned]:
    """The runs that a variant needs."""
    before = _before(study, variant)
    for k, stage in enumerate(before):
        yield Planned(
            path=of.path(*before[: k + 1]),
            stage=stage,
            kind="stage",
            parent=_parent(before[:k], of),
            flags=_flags(study, stage, of.seed),
            seed=of.seed,
            architecture=of.architecture,
        )
    if of.seed == study.seeds[0]:
        yield from _tried(study, variant, of.architecture)
    for fraction in study.label_fractions:
        judged = _judged(study, variant, of, fraction)
        yield judged
        for stage in study.transfers(variant):
            yield dataclasses.replace(
                judged,
                path=f"{judged.path}/{stage}",
                stage=stage,
                kind="transfer",
                parent=judged.path,
                flags=_flags(study, stage, of.seed),
                chosen_from=(),
                metric="",
            )


def _judged(study: Study, variant: str, of: _Training, fraction: float) -> Planned:
    """The run of a variant that is judged, at a fraction of the labels."""
    before, stage = _before(study, variant), study.judged_stage(variant)
    grid = study.grid.get(stage, {})
    flags = _flags(study, stage, of.seed, fraction)
    return Planned(
        path=of.path(*before, f"{stage}-{spelled(fraction)}"),
        stage=stage,
        kind="judged",
        parent=_parent(before, of),
        flags={name: value for name, value in flags.items() if name not in grid},
        seed=of.seed,
        fraction=fraction,
        architecture=of.architecture,
        chosen_from=tuple(run.path for run in _tried(study, variant, of.architecture)),
        metric=study.select.get(stage, study.primary) if grid else "",
    )


def _tried(study: Study, variant: str, architecture: str) -> list[Planned]:
    """The runs of a variant's grid: of the first seed and the largest fraction of the labels.

    What does best there is taken with fewer labels too, as in the paper [not verified].
    """
    before, stage = _before(study, variant), study.judged_stage(variant)
    of, fraction = _Training(study.seeds[0], architecture), study.label_fractions[-1]
    grid = study.grid.get(stage, {})
    flags = _flags(study, stage, of.seed, fraction)
    place = of.path(*before, f"{stage}-{spelled(fraction)}-grid")
    return [
        Planned(
            path=f"{place}/{_named(choice)}",
            stage=stage,
            kind="grid",
            parent=_parent(before, of),
            flags=flags | {"eval_split": "validation"} | choice,
            seed=of.seed,
            fraction=fraction,
            architecture=architecture,
            choice=choice,
        )
        for choice in (combinations(grid) if grid else ())
    ]


def _parent(before: tuple[str, ...], of: _Training) -> str:
    """The run at the end of the stages before; "" of none."""
    return of.path(*before) if before else ""


def _before(study: Study, variant: str) -> tuple[str, ...]:
    """The stages of a variant before the judged one."""
    chain = study.variants[variant]
    return chain[: chain.index(study.judged_stage(variant))]


def _flags(study: Study, stage: str, seed: int, fraction: float = 1.0) -> dict[str, Any]:
    """Flags of a stage with a share of the labels, ~ in paths replaced as on a command line."""
    flags = study.flags(stage) | {"seed": seed}
    if fraction < 1:
        flags["label_fraction"] = fraction
    if flags.get("preset") == "auto":  # which is to state none
        del flags["preset"]
    return {name: _expanded(name, value) for name, value in flags.items()}


def _expanded(name: str, value: Any) -> Any:
    return os.path.expanduser(value) if FLAGS[name].metadata["path"] else value


def _named(choice: Mapping[str, Any]) -> str:
    """The directory of what a run of a grid tries: learning_rate_0.01-weight_decay_0."""
    return "-".join(f"{name}_{spelled(value)}" for name, value in choice.items())


def _check_length(run: Planned) -> None:
    """Raises BadInput where a folder of its path has a name that none can have."""
    for name in run.path.split("/"):
        if len(os.fsencode(name)) > _LONGEST:
            how = f"[grid.{run.stage}]: fewer flags" if run.choice else "shorter names"
            raise BadInput(f"{name}: no folder has a name of over {_LONGEST} bytes; {how} give one")


# ---------------------------------------------------------------- what is typed


def _with_typed(study: Study, typed: Mapping[str, Any]) -> Study:
    """A study that states what is typed too; raises BadInput where it does already."""
    for name, value in typed.items():
        if name in DECIDED:
            raise BadInput(f"{_shown(name, value)}: no flag of a whole study; {DECIDED[name]}")
        place = _place_of(study, name, value)
        if place:
            raise BadInput(
                f"{_shown(name, value)}: {study.name} states {name} {place}; leave one of them out"
            )
    named = tagged(Config, Tag.NAMES_DATA)
    data = {name: value for name, value in typed.items() if name in named}
    others = {name: value for name, value in typed.items() if name not in named}
    return dataclasses.replace(study, **data, common=study.common | others)


def _place_of(study: Study, name: str, value: Any) -> str:
    """Where a study states a flag, of all of its runs or some: "in [common]"; "" nowhere.

    Data that a stage names is its own whatever the others are of.
    """
    if name in tagged(Config, Tag.NAMES_DATA):
        stated = getattr(study, name)
        is_another = stated and _expanded(name, stated) != _expanded(name, value)
        return f"as {stated}" if is_another else ""
    places = {"[common]": study.common}
    places |= {f"[stages.{stage}]": flags for stage, flags in study.stages.items()}
    places |= {f"[architectures.{name}]": flags for name, flags in study.architectures.items()}
    places |= {f"[grid.{stage}]": flags for stage, flags in study.grid.items()}
    return next((f"in {place}" for place, flags in places.items() if name in flags), "")
