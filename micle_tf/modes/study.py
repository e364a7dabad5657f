"""--mode=study: stages, variants, label fractions and seeds, one run after the other, in tables."""

import contextlib
import dataclasses
import io
from collections.abc import Callable, Sequence
from typing import Any

from micle_tf import console
from micle_tf.config import Config, Judging, Selection
from micle_tf.config.modes import STUDY
from micle_tf.dataset_names import dataset_names
from micle_tf.errors import BadInput, Stopped
from micle_tf.run_config import is_finished
from micle_tf.study import alone, data_checks, plan, reading
from micle_tf.study.directory import StudyDirectory
from micle_tf.study.places import default_place, path_of
from micle_tf.study.runs import Planned, planned
from micle_tf.study.specification import JUDGED_ON, Study

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
        plan.show(directory, asked, runs, commands)
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
            prepared = alone.prepared(directory, run, commands)
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
    config = alone.prepared(directory, judged[0], commands).config.replace(label_fraction=1.0)
    data = opening.open_data(config)
    with contextlib.redirect_stdout(io.StringIO()):  # the runs say it
        targets, splits = opening.labelled_data(config, data)
    directory.check_data(data.facts["data"])
    left = [run for run in judged if not is_finished(directory.run(run))]
    data_checks.check_labels(asked, left, targets, splits["train"])
    first = {run.stage: run for run in reversed(judged)}
    chosen = {
        stage: alone.prepared(directory, first[stage], commands).config for stage in asked.select
    }
    groups = {stage: (one.part(Selection), one.part(Judging)) for stage, one in chosen.items()}
    data_checks.check_metrics(asked, targets, groups, of_cases=data.labels_shared_by_case)
    return data.facts["data"]
