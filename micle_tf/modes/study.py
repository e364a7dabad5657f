"""--mode=study: stages, variants, label fractions and seeds, one run after the other, in tables."""

import collections
import contextlib
import dataclasses
import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from micle_tf import console
from micle_tf.config import Config
from micle_tf.config.modes import STUDY, TRAIN
from micle_tf.dataset_names import dataset_names
from micle_tf.errors import BadInput, Stopped
from micle_tf.evaluation.judging import panels_of
from micle_tf.settings import Tag, nearest, tagged
from micle_tf.statistics.questions import Questions
from micle_tf.study import specification
from micle_tf.study.directory import StudyDirectory
from micle_tf.study.places import default_place, path_of
from micle_tf.study.runs import Planned, command, planned
from micle_tf.study.specification import Study

VALIDATION_LOSS = "validation/loss"
# Flags that a study reads for itself, and does not hand to its runs.
_OWN = [f.name for f in dataclasses.fields(Config) if set(STUDY) & set(f.metadata["only"])]


def study(config: Config, typed: dict[str, Any], commands: Callable[[list[str]], Any]) -> None:
    """Makes what is missing of a study, as far as nobody else is at it, and writes its tables.

    Args:
      config: `Config` of mode "study".
      typed: {flag: value} of the line.
      commands: `cli.Commands`.

    Raises:
      BadInput: the study, its data or its directory do not fit; nothing is written then.
      Stopped: a run failed.
    """
    asked = specification.read(path_of(config.study))
    typed = {name: value for name, value in typed.items() if name not in _OWN}
    runs = planned(asked, typed)
    place = config.model_dir or default_place(asked.name, runs[0].flags)
    for run in runs:
        dataset_names(Config.of_mode(**run.flags))  # whose typos are named before anything begins
    _choose_kernels(runs, commands)
    directory = StudyDirectory(place)
    directory.check(runs)
    console.say(f"study: {asked.name} in {place}, {_counted(asked, runs)}")
    if config.dry_run:
        _show_plan(asked, runs, commands)
        return
    _check_data(asked, runs, commands)
    directory.keep(runs)
    stated = {**asked.common, **typed}
    samples = stated.get("bootstrap_samples", config.bootstrap_samples)
    _work(directory, asked, runs, commands, samples)


def _work(
    directory: Any, asked: Study, runs: Sequence[Planned], commands: Any, samples: int
) -> None:
    from micle_tf.study import report
    from micle_tf.study.working import Work

    work = Work(directory, runs, commands)
    work.do()
    report.write(directory, asked, runs, samples)
    left = [run for run in runs if not work.is_done(run)]
    if left:
        for path, reason in work.failed.items():
            console.say(f"failed: {path}: {reason}")
        raise Stopped(
            f"{console.count(len(left), 'run')} of {len(runs):,} not done, of which "
            f"{len(work.failed):,} failed; the same command tries them again"
        )


def _counted(asked: Study, runs: Sequence[Planned]) -> str:
    """ "33 runs: 4 variants, 2 label fractions, 3 seeds"."""
    counts = [
        console.count(len(asked.variants), "variant"),
        console.count(len(asked.label_fractions), "label fraction"),
        console.count(len(asked.seeds), "seed"),
    ]
    return f"{console.count(len(runs), 'run')}: {', '.join(counts)}"


def _choose_kernels(runs: Sequence[Planned], commands: Callable[[list[str]], Any]) -> None:
    """Those of all runs, which are one process; raises BadInput where they want different ones."""
    found: dict[str, tuple[Planned, Any]] = {}
    for run in runs:
        if not run.parent and not run.chosen_from:
            prepared = _without_a_place(run, commands)
            if prepared.config.otherwise("cpu_kernels"):
                continue
            found.setdefault(prepared.config.cpu_kernels, (run, prepared))
    if len(found) > 1:
        stages = " and ".join(f"{run.stage} {kernels}" for kernels, (run, _) in found.items())
        raise BadInput(
            f"--cpu_kernels: one process has one kind, but {stages}; state it under [common]"
        )
    for _, prepared in found.values():
        prepared.choose_kernels()


def _without_a_place(run: Planned, commands: Callable[[list[str]], Any], *more: str) -> Any:
    """The command of a run as if it were alone: from no other, and nowhere in particular."""
    words = command(run, "", {})
    kept = [w for w in words if not w.startswith(("--model_dir=", "--checkpoint="))]
    start = [f"--checkpoint={run.flags['checkpoint']}"] if "checkpoint" in run.flags else []
    return _quietly(commands, [*kept, *start, *more])


def _quietly(commands: Callable[[list[str]], Any], words: list[str]) -> Any:
    """Decides a command, whose notes come when it runs."""
    with contextlib.redirect_stdout(io.StringIO()):
        return commands(words)


# ---------------------------------------------------------------- what the data must have


