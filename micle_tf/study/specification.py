"""A study as its TOML file states it: stages, variants that are chains of them, what is compared.

dataset = "derm_cases"
label_fractions = [0.1, 1.0]
seeds = [0, 1, 2]

[stages.simclr]                # flags of a run, by their names
mode = "pretrain"
method = "simclr"

[stages.finetune]
mode = "finetune"

[variants]
supervised = ["finetune"]
simclr = ["simclr", "finetune"]

[grid.finetune]                # chosen on validation, with the first seed
learning_rate = [0.01, 0.1]
"""

import dataclasses
import itertools
import json
import pathlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from micle_tf.config import Config
from micle_tf.config.modes import JUDGE, LABELS, PRETRAIN, TRAIN
from micle_tf.errors import BadInput
from micle_tf.settings import Tag, nearest, tagged
from micle_tf.study import architectures, entries
from micle_tf.study.entries import FLAGS

# Flags that the study decides, and how: of stages that are judged, and of all.
_OF_JUDGED = {
    "label_fraction": "label_fractions = [0.1, 1.0] at the top of the file decides",
    "eval_split": "runs are judged on test, and those of a grid on validation",
}
DECIDED = {
    "mode": "each stage states its own",
    "model_dir": "the study's directory has a place for each run",
    "checkpoint": "a run starts from the stage before it; the first one may name weights",
    "seed": "seeds = [0, 1, 2] at the top of the file decides",
    "dry_run": "it is of a single run",
    "study": "a study is no part of another",
    **_OF_JUDGED,
}
_DATA = tagged(Config, Tag.DATA)
# Flags that say what is judged: which images, what their labels mean, and which classes there are.
JUDGED_ON = (*tagged(Config, Tag.DATA | Tag.POLICY), "top_classes")
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """All that a file says. Values are of the types of their flags; tables are in its order.

    Attributes:
      name: the file's, without .toml.
      dataset, manifest: of all stages that name no data; "" where they are not stated.
      label_fractions: ascending, in (0, 1]: of the judged stages.
      seeds: the grid is tried with the first one.
      primary: the metric that variants are compared by; "" for the AUC of the highest level.
      reference: the variant that the others are compared with.
      common: {flag: value} of all stages that read it.
      stages: {stage: {flag: value}}, "mode" among them.
      variants: {variant: stages, the first one first}.
      architectures: {architecture: {flag: value}}; every variant is made with each of them. Tables
        call these as `architectures.named` does.
      weights: {stage: {architecture: checkpoint}} of stages that start from weights of others, of
        which there are as many as architectures.
      grid: {judged stage: {flag: values to try}}.
      select: {stage of the grid: metric of validation to choose by}; without: the primary one.
    """

    name: str
    dataset: str = ""
    manifest: str = ""
    label_fractions: tuple[float, ...] = (1.0,)
    seeds: tuple[int, ...] = (0,)
    primary: str = ""
    reference: str = ""
    common: dict[str, Any] = dataclasses.field(default_factory=dict)
    stages: dict[str, dict[str, Any]]
    variants: dict[str, tuple[str, ...]]
    architectures: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    weights: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    grid: dict[str, dict[str, tuple[Any, ...]]] = dataclasses.field(default_factory=dict)
    select: dict[str, str] = dataclasses.field(default_factory=dict)

    def judged_stage(self, variant: str) -> str:
        """The last stage of a variant that learns from labels: linear_eval or finetune."""
        chain = self.variants[variant]
        return [stage for stage in chain if self.stages[stage]["mode"] in LABELS][-1]

    def transfers(self, variant: str) -> tuple[str, ...]:
        """The stages behind it, which judge the same model on other data."""
        chain = self.variants[variant]
        return chain[chain.index(self.judged_stage(variant)) + 1 :]

    def named_variants(self) -> dict[str, tuple[str, ...]]:
        """The stages of each variant, by its name in tables: "micle-r50" with architectures."""
        return {
            architectures.named(variant, one): chain
            for one in self.architectures or ("",)
            for variant, chain in self.variants.items()
        }

    def reference_of(self, name: str) -> str:
        """Which of the named variants one is compared with: that of the same architecture."""
        _, architecture = architectures.parts(name, self.architectures)
        return architectures.named(self.reference, architecture)

    def with_architecture(self, architecture: str) -> "Study":
        """What is asked of one architecture: a study without any. Of "", the study itself."""
        if not architecture:
            return self
        common = self.common | self.architectures[architecture]
        starts = {stage: {"checkpoint": of[architecture]} for stage, of in self.weights.items()}
        stages = {stage: flags | starts.get(stage, {}) for stage, flags in self.stages.items()}
        return dataclasses.replace(self, common=common, stages=stages, architectures={}, weights={})

    def flags(self, stage: str) -> dict[str, Any]:
        """{flag: value} of a stage: its own and, where it has none, those of all that it reads.

        As everywhere, nothing that is said of some data is said of other data: a stage that names
        its own takes no flags of data over.
        """
        own = self.stages[stage]
        named = {name: getattr(self, name) for name in tagged(Config, Tag.NAMES_DATA)}
        stated = {name: value for name, value in named.items() if value} | self.common
        left = _DATA if own.keys() & named.keys() else ()
        taken = {
            name: value
            for name, value in stated.items()
            if name not in left and _is_read(name, own["mode"])
        }
        return {"mode": own["mode"], **taken, **own}


