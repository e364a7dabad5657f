"""--mode=study: stages, variants, label fractions and seeds, one run after the other, in tables."""

import contextlib
import dataclasses
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from micle_tf import console
from micle_tf.config import Config, Judging, Optimizer
from micle_tf.config.modes import STUDY, TRAIN
from micle_tf.data.targets import choose_labelled
from micle_tf.dataset_names import dataset_names
from micle_tf.errors import BadInput, Stopped
from micle_tf.evaluation.contrasts import PRIMARY
from micle_tf.evaluation.judging import from_validation, panels_of
from micle_tf.run_config import is_finished
from micle_tf.settings import Tag, nearest, tagged
from micle_tf.statistics.questions import Questions
from micle_tf.study import reading
from micle_tf.study.directory import StudyDirectory
from micle_tf.study.places import default_place, path_of
from micle_tf.study.runs import Planned, command, planned
from micle_tf.study.specification import JUDGED_ON, Study, combinations
from micle_tf.study.tables import share

VALIDATION_LOSS = "validation/loss"
NOTHING_ELSE = Questions()
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
    asked = reading.read(path_of(config.study))
    typed = {name: value for name, value in typed.items() if name not in _OWN}
    runs = planned(asked, typed)
    judged = next(run for run in runs if run.kind == "judged")
    usual = default_place(asked.name, judged.flags)  # which wants to know the data
    place = config.model_dir or usual
    for run in runs:
        dataset_names(Config.of_mode(**run.flags))  # whose typos are named before anything begins
    directory = StudyDirectory(place)
    directory.check(runs)
    _choose_kernels(directory, runs, commands)
    console.say(f"study: {asked.name} in {place}, {_counted(asked, runs)}")
    if config.dry_run:
        _show_plan(directory, asked, runs, commands)
        return
    data = _check_data(directory, asked, runs, commands)
    directory.keep(runs, data)
    stated = {**asked.common, **typed}
    samples = stated.get("bootstrap_samples", config.bootstrap_samples)
    _work(directory, asked, runs, commands, samples)


def _work(
    directory: StudyDirectory, asked: Study, runs: Sequence[Planned], commands: Any, samples: int
) -> None:
    from micle_tf.study import report
    from micle_tf.study.working import Work

    work = Work(directory, runs, commands)
    work.do()
    for path, reason in work.failed.items():
        console.say(f"failed: {path}: {reason}")
    report.write(directory, asked, runs, samples)
    left = [run for run in runs if not work.is_done(run)]
    if left:
        raise Stopped(
            f"{console.count(len(left), 'run')} of {len(runs):,} not done, of which "
            f"{len(work.failed):,} failed; the same command tries them again"
        )


def _counted(asked: Study, runs: Sequence[Planned]) -> str:
    """ "33 runs: 4 variants, 2 label fractions, 3 seeds"."""
    counts = [
        console.count(len(asked.variants), "variant"),
        *([console.count(len(asked.architectures), "architecture")] * bool(asked.architectures)),
        console.count(len(asked.label_fractions), "label fraction"),
        console.count(len(asked.seeds), "seed"),
    ]
    return f"{console.count(len(runs), 'run')}: {', '.join(counts)}"


def _choose_kernels(
    directory: StudyDirectory, runs: Sequence[Planned], commands: Callable[[list[str]], Any]
) -> None:
    """Those of all runs, which are one process; raises BadInput where they want different ones."""
    found: dict[str, tuple[Planned, Any]] = {}
    for run in runs:
        if not run.parent and not run.chosen_from:
            prepared = _without_a_place(directory, run, commands)
            if prepared.config.otherwise("cpu_kernels"):
                continue
            found.setdefault(prepared.config.cpu_kernels, (run, prepared))
    if len(found) > 1:
        stages = " and ".join(f"{run.named_stage} {kernels}" for kernels, (run, _) in found.items())
        raise BadInput(
            f"--cpu_kernels: one process has one kind, but {stages}; state it under [common]"
        )
    for _, prepared in found.values():
        prepared.choose_kernels()


