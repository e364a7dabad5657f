"""Steps that several modes take: devices, data, models, weights, the claimed run."""

import contextlib
import os

from micle_tf import cluster, console, pretrained, starts
from micle_tf.cluster import Cluster
from micle_tf.config import (
    Devices,
    Encoder,
    Inputs,
    Judging,
    LabelPolicy,
    Labels,
    Pace,
    ProjectionHead,
)
from micle_tf.data import cases
from micle_tf.data.preview import open_preview
from micle_tf.data.supervised import labelled_splits
from micle_tf.data.targets import Targets
from micle_tf.errors import BadInput
from micle_tf.evaluation import cohort, overlap, predictions
from micle_tf.files import write_text
from micle_tf.models import factory
from micle_tf.run_config import is_run
from micle_tf.settings import nearest
from micle_tf.training import memory, plan, setup, state
from micle_tf.training import strategy as strategies
from micle_tf.training.checkpoints import steps_in
from micle_tf.training.workers import Workers


def set_arithmetic(config):
    """Sets the arithmetic of a run, and says where its kernels cannot be had any more."""
    strategies.check_kernels(config.cpu_kernels)
    strategies.set_precision(config.precision)


def join_devices(config, stated):
    """Joins the devices that a run trains on.

    Args:
      config: `Config`.
      stated: `cli.Stated`, or None, see `modes.pretrain.pretrain`.

    Returns:
      (strategy, `Workers`, the config with the chief's values of what nobody typed).

    Raises:
      BadInput: they are not there, a dry run is asked of several workers, or their step cannot be
        compiled.
    """
    devices = config.part(Devices)
    if config.dry_run and cluster.choose(devices) == "multi_worker":
        raise BadInput(
            "--dry_run: a plan is made on one machine; without TF_CONFIG, --strategy=one_device or "
            "mirrored shows what it does"
        )
    set_arithmetic(config)
    strategy = strategies.make_strategy(devices)
    workers = Workers(strategy, Cluster.of(devices))
    config = workers.as_the_chief(config, stated)
    setup.check_compiled(config.part(Pace), strategy)
    return strategy, workers, config


def open_data(config, workers=None):
    """The `CaseData` of a run: prepared by the chief; of a training's dry run, only looked at."""
    if workers and config.dry_run:
        return open_preview(config)
    as_before = state.splits_were_made_before(config.model_dir)
    opened = lambda: cases.open_cases(config, splits_as_before=as_before)
    return workers.chief_first(opened) if workers else opened()


def say_data(data):
    """Says what the data is."""
    console.say("\n".join(cases.describe(data)))


def fit_batch(config, stated, units, replicas, *, least):
    """A config whose batch is cut to the data and the devices, if nobody stated it."""
    if stated is None or "train_batch_size" in stated.anywhere:
        return config
    size = setup.batch_that_fits(
        config.train_batch_size, units, replicas=replicas,
        microbatch_size=config.microbatch_size, least=least,
    )  # fmt: skip
    return config.replace(train_batch_size=size)


def check_global_bn(config, replicas, *, is_frozen=False):
    """Raises BadInput if --global_bn=false would have to do something, which it does not.

    Args:
      config: `Config`.
      replicas: devices.
      is_frozen: whether no batch norm takes statistics of a batch.
    """
    if not config.global_bn and replicas > 1 and not is_frozen:
        raise BadInput(
            f"--global_bn=false: batch norm takes its statistics over all {replicas} devices here; "
            "leave it out, or train on one with --strategy=one_device"
        )


def say_models(config, models):
    """Says what the models are."""
    kept = config.ft_proj_selector if "classifier" in models else 0
    text = factory.describe(
        models, config.part(Encoder), config.image_size, config.part(ProjectionHead), kept
    )
    preset = f" (preset {config.preset})" * (config.preset in ("laptop", "gpu"))
    console.say(f"model: {text}{preset}")


