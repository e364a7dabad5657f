"""--mode=finetune: encoder and classifier trained end to end on few labels, and judged."""

import functools

import keras
import numpy as np
import tensorflow as tf

from micle_tf import console
from micle_tf.class_weights import balanced_class_weights, balanced_finding_weights
from micle_tf.cluster import Cluster
from micle_tf.data import cases, pipeline, sampling
from micle_tf.data.augment import Augmentation
from micle_tf.data.seen import keep
from micle_tf.data.supervised import SELECTION_SPLIT, labelled_splits
from micle_tf.data.targets import Targets, is_labelled
from micle_tf.errors import BadInput
from micle_tf.evaluation import predictions
from micle_tf.evaluation.classifier import activation, build_models, logits_of
from micle_tf.evaluation.overlap import seen_before
from micle_tf.losses import masked_sigmoid_cross_entropy, softmax_cross_entropy
from micle_tf.models.resnet import freeze_through
from micle_tf.settings import nearest
from micle_tf.training import loop, memory, plan, state
from micle_tf.training import strategy as strategies
from micle_tf.training.best import Validation
from micle_tf.training.inference import predict_images, traced
from micle_tf.training.normalization import batch_norm
from micle_tf.training.pretrain import (
    check_microbatch,
    check_plan,
    check_profile,
    describe_models,
    fit_batch,
    make_optimizer,
    make_schedule,
    open_data,
)
from micle_tf.training.step import trainable_variables
from micle_tf.training.workers import Workers