def _without_a_place(
    directory: StudyDirectory, run: Planned, commands: Callable[[list[str]], Any], *more: str
) -> Any:
    """The command of a run as if it were alone: from no other, and nowhere in particular.

    Raises:
      BadInput: what its stage states cannot be, as encoder and weights that do not fit.
    """
    first, *rest = command(run, "", {})
    words = [first, *directory.decided(run), *rest]
    kept = [w for w in words if not w.startswith(("--model_dir=", "--checkpoint="))]
    start = [f"--checkpoint={run.flags['checkpoint']}"] if "checkpoint" in run.flags else []
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # its notes come when it runs
            return commands([*kept, *start, *more])
    except BadInput as error:
        raise BadInput(f"{run.named_stage}: {error}") from None


# ---------------------------------------------------------------- what the data must have


def _check_data(
    directory: StudyDirectory,
    asked: Study,
    runs: Sequence[Planned],
    commands: Callable[[list[str]], Any],
) -> str:
    """The name of the prepared data that all variants are judged on, which says its content.

    Raises:
      BadInput: they cannot be judged on it, or not all on the same; it is another than that of the
        runs that are there; or it has not the metrics that are named.
    """
    from micle_tf.modes import opening

    judged = [run for run in runs if run.kind == "judged"]
    keys = [[(name, run.flags.get(name)) for name in JUDGED_ON] for run in judged]
    for run, key in zip(judged, keys, strict=True):
        if key != keys[0]:
            raise BadInput(
                f"{asked.name}: {run.variants[0]} is judged on other data than "
                f"{judged[0].variants[0]}, so that they cannot be compared; transfer is a stage of "
                "mode evaluate"
            )
    config = _without_a_place(directory, judged[0], commands).config.replace(label_fraction=1.0)
    data = opening.open_data(config)
    with contextlib.redirect_stdout(io.StringIO()):  # the runs say it
        targets, splits = opening.labelled_data(config, data)
    directory.check_data(data.facts["data"])
    left = [run for run in judged if not is_finished(directory.run(run))]
    _check_labels(asked, left, targets, splits["train"])
    first = {run.stage: run for run in reversed(judged)}
    configs = {
        stage: _without_a_place(directory, first[stage], commands).config for stage in asked.select
    }
    _check_metrics(asked, targets, configs, of_cases=data.labels_shared_by_case)
    return data.facts["data"]


def _check_metrics(
    asked: Study, targets: Any, configs: Mapping[str, Config], *, of_cases: bool
) -> None:
    """Raises BadInput for a metric that runs of the targets cannot have, or not be compared by.

    Args:
      asked: `Study`.
      targets: `Targets`.
      configs: {stage of its [select]: `Config` of one of its runs}.
      of_cases: whether cases have labels, and so metrics.
    """
    known = lambda questions: [
        name
        for name in metrics_of_targets(targets.names, targets.multilabel, questions)
        if of_cases or not name.removeprefix("calibrated/").startswith("case/")
    ]
    # Tables are of what predictions give by themselves.
    marks = ("@", "calibrated/", VALIDATION_LOSS)
    of_tables = [one for one in known(NOTHING_ELSE) if not any(mark in one for mark in marks)]
    named = {"primary": (asked.primary, of_tables)}
    for stage, metric in asked.select.items():
        if metric == VALIDATION_LOSS and not _keeps_loss(configs[stage], asked.grid[stage]):
            raise BadInput(
                f"{asked.name}: [select] {stage} = {metric}: a fine-tuning says it if its own best "
                f'checkpoint is chosen by it; add best_metric = "loss" to [stages.{stage}]'
            )
        names = known(configs[stage].part(Judging).questions())
        named[f"[select] {stage}"] = (metric, names)
    for where, (metric, names) in named.items():
        if metric and metric not in names:
            shown = f"; it is one of {', '.join(one for one in PRIMARY if one in names)}, ..."
            raise BadInput(
                f"{asked.name}: {where} = {metric}: no metric to compare by"
                f"{nearest(metric, names) or shown}"
            )


