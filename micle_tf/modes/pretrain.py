"""--mode=pretrain: contrastive pretraining, SimCLR's or MICLe's."""

import functools
import math

import keras
import tensorflow as tf

from micle_tf import console
from micle_tf.config import (
    Augmentation,
    Batches,
    Encoder,
    Inputs,
    Optimizer,
    Pace,
    Pretraining,
    ProjectionHead,
)
from micle_tf.data import cases, pipeline
from micle_tf.data.augment import Augmentation as Views
from micle_tf.data.seen import UNLABELLED, Seen, keep
from micle_tf.data.targets import Targets
from micle_tf.errors import BadInput
from micle_tf.models import factory
from micle_tf.modes import opening
from micle_tf.training import contrastive, loop, setup, state
from micle_tf.training.handed import Hook, Training
from micle_tf.training.normalization import batch_norm
from micle_tf.training.step import trainable_variables
from micle_tf.training.watch import LearningWatch, likely_causes

_MOST_OF_A_CASE = 50  # images; more are hardly one thing of one patient
_WARNED = "not_learning"  # in the log, so that it is said once in a run


def pretrain(config, stated=None):
    """Runs or resumes a pretraining; see README for what the run directory holds.

    Args:
      config: `Config` with every field decided, `model_dir` too.
      stated: `cli.Stated`: a batch that nobody states is cut to the data, and the chief's
        recipe or preset counts for all workers. None: everything is stated.

    Returns:
      The content of result.json and, of each dataset, `labelled_images`: the number in
      `train_split`; None on a worker that is not the chief; after `dry_run`, see
      `opening.show_plan`.

    Raises:
      BadInput: the data, the batch, the devices or the run directory do not fit.
    """
    # ------------------------------------------------------------ devices and data
    strategy, workers, config = opening.join_devices(config, stated)
    replicas = strategy.num_replicas_in_sync
    opening.check_global_bn(config, replicas)
    data = opening.open_data(config, workers)
    reader = data.open(config.train_split)
    opening.say_data(data)
    units = pipeline.num_units(reader.index, config.method)
    config = opening.fit_batch(config, stated, units, replicas, least=2)
    check_batch(config, reader.index, replicas)
    if config.method == "micle" and not (reader.index.images_per_case > 1).any():
        console.say("warning: every case has one image, so that micle here is simclr")

    # ------------------------------------------------------------ models and run directory
    targets = None
    if config.lineareval_while_pretraining:
        targets = Targets.of(data, split=config.train_split)
    built = build(config, units, strategy, targets)
    models, _, schedule = built
    fits = opening.say_training(config, built, strategy, workers, pairs=True)
    facts = {"replicas": replicas, **data.facts, **opening.start_facts(config)}
    run = state.RunDirectory(config.model_dir, config, facts, data.superseded)
    training = training_of(
        config, data, reader, built, run, units=units, replicas=replicas, targets=targets
    )
    if config.dry_run:
        nouns = ("pair", "image" if config.method == "simclr" else "case")
        return opening.show_plan(config, training, strategy, units, nouns, fits)
    if config.checkpoint and run.status() != state.FINISHED and not run.has_checkpoint():
        opening.take_weights(config, models)

    # ------------------------------------------------------------ train
    with opening.claimed_by_all(run, workers, config) as was_finished:
        if was_finished:
            console.say(f"finished before: {run.path}")
            return _result(run, config, data)
        console.say(
            f"run: {run.path}, {schedule.total_steps:,} steps of {config.train_batch_size} pairs"
        )
        if workers.is_chief:
            seen = Seen.before(config.checkpoint)
            keep(run, seen.add(UNLABELLED, data, config.train_split))
        console.say("shown: loss/chance's, accuracy/chance's, images per second, wait for input")
        if workers.is_chief and not tf.io.gfile.exists(run.file("positive_pairs.png")):
            contrastive.show_pairs(run, training.dataset)
        values = loop.train(training, config.part(Pace), strategy, run, workers)
        if workers.is_chief:
            judged = [f"{training.validation.split}/knn_accuracy"] if training.validation else []
            shown = ("loss", "contrastive_accuracy", "linear_loss", "linear_accuracy", *judged)
            run.finish(
                mode=config.mode, dataset=data.name, method=config.method,
                steps=schedule.total_steps, seconds=values["seconds"], intervals={},
                metrics={name: values[name] for name in shown if name in values},
            )  # fmt: skip
        workers.wait_before_exit()
    return _result(run, config, data) if workers.is_chief else None


def _result(run, config, data):
    labelled = cases.labelled_images(data, config.train_split)
    return state.read_result(run.path, "--model_dir") | {"labelled_images": labelled}