def finetune(config, stated=None):
    """Runs or resumes a fine-tuning; without `checkpoint` it is the supervised baseline.

    The checkpoint that does best on validation is the one that is judged on `eval_split`,
    kept in checkpoints/best, and taken by `evaluate` and `export`.

    Args:
      config: `Config` with every field decided, `model_dir` too.
      stated: as for `pretrain`.

    Returns:
      The content of result.json; None on a worker that is not the chief, and after `dry_run`.

    Raises:
      BadInput: the data, the labels, the checkpoint, the batch, the devices or the run
        directory do not fit.
    """
    if config.ft_proj_selector and not config.checkpoint:
        raise BadInput(
            f"--ft_proj_selector={config.ft_proj_selector}: the layers of a projection head come "
            "from a pretraining; name one with --checkpoint=RUN"
        )
    # ------------------------------------------------------------ devices and data
    check_plan(config)
    strategies.check_kernels(config)
    strategies.set_precision(config.precision)
    strategy = strategies.make_strategy(config)
    workers = Workers(strategy, Cluster.of(config))
    replicas = strategy.num_replicas_in_sync
    as_before = state.splits_were_made_before(config.model_dir)
    config = workers.as_the_chief(config, stated)
    is_free = stated is not None and "train_batch_size" not in stated.anywhere
    data = open_data(config, workers, as_before)
    for line in cases.describe(data):
        console.say(line)
    targets = Targets.of_config(config, data)
    splits = labelled_splits(config, data, targets)
    config = fit_batch(config, _units(config, splits["train"]), replicas, is_free, least=1)
    units = _check_batch(config, splits["train"], replicas)

    # ------------------------------------------------------------ model and run directory
    built = _build(config, units, targets, strategy)
    models, _, schedule = built
    check_profile(config, schedule.total_steps)
    console.say(f"devices: {strategies.describe(strategy)}, {config.precision}")
    console.say(f"model: {describe_models(config, models)}")
    fits = memory.say(config, models, replicas // workers.count, pairs=False)
    if config.dry_run:
        training = _training(config, data, targets, splits, built, units=units, replicas=replicas)
        noun = "labelled case" if config.case_images == "one" else "labelled image"
        plan.show(training, config, strategy, units, ("image", noun), fits)
        return None
    facts = {"replicas": replicas, **data.facts, "targets": targets.to_json()}
    run = state.RunDirectory(config.model_dir, config, facts, data.superseded)
    finished, seen, overlap = run.status() == state.FINISHED, None, None
    if not finished:
        seen, overlap = seen_before(config, data, splits)
    _start(config, models, strategy, unstarted=not finished and not run.has_checkpoint())
    training = _training(config, data, targets, splits, built, units=units, replicas=replicas)

    # ------------------------------------------------------------ train and judge
    with workers.claimed(run) as status:
        if status == state.FINISHED:
            return predictions.finished_before(run)
        console.say(
            f"run: {run.path}, up to {schedule.total_steps:,} steps of {config.train_batch_size} "
            f"images; best {training.validation.metric} on {SELECTION_SPLIT}, every "
            f"{training.validation.every_steps:,} steps"
        )
        if workers.is_chief:
            keep(run, seen)
        values = loop.train(training, config, strategy, run, workers)
        if workers.is_chief:
            console.say(f"best: step {values['best_step']:,} of {values['steps']:,}")
            split = splits["evaluation"]
            scores = predict_images(
                _probabilities(models, targets), split.reader, config, f"predicting {split.name}"
            )
            predicted = predictions.by_level(
                split.reader.index, split.labels, scores, data.labels_shared_by_case
            )
            name = f"{SELECTION_SPLIT}/{training.validation.metric}"
            predictions.finish(
                run, config, data, targets, predicted,
                method="finetune" if config.checkpoint else "supervised",
                steps=values["steps"], seconds=values["seconds"],
                metrics={name: values["best_value"]}, seen=overlap.to_json(),
            )  # fmt: skip
        workers.wait_before_exit()
    return state.read_result(run.path, "--model_dir") if workers.is_chief else None


def _units(config, split):
    """How many labelled images, or cases, an epoch has."""
    one_per_case = config.case_images == "one"
    return len(pipeline.labelled_units(split.reader.index, split.images, one_per_case)[0])


def _check_batch(config, split, replicas):
    """The number of units of an epoch; raises BadInput if no batch can be made of them."""
    units = _units(config, split)
    batch = config.train_batch_size
    if batch > units:
        noun = "labelled case" if config.case_images == "one" else "labelled image"
        raise BadInput(
            f"--train_batch_size={batch}: --train_split={config.train_split} has only "
            f"{console.count(units, noun)}"
            + (f" at --label_fraction={config.label_fraction:g}" * (config.label_fraction < 1))
        )
    if batch % replicas:
        raise BadInput(
            f"--train_batch_size={batch}: needs the same number of images on each of "
            f"{replicas} devices"
        )
    check_microbatch(config, replicas)
    return units


def _build(config, units, targets, strategy):
    """Builds the models and the optimizer under a strategy."""
    schedule = make_schedule(config, units)
    with strategy.scope():
        keras.utils.set_random_seed(config.seed)
        norm = batch_norm(strategy.num_replicas_in_sync, config.precision)
        models = build_models(config, targets, norm)
        freeze_through(models["encoder"], config.fine_tune_after_block)
        optimizer = make_optimizer(config, schedule)
        optimizer.build(trainable_variables(models))
    return models, optimizer, schedule


def _start(config, models, strategy, *, unstarted):
    """Says which weights a run begins with, and takes those of --checkpoint where it does begin.

    These are the encoder and the kept part of the projection head.
    """
    if not config.checkpoint:
        console.say(f"weights: random, seed {config.seed}: the supervised baseline")
    elif unstarted:
        parts = {name: model for name, model in models.items() if name != "classifier"}
        with strategy.scope():
            weights = state.restore_models(config.checkpoint, **parts)
        console.say(f"weights: {state.describe_weights(config.checkpoint, weights)}")


def _training(config, data, targets, splits, built, *, units, replicas):
    """What the loop is handed."""
    models, optimizer, schedule = built
    train, selection = splits["train"], splits["selection"]

    def dataset(steps, shard):
        return pipeline.labelled_dataset(
            train.reader, train.images, train.labels, config.train_batch_size,
            Augmentation.of(config), seed=config.seed, steps=steps,
            one_per_case=config.case_images == "one",
            replica_batch=config.train_batch_size // replicas, shard=shard,
        )  # fmt: skip

    probabilities = _probabilities(models, targets)

    def measure():
        scores = predict_images(probabilities, selection.reader, config)
        return _judge_selection(selection, scores, targets, data.labels_shared_by_case)

    per_epoch = sampling.steps_per_epoch(units, config.train_batch_size)
    every = config.steps_between_validations(per_epoch)
    metric = _check_metric(config, data, targets, selection)
    return loop.Training(
        models=models,
        optimizer=optimizer,
        schedule=schedule,
        dataset=dataset,
        forward=lambda batch: logits_of(models, batch["image"], training=True),
        loss=functools.partial(_loss, targets, _weights(config, train, targets)),
        total_steps=schedule.total_steps,
        images_per_step=config.train_batch_size,
        constants={},
        note=functools.partial(_note, metric),
        validation=Validation(
            SELECTION_SPLIT,
            measure,
            every,
            metric,
            config.patience,
            images=selection.reader.index.num_images,
        ),
    )


def _probabilities(models, targets):
    activate = activation(targets)
    return traced(lambda images: activate(logits_of(models, images, training=False)))


def _weights(config, split, targets):
    """Weights in the loss, from the labels that are learned from; None for none."""
    if config.class_weights == "none":
        return None
    labels = split.labels[split.images]
    if targets.multilabel:
        return balanced_finding_weights(labels)
    return balanced_class_weights(labels, len(targets.names))


def _loss(targets, weights, logits, batch):
    """The loss of one replica's images, from their logits [n, K] and batch["label"].

    Returns:
      (loss, {"accuracy"}), the latter for classes only.
    """
    labels = batch["label"]
    if targets.multilabel:
        loss = masked_sigmoid_cross_entropy(
            logits, labels, weights=weights, mean_over_replicas=strategies.mean_over_replicas
        )
        return loss, {}
    hits = tf.cast(tf.argmax(logits, axis=-1) == labels, logits.dtype)
    loss = softmax_cross_entropy(logits, labels, class_weights=weights)
    return loss, {"accuracy": tf.reduce_mean(hits)}


def _judge_selection(split, probabilities, targets, labels_shared_by_case):
    """Metrics and the mean cross-entropy of the labelled images of a split."""
    predicted = predictions.by_level(
        split.reader.index, split.labels, probabilities, labels_shared_by_case
    )
    labelled = is_labelled(split.labels)
    labels, scores = split.labels[labelled], np.clip(probabilities[labelled], 1e-7, 1 - 1e-7)
    if targets.multilabel:
        terms = -np.log(np.where(labels == 1, scores, 1 - scores))[labels >= 0]
    else:
        terms = -np.log(scores[np.arange(len(labels)), labels])
    return {"loss": float(terms.mean())} | predictions.point_metrics(predicted, targets)


def _check_metric(config, data, targets, split):
    """The name of the metric to choose by; raises BadInput unless validation defines it."""
    if config.best_metric:
        metric = config.best_metric.removeprefix("validation/")  # as result.json calls it
    else:
        level = "case/" if data.labels_shared_by_case else ""
        metric = f"{level}findings/auc_mean"
        if not targets.multilabel:
            metric = f"{level or 'image/'}auc_macro"
    shape = (len(split.labels), len(targets.names))
    guess = np.random.default_rng(0).dirichlet(np.ones(shape[1]), shape[0])
    defined = _judge_selection(split, guess, targets, data.labels_shared_by_case)
    if metric not in defined:
        names = [name for name in defined if "/auc/" not in name]
        hint = nearest(metric, defined)
        raise BadInput(f"--best_metric={metric}: not one of {', '.join(names)}{hint}")
    if defined[metric] != defined[metric] and not config.best_metric:
        console.say(
            f"note: {metric} is not defined on {split.name}, so that the lowest loss counts"
        )
        return "loss"
    if defined[metric] != defined[metric]:
        raise BadInput(
            f"--best_metric={metric}: not defined on {split.name}, whose labels are all alike; "
            "--best_metric=loss is"
        )
    return metric


def _note(metric, values):
    text = f"loss {values['loss']:.2f}"
    if "accuracy" in values:
        text += f" acc {values['accuracy']:.0%}"
    if f"validation/{metric}" in values:
        text += f" validation {metric} {values[f'validation/{metric}']:.3f}"
    else:
        text += loop.speed(values)
    return text