def say_training(config, built, strategy, workers, *, pairs):
    """Says what trains on what, and what memory that takes.

    Returns:
      Whether it fits, as far as that is known.

    Raises:
      BadInput: steps are to be profiled that the run does not have.
    """
    models, _, schedule = built
    setup.check_profile(config.part(Pace), schedule.total_steps)
    by_xla = ", steps compiled by XLA" * config.jit_compile
    console.say(f"devices: {strategies.describe(strategy)}, {config.precision}{by_xla}")
    say_models(config, models)
    return memory.say(
        models, config.train_batch_size, microbatch_size=config.microbatch_size,
        devices=config.part(Devices), replicas=strategy.num_replicas_in_sync // workers.count,
        pairs=pairs, smaller_preset=config.preset != "laptop",
    )  # fmt: skip


def show_plan(config, training, strategy, units, nouns, fits):
    """Says what `dry_run` asks for, and returns it as a mode's result, see `plan.show`."""
    seconds = plan.show(
        training, strategy, units, nouns, fits, pace=config.part(Pace),
        batch_size=config.train_batch_size, image_size=config.image_size,
    )  # fmt: skip
    return {"steps": training.total_steps, "seconds": seconds}


@contextlib.contextmanager
def claimed_by_all(run, workers, config):
    """Claims a run's directory for all workers of a training, which have the same `Config`.

    Yields:
      Whether the run was finished before.
    """
    with workers.claimed(run) as status:
        if status != state.FINISHED:
            workers.check_same(config)
        yield status == state.FINISHED


def start_facts(config):
    """{"weights": name and hash} of a run that starts from weights of others; else {}."""
    weights = starts.start_of(config.checkpoint, config.model_dir).weights
    return {"weights": weights.fact} if weights else {}


def kept_weights(config):
    """What names the weights that a run in `model_dir` began with, and keeps; "" where it has none,
    or where they are still there that it began with."""
    source = config.checkpoint
    if (
        not source
        or is_run(source)
        or pretrained.is_weights(source)
        or not is_run(config.model_dir)
    ):
        return ""
    there, facts = state.read_config(config.model_dir, "--model_dir")
    same = there.mode == config.mode and "checkpoint" not in config.differences(there)
    kept = steps_in(os.path.join(config.model_dir, "checkpoints"))
    return facts.get("weights", "") if same and kept else ""


def take_weights(config, models):
    """Puts the weights of --checkpoint into models, and says what came in and what is new.

    Args:
      config: `Config`.
      models: {name: built Keras model}; of a pretraining a projection head of another shape
        stays as it is, new.

    Returns:
      What names the weights, for the run's facts.
    """
    run = config.checkpoint
    # Of a pretraining, whatever else it has (the classifier beside it) is its own.
    taken = {name: models[name] for name in ("encoder", "projection_head") if name in models}
    head = taken.get("projection_head")
    if head is not None and (config.new_projection_head or not head.variables):
        del taken["projection_head"]
    if pretrained.is_weights(run):
        report = pretrained.restore(
            run, *taken.values(), first_layers=config.mode == "finetune", flag="--checkpoint"
        )
        line = report.line()
        named = f"{report.description.name} (sha256 {report.description.sha256})"
    else:
        if config.mode == "pretrain" and not state.has_weights_of(run, **taken):
            taken.pop("projection_head", None)
        path = state.restore_models(run, **taken)
        line = f"{state.describe_weights(run, path)}: {_what_came(run, taken)}"
        named = state.identify_weights(path)
    if config.mode == "pretrain" and head.variables and "projection_head" not in taken:
        line += "; new: projection head"
    console.say(f"weights: {line}")
    if config.rescale_kernels:
        factors = pretrained.rescale_kernels(models["encoder"]).values()
        console.say(f"kernels: rescaled by {min(factors):.3g} to {max(factors):.3g}")
    return named


def _what_came(run, taken):
    """ "encoder came in; left out: classifier", of a run of ours and the models that it filled."""
    source, _ = state.read_config(run)
    parts = {"encoder": "encoder", "projection_head": "projection head"}
    text = f"{' and '.join(parts[name] for name in taken)} came in"
    has_head = source.mode == "pretrain" and source.num_proj_layers
    left = ["projection head"] * bool(has_head and "projection_head" not in taken)
    left += ["classifier"] * (source.mode != "pretrain")
    return text + f"; left out: {', '.join(left)}" * bool(left)