def check_batch(config, index, replicas):
    """Raises BadInput, naming --train_batch_size, if no batch can be made."""
    batch, units = config.train_batch_size, pipeline.num_units(index, config.method)
    noun = "image" if config.method == "simclr" else "case"
    if batch > units:
        most = int(index.images_per_case.max())
        advice = f", of up to {most:,} images; are they classes or splits, not cases?"
        raise BadInput(
            f"--train_batch_size={batch}: --train_split={config.train_split} has only "
            f"{console.count(units, noun)}{advice * (noun == 'case' and most > _MOST_OF_A_CASE)}"
        )
    if batch % replicas or batch < 2 * replicas:
        raise BadInput(
            f"--train_batch_size={batch}: needs the same number of pairs, at least two, on each of "
            f"{replicas} devices"
        )
    setup.check_microbatch(batch, config.microbatch_size, replicas)


def build(config, units, strategy, targets=None):
    """Builds the models and the optimizer under a strategy.

    Args:
      config: `Config`.
      units: images (simclr) or cases (micle) of an epoch.
      strategy: tf.distribute strategy.
      targets: `Targets` of a linear classifier beside the encoder; None for none.

    Returns:
      ({"encoder", "projection_head", perhaps "linear_classifier"}, optimizer, schedule).
    """
    schedule = setup.make_schedule(config.part(Batches), config.part(Optimizer), units)
    with strategy.scope():
        keras.utils.set_random_seed(config.seed)
        norm = batch_norm(strategy.num_replicas_in_sync, config.precision)
        models = factory.contrastive_models(
            config.part(Encoder), config.part(ProjectionHead), config.image_size, norm,
            outputs=len(targets.names) if targets else 0,
        )  # fmt: skip
        optimizer = setup.make_optimizer(config.part(Optimizer), schedule, finetune=False)
        optimizer.build(trainable_variables(models))
    return models, optimizer, schedule


def pairs(config, reader, replicas, steps, shard=(0, 1), labels=None):
    """The pipeline of positive pairs of a config, in parts of one replica; see `pair_dataset`."""
    groups = reader.index.patient_number if config.mask_negatives == "patient" else None
    distinct = config.distinct_probability if config.method == "micle" else 1.0
    return pipeline.pair_dataset(
        reader, config.method, config.train_batch_size,
        Views.of(config.part(Augmentation), config.image_size), config.seed,
        steps, replica_batch=config.train_batch_size // replicas, groups=groups, shard=shard,
        distinct_probability=distinct, labels=labels,
    )  # fmt: skip


def loss_of(config, targets=None):
    """From (outputs, pairs) to the loss of a config and what is logged beside it.

    The outputs are embeddings or, with the `Targets` of a linear classifier beside them, both.
    """
    loss = functools.partial(
        contrastive.contrastive_loss,
        temperature=config.temperature,
        hidden_norm=config.hidden_norm,
        mask_negatives=config.mask_negatives,
        pairs=config.train_batch_size,
    )
    return functools.partial(contrastive.loss_beside, loss, targets) if targets else loss


def training_of(config, data, reader, built, run, *, units, replicas, targets=None):
    """What the loop is handed.

    Args:
      config: `Config`.
      data: `CaseData`.
      reader: of the training split.
      built: of `build`.
      run: `RunDirectory`, asked whether it was said that nothing is learned.
      units: images or cases of an epoch.
      replicas: devices.
      targets: as of `build`.
    """
    models, optimizer, schedule = built
    labels = targets.labels(data, reader.index) if targets else None
    forward = contrastive.embed_and_classify if targets else contrastive.embed
    others = 2 * config.train_batch_size - 1
    return Training(
        models=models,
        optimizer=optimizer,
        schedule=schedule,
        dataset=functools.partial(pairs, config, reader, replicas, labels=labels),
        forward=functools.partial(forward, models),
        loss=loss_of(config, targets),
        total_steps=schedule.total_steps,
        images_per_step=2 * config.train_batch_size,
        constants={"chance": 1 / others, "loss_of_chance": math.log(others)},
        note=contrastive.note,
        logged=contrastive.logged,
        validation=contrastive.neighbour_validation(
            config.part(Pretraining), data, models["encoder"], config.part(Inputs), units=units,
            batch_size=config.train_batch_size,
            eval_batch_size=config.eval_batch_size if config.knn_every else 0,
        ),
        hooks=[_watched(config, schedule, run, models["projection_head"].output_shape[-1])],
    )  # fmt: skip


def _watched(config, schedule, run, directions):
    """The `Hook` that says, once in a run, that nothing is learned."""
    causes = functools.partial(
        likely_causes,
        config.part(Batches),
        config.part(Optimizer),
        config.part(Pretraining),
        augmentation=config.part(Augmentation),
        head=config.part(ProjectionHead),
        rate=schedule.base_learning_rate,
    )
    watch = LearningWatch(schedule, config.train_batch_size, directions, causes)

    def judge(step, values):
        verdict = watch.verdict(step, values.get("effective_rank"))
        if verdict and not run.was_logged(_WARNED):
            console.say(verdict)
            values[_WARNED] = 1.0

    return Hook(after=watch.saw, judge=judge)