def combinations(grid: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Every {flag: value} of a grid, the last flag changing fastest; {} alone of no grid."""
    return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def read(path: pathlib.Path) -> Study:
    """The study of a file; raises BadInput as `parse` does, or where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # as some editors mark it
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({error})") from None
    return _parsed(text, path.name.removesuffix(".toml"), str(path))


def parse(text: str, name: str) -> Study:
    """The study of a text.

    Args:
      text: TOML.
      name: of the study: its file's, without .toml.

    Raises:
      BadInput: one line that names the file and the table, and what to do: it is no TOML; a key,
        stage, flag or value that does not exist, is there twice, or would do nothing; a variant
        that is judged nowhere; a flag that the study decides.
    """
    return _parsed(text, name, f"{name}.toml")


def text(study: Study) -> str:
    """JSON that says all of a study, the same for files that differ in layout alone."""
    return json.dumps(dataclasses.asdict(study), indent=1) + "\n"


def from_text(text: str) -> Study:
    """The inverse of `text`; raises BadInput for another text."""
    try:
        stated = json.loads(text)
        tuples = {key: tuple(stated[key]) for key in ("label_fractions", "seeds")}
        variants = {name: tuple(chain) for name, chain in stated["variants"].items()}
        grid = {
            stage: {name: tuple(values) for name, values in flags.items()}
            for stage, flags in stated["grid"].items()
        }
        return Study(**{**stated, **tuples, "variants": variants, "grid": grid})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(f"not the text of a study ({error})") from None


def _parsed(text: str, name: str, where: str) -> Study:
    """As `parse`; `where` begins messages."""
    try:
        table = tomllib.loads(text)
        repr(table)  # of 0xfff... no message could say the number, nor of tables without end
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and what it lets through
        raise BadInput(f"{where}: no TOML ({error})") from None
    try:
        return _study(table, name)
    except BadInput as error:
        raise BadInput(" ".join(f"{where}: {error}".splitlines())) from None


def _study(table: dict[str, Any], name: str) -> Study:
    """The study of a file's keys; messages begin with the key or table."""
    _check_keys(table)
    variants = entries.chains(table)
    stages, weights = architectures.without_weights(dict(entries.tables(table, "stages")))
    study = Study(
        name=name,
        dataset=entries.text(table, "dataset"),
        manifest=entries.text(table, "manifest"),
        label_fractions=tuple(
            sorted(entries.numbers(table, "label_fractions", "label_fraction", [1.0]))
        ),
        seeds=tuple(entries.numbers(table, "seeds", "seed", [0])),
        primary=entries.text(table, "primary"),
        reference=entries.text(table, "reference") or next(iter(variants)),
        common=entries.flags(entries.table(table, "common"), "[common]"),
        stages={s: entries.flags(flags, f"[stages.{s}]") for s, flags in stages.items()},
        variants=variants,
        architectures={
            name: entries.flags(flags, f"[architectures.{name}]")
            for name, flags in entries.tables(table, "architectures")
        },
        weights=weights,
        grid={s: entries.lists(flags, f"[grid.{s}]") for s, flags in entries.tables(table, "grid")},
        select={
            s: entries.text(table["select"], s, "[select] ") for s in entries.table(table, "select")
        },
    )
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
    return study


def _check_keys(table: Mapping[str, Any]) -> None:
    known = [f.name for f in dataclasses.fields(Study) if f.name not in ("name", "weights")]
    for key in table:
        if key not in known:
            flag = "; flags stand in [common] or in a stage"
            hint = flag if key in FLAGS else nearest(key, known)
            raise BadInput(f"{key}: no such key{hint}")
    if not entries.table(table, "stages"):
        raise BadInput('no stages; add [stages.NAME] with mode = "finetune"')
    if not entries.table(table, "variants"):
        raise BadInput('no variants; add [variants] with NAME = ["STAGE", "STAGE"]')


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
        free |= _OF_JUDGED.keys()
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


def _is_read(flag: str, mode: str) -> bool:
    only = FLAGS[flag].metadata["only"]
    return not only or mode in only


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
