"""--dry_run of a study: what is left of it, and how long that takes, measured."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from micle_tf import console
from micle_tf.config import Config, Optimizer
from micle_tf.config.modes import TRAIN
from micle_tf.run_config import is_finished
from micle_tf.settings import Tag, tagged
from micle_tf.study.alone import prepared
from micle_tf.study.directory import StudyDirectory
from micle_tf.study.runs import Planned
from micle_tf.study.specification import Study, combinations
from micle_tf.study.tables import share


def show(
    directory: StudyDirectory,
    asked: Study,
    runs: Sequence[Planned],
    commands: Callable[[list[str]], Any],
) -> None:
    """Says which runs are left, and how long those that train will take.

    A line is of all runs of a stage that have as many steps, and its time is that of all of them.
    """
    left = [run for run in runs if not is_finished(directory.run(run))]
    if len(left) < len(runs):
        console.say(f"done: {console.count(len(runs) - len(left), 'run')} of {len(runs):,}")
    plans = _measured(directory, asked, left, commands)
    modes = {run.named_stage: run.flags["mode"] for run in left}
    lines: dict[tuple[str, int | None], list[float]] = {}
    for run in left:
        plan = plans.get(run.path, {})
        seconds = lines.setdefault((run.named_stage, plan.get("steps")), [])
        seconds.append(plan.get("seconds", math.nan))
    width = max(map(len, ["stage".ljust(16), *modes]))
    console.say(f"\n{'stage':{width}s} {'mode':12s} {'runs':>5s} {'steps':>8s}  time of all")
    whole = 0.0
    for (stage, steps), seconds in lines.items():
        shown = "-" if steps is None else f"{steps:,}"
        time = "not measured"
        if not math.isnan(sum(seconds)):
            time = console.duration(sum(seconds))
            whole += sum(seconds)
        console.say(f"{stage:{width}s} {modes[stage]:12s} {len(seconds):5,d} {shown:>8s}  {time}")
    shared = sum(len(run.variants) - 1 for run in left)
    if shared:
        console.say(f"shared: {console.count(shared, 'run')} less than if no variant shared any")
    console.say(
        f"in all: {console.count(len(left), 'run')}, {console.duration(whole)} of training, and "
        "judging; dry run: nothing was written"
    )


def _measured(
    directory: StudyDirectory,
    asked: Study,
    left: Sequence[Planned],
    commands: Callable[[list[str]], Any],
) -> dict[str, dict[str, Any]]:
    """{path: {"steps", "seconds"}} of the runs that train, each measured or as one that was.

    With a share of the labels, all seeds count as the first: of another, the cases that are drawn
    may have some images more or less.
    """
    found, kinds, plans = {}, {}, {}
    for run in left:
        if run.flags["mode"] not in TRAIN:
            continue
        by_itself = _alone(asked, run)
        of_all_seeds = (
            run.named_stage,
            bool(run.parent),
            *sorted((by_itself.flags | {"seed": 0}).items()),
        )
        if of_all_seeds not in kinds:
            config = prepared(directory, by_itself, commands).config
            kinds[of_all_seeds] = (run.named_stage, _what_takes_time(config, by_itself))
        stage, config = kinds[of_all_seeds]
        if (stage, config) not in plans:
            part = config.label_fraction
            console.say(f"\n{stage}{f', {share(part)} of the labels' * (part < 1)}:")
            plan = prepared(directory, by_itself, commands, "--dry_run").run()
            plans[stage, config] = plan
        found[run.path] = plans[stage, config]
    return found


def _what_takes_time(config: Config, run: Planned) -> Config:
    """The same for runs that take as many steps and as long a time, whatever else differs.

    The share of the labels matters where epochs count, to train or from one validation to the next,
    and where nobody states the batch, which is cut to what is there.
    """
    by_epochs = config.steps_between_validations(1) != config.steps_between_validations(2)
    matters = by_epochs or not config.train_steps or "train_batch_size" not in run.flags
    usual = {field.name: field.default for field in dataclasses.fields(Optimizer)}
    return config.replace(
        **usual, label_fraction=config.label_fraction if matters else 1.0, seed=0,
        eval_split="test", model_dir="",
    )  # fmt: skip


def _alone(asked: Study, run: Planned) -> Planned:
    """A run with the shapes of the stages before it, from which it would take them.

    Where the first of them starts from weights of others, it does too, which have a shape. What is
    chosen later is as in the first run of the grid.
    """
    chain = asked.named_variants()[run.variants[0]]
    asked = asked.with_architecture(run.architecture)
    shapes = ("preset", *tagged(Config, Tag.ENCODER | Tag.INPUT | Tag.PROJECTION | Tag.INHERITED))
    taken: dict[str, Any] = {}
    for stage in chain[: chain.index(run.stage)]:
        taken |= {name: value for name, value in asked.flags(stage).items() if name in shapes}
    first = asked.stages[chain[0]]
    taken |= {"checkpoint": first["checkpoint"]} if "checkpoint" in first else {}
    start = tagged(Config, Tag.START) if run.parent else ()  # what becomes of weights taken over
    tried = next(combinations(asked.grid.get(run.stage, {})))
    flags = run.flags | tried | run.choice
    own = {name: value for name, value in flags.items() if name not in start}
    return dataclasses.replace(run, flags=own | {n: v for n, v in taken.items() if n not in own})