def _keeps_loss(config: Config, grid: Mapping[str, Sequence[Any]]) -> bool:
    """Whether runs say their loss on validation: of fine-tunings, those that are chosen by it."""
    chosen_by = grid.get("best_metric", [config.best_metric])
    return config.mode != "finetune" or not {"loss", VALIDATION_LOSS}.isdisjoint(chosen_by)


def _check_labels(asked: Study, left: Sequence[Planned], targets: Any, train: Any) -> None:
    """Raises BadInput where a run would draw no case of a class, or with or without a finding.

    With one seed a smaller fraction is a part of a larger one, so that the smallest is looked at. A
    class that all labels lack is one that no share has; a finding that they lack is not judged.

    Args:
      asked: `Study`.
      left: its judged runs that are not made yet.
      targets: `Targets`.
      train: `LabelledSplit` of all labels.
    """
    smallest = {
        run.seed: min(one.fraction or 1.0 for one in left if one.seed == run.seed) for run in left
    }
    of_all = _lacking(targets, train.labels[train.images])
    for seed, fraction in smallest.items():
        if fraction == 1:
            continue
        where = f"{asked.name}: label_fractions = {fraction:g}"
        if of_all and not targets.multilabel:
            raise BadInput(
                f"{where}: {train.name} has no labelled case {of_all[0]}, so that no share of it "
                "has one of each class"
            )
        images = choose_labelled(train.labels, train.reader.index, fraction, seed)
        lacking = [one for one in _lacking(targets, train.labels[images]) if one not in of_all]
        if lacking:
            raise BadInput(
                f"{where}: of {train.name}, seed {seed} draws no labelled case {lacking[0]}; take "
                "a larger share"
            )


def _lacking(targets: Any, labels: np.ndarray) -> list[str]:
    """ "of naevus", "with edema", "without edema": those that no image has."""
    found = []
    for k, name in enumerate(targets.names):
        if targets.multilabel:
            kinds = {f"with {name}": labels[:, k] == 1, f"without {name}": labels[:, k] == 0}
        else:
            kinds = {f"of {name}": labels == k}
        found += [kind for kind, has in kinds.items() if not has.any()]
    return found


def metrics_of_targets(
    names: Sequence[str], multilabel: bool, questions: Questions = NOTHING_ELSE
) -> list[str]:
    """Names of all metrics that say which of two models is better, of images and of cases.

    Args:
      names: of the classes or findings.
      multilabel: whether they are findings.
      questions: what is asked of a run beyond what is always said.
    """
    count = len(names)
    score = np.random.default_rng(0).dirichlet(np.ones(max(2, count)), 4 * count)[:, :count]
    label = np.arange(4 * count) % count
    if multilabel:
        label = (np.arange(4 * count)[:, None] // 2 + np.arange(count)) % 2
    ids = np.array([["image", str(k), "", str(k)] for k in range(4 * count)])
    level = {"label": label, "score": score, "ids": ids, "patient": ids[:, 1]}
    rows = {"image": level, "case": level}
    fixed = from_validation(rows, names, multilabel, questions.operating_points)
    known = [VALIDATION_LOSS]
    for of_level in panels_of(rows, names, multilabel, questions, fixed).values():
        for panel in of_level:
            known += [*panel.statistic.names, *panel.undefined]
    # The best slope is 1 and the best intercept 0, neither the highest nor the lowest.
    return [name for name in known if "calibration_" not in name]


# ---------------------------------------------------------------- --dry_run


def _show_plan(
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
        alone = _alone(asked, run)
        of_all_seeds = (
            run.named_stage,
            bool(run.parent),
            *sorted((alone.flags | {"seed": 0}).items()),
        )
        if of_all_seeds not in kinds:
            config = _without_a_place(directory, alone, commands).config
            kinds[of_all_seeds] = (run.named_stage, _what_takes_time(config, alone))
        stage, config = kinds[of_all_seeds]
        if (stage, config) not in plans:
            part = config.label_fraction
            console.say(f"\n{stage}{f', {share(part)} of the labels' * (part < 1)}:")
            plan = _without_a_place(directory, alone, commands, "--dry_run").run()
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