def _check_data(
    asked: Study, runs: Sequence[Planned], commands: Callable[[list[str]], Any]
) -> None:
    """Raises BadInput for data that variants cannot be judged on, and metrics that it has not."""
    from micle_tf.modes import opening

    data_flags = tagged(Config, Tag.DATA | Tag.POLICY)
    checked: set[tuple[tuple[str, Any], ...]] = set()
    for run in runs:
        key = tuple((name, run.flags[name]) for name in data_flags if name in run.flags)
        if run.kind != "judged" or key in checked:
            continue
        if checked:
            raise BadInput(
                f"{asked.name}: {run.variants[0]} is judged on other data than the variants before "
                "it, so that they cannot be compared; transfer is a stage of mode evaluate"
            )
        checked.add(key)
        config = _without_a_place(run, commands).config.replace(label_fraction=1.0)
        data = opening.open_data(config)
        with contextlib.redirect_stdout(io.StringIO()):  # the runs say it
            targets, splits = opening.labelled_data(config, data)
        if not targets.multilabel and min(asked.label_fractions) < 1:
            _check_classes(asked, targets, splits["train"])
        known = metrics_of_targets(targets.names, targets.multilabel)
        named = {"primary": asked.primary}
        named |= {f"[select] {stage}": metric for stage, metric in asked.select.items()}
        for where, metric in named.items():
            base = metric
            if where != "primary":  # tables are of metrics that predictions give by themselves
                base = metric.removeprefix("calibrated/").partition("@")[0]
            if base and (base not in known or (where, base) == ("primary", VALIDATION_LOSS)):
                raise BadInput(
                    f"{asked.name}: {where} = {metric}: no metric of {data.name}"
                    f"{nearest(metric, known)}"
                )


def _check_classes(asked: Study, targets: Any, train: Any) -> None:
    there = set(train.labels[train.images].tolist())
    lacking = [name for k, name in enumerate(targets.names) if k not in there]
    if lacking:
        raise BadInput(
            f"{asked.name}: label_fractions = {min(asked.label_fractions):g}: {train.name} has no "
            f"labelled case of {lacking[0]}, so that no share of it has one of each class"
        )


def metrics_of_targets(names: Sequence[str], multilabel: bool) -> list[str]:
    """Names of all metrics that images and cases of those classes or findings can have."""
    count = len(names)
    score = np.random.default_rng(0).dirichlet(np.ones(max(2, count)), 4 * count)[:, :count]
    label = np.arange(4 * count) % count
    if multilabel:
        label = (np.arange(4 * count)[:, None] // 2 + np.arange(count)) % 2
    rows = {"label": label, "score": score}
    panels = panels_of({"image": rows, "case": rows}, names, multilabel, Questions(), None)
    known = [VALIDATION_LOSS]
    for of_level in panels.values():
        for panel in of_level:
            known += [*panel.statistic.names, *panel.undefined]
    return known


# ---------------------------------------------------------------- --dry_run


def _show_plan(asked: Study, runs: Sequence[Planned], commands: Callable[[list[str]], Any]) -> None:
    """Says what runs there are, and how long those that train will take."""
    seconds, steps = {}, {}
    for run in runs:
        if run.flags["mode"] in TRAIN and run.stage not in seconds:
            console.say(f"\n{run.stage}:")
            alone = _alone(asked, run)
            result = _without_a_place(alone, commands, "--dry_run").run()
            seconds[run.stage], steps[run.stage] = result["seconds"], result["steps"]
    counts = collections.Counter(run.stage for run in runs)
    shared = sum(len(run.variants) - 1 for run in runs)
    console.say(f"\n{'stage':16s} {'mode':12s} {'runs':>5s} {'steps':>8s}  time of all")
    for stage, count in counts.items():
        mode = asked.stages[stage]["mode"]
        time = "not measured"
        if not math.isnan(seconds.get(stage, math.nan)):
            time = console.duration(count * seconds[stage])
        shown = f"{steps[stage]:,}" if stage in steps else "-"
        console.say(f"{stage:16s} {mode:12s} {count:5,d} {shown:>8s}  {time}")
    whole = sum(counts[stage] * one for stage, one in seconds.items() if not math.isnan(one))
    if shared:
        console.say(f"shared: {console.count(shared, 'run')} less than if no variant shared any")
    console.say(
        f"in all: {console.count(len(runs), 'run')}, {console.duration(whole)} of training, and "
        "judging; dry run: nothing was written"
    )


def _alone(asked: Study, run: Planned) -> Planned:
    """A run with the shapes of the stages before it, from which it would take them."""
    chain = asked.variants[run.variants[0]]
    shapes = ("preset", *tagged(Config, Tag.ENCODER | Tag.INPUT | Tag.PROJECTION | Tag.INHERITED))
    taken: dict[str, Any] = {}
    for stage in chain[: chain.index(run.stage)]:
        taken |= {name: value for name, value in asked.flags(stage).items() if name in shapes}
    start = tagged(Config, Tag.START) if run.parent else ()  # what becomes of weights taken over
    own = {name: value for name, value in run.flags.items() if name not in start}
    return dataclasses.replace(run, flags=own | {n: v for n, v in taken.items() if n not in own})