def labelled_data(config, data):
    """(`Targets`, labelled splits) of a run that learns from labels, see `labelled_splits`."""
    targets = Targets.of_flags(
        data, config.part(Labels), config.part(LabelPolicy),
        train_split=config.train_split, findings=config.findings,
    )  # fmt: skip
    splits = labelled_splits(
        data, targets, config.part(Inputs), mode=config.mode,
        label_fraction=config.label_fraction, seed=config.seed,
    )  # fmt: skip
    check_questions(config, targets, splits["evaluation"])
    return targets, splits


def check_questions(config, targets, split):
    """Raises BadInput for what is asked of a split and cannot be told of it.

    Args:
      config: `Config`.
      targets: `Targets`.
      split: `LabelledSplit` that is to be judged.
    """
    questions = config.part(Judging).questions()
    stated = questions.prevalence if isinstance(questions.prevalence, dict) else {}
    for name in stated:
        if name not in targets.names:
            raise BadInput(
                f"--prevalence={config.prevalence}: {name} is none of {', '.join(targets.names)}"
                f"{nearest(name, targets.names)}"
            )
    _check_names(questions, targets)
    attributes = split.reader.index.attributes
    known = attributes.names.tolist() if attributes else []
    for attribute in questions.subgroups:
        if attribute.name not in known:
            there = f"has {', '.join(known)}" if known else "states no attributes"
            raise BadInput(
                f"--subgroups={config.subgroups}: no {attribute.name}: {split.name} {there}"
                f"{nearest(attribute.name, known)}"
            )


def _check_names(questions, targets):
    """Raises BadInput where a class is called as another one's metric at a condition is."""
    stated = questions.prevalence
    prevalences = list(stated.values()) if isinstance(stated, dict) else [stated] * bool(stated)
    points = [f"@{point.fixed}={point.at:g}" for point in questions.operating_points]
    for at in (*points, *(f"@prevalence={one:g}" for one in prevalences)):
        twice = next((name for name in targets.names if f"{name}{at}" in targets.names), None)
        if twice is not None:
            raise BadInput(
                f"what is asked of {twice} {at} cannot be told from what there is of {twice}{at}, "
                "which is a name too"
            )


def seen_before(config, data, splits):
    """(`Seen` to keep, `Overlap` with what is judged) of a run that is to learn from labels."""
    return overlap.seen_before(
        data, splits, config.part(Inputs),
        checkpoint=config.checkpoint, allow_seen=config.allow_seen,
    )  # fmt: skip


def by_level(data, split, scores):
    """Rows of images and, where cases have labels, of cases, see `predictions.by_level`.

    Args:
      data: `CaseData`.
      split: `LabelledSplit` of it.
      scores: [I, K] probabilities of its images.
    """
    return predictions.by_level(
        split.reader.index, split.labels, scores, data.labels_shared_by_case
    )


def judge(run, config, data, targets, splits, scores, *, validation, **result):
    """Writes and judges what was predicted of a split, and finishes the run.

    Args:
      run: `RunDirectory`.
      config: `Config`.
      data: `CaseData`.
      targets: `Targets`.
      splits: `LabelledSplit`s of the data: those that the model learned from and was chosen on, and
        last the one that is judged, all of whose images were predicted.
      scores: [I, K] probabilities of its images.
      validation: rows of `predictions.by_level` of the split that chose the model, from which
        temperature and thresholds come; or why there are none.
      **result: see `predictions.finish`.

    Returns:
      The content of result.json.
    """
    *_, split = splits
    others = cohort.judged_before(run.path, config.checkpoint, data.name, config.eval_split)
    counts = cohort.cohort_csv(splits, targets, data.left_out, {split.name: others})
    write_text(run.file("cohort.csv"), counts)
    return predictions.finish(
        run, data, targets, by_level(data, split, scores),
        attributes=split.reader.index.attributes, validation=validation,
        questions=config.part(Judging).questions(), mode=config.mode,
        samples=config.bootstrap_samples, seed=config.seed, **result,
    )  # fmt: skip
