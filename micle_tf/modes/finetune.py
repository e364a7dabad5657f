"""--mode=finetune: encoder and classifier trained end to end on few labels, and judged."""

import functools

import keras

from micle_tf import console
from micle_tf.config import Augmentation, Batches, Encoder, Optimizer, Pace, ProjectionHead
from micle_tf.data import pipeline, sampling
from micle_tf.data.augment import Augmentation as Views
from micle_tf.data.seen import keep
from micle_tf.data.supervised import SELECTION_SPLIT
from micle_tf.errors import BadInput
from micle_tf.evaluation import predictions
from micle_tf.evaluation.classifier import activation
from micle_tf.evaluation.selection import judge_selection, metric_to_choose_by
from micle_tf.models import factory
from micle_tf.models.resnet import freeze_through
from micle_tf.modes import opening
from micle_tf.training import classification, loop, setup, state
from micle_tf.training.best import Validation
from micle_tf.training.clock import speed
from micle_tf.training.handed import Training
from micle_tf.training.inference import predict_images, traced
from micle_tf.training.normalization import batch_norm
from micle_tf.training.step import trainable_variables


def finetune(config, stated=None):
    """Runs or resumes a fine-tuning; without `checkpoint` it is the supervised baseline.

    The checkpoint that does best on validation is the one that is judged on `eval_split`,
    kept in checkpoints/best, and taken by `evaluate` and `export`.

    Args:
      config: `Config` with every field decided, `model_dir` too.
      stated: as for `pretrain`.

    Returns:
      The content of result.json; None on a worker that is not the chief; after `dry_run`, see
      `opening.show_plan`.

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
    strategy, workers, config = opening.join_devices(config, stated)
    replicas = strategy.num_replicas_in_sync
    is_frozen = config.fine_tune_after_block == 4 and not config.ft_proj_selector
    opening.check_global_bn(config, replicas, is_frozen=is_frozen)
    data = opening.open_data(config, workers)
    opening.say_data(data)
    targets, splits = opening.labelled_data(config, data)
    units = _units(config, splits["train"])
    config = opening.fit_batch(config, stated, units, replicas, least=1)
    check_batch(config, units, replicas)

    # ------------------------------------------------------------ models and run directory
    built = build(config, units, targets, strategy)
    models, _, schedule = built
    fits = opening.say_training(config, built, strategy, workers, pairs=False)
    if config.dry_run:
        training = training_of(config, data, targets, splits, built, units=units, replicas=replicas)
        return opening.show_plan(config, training, strategy, units, ("image", _noun(config)), fits)
    facts = {"replicas": replicas, **data.facts, "targets": targets.to_json()}
    facts |= opening.start_facts(config)
    run = state.RunDirectory(config.model_dir, config, facts, data.superseded)
    finished, seen, overlap = run.status() == state.FINISHED, None, None
    if not finished:
        seen, overlap = opening.seen_before(config, data, splits)
    _start(config, models, strategy, unstarted=not finished and not run.has_checkpoint())
    training = training_of(config, data, targets, splits, built, units=units, replicas=replicas)

    # ------------------------------------------------------------ train and judge
    with opening.claimed_by_all(run, workers, config) as was_finished:
        if was_finished:
            return predictions.finished_before(run)
        console.say(
            f"run: {run.path}, up to {schedule.total_steps:,} steps of {config.train_batch_size} "
            f"images; best {training.validation.metric} on {SELECTION_SPLIT}, every "
            f"{training.validation.every_steps:,} steps"
        )
        if workers.is_chief:
            keep(run, seen)
        values = loop.train(training, config.part(Pace), strategy, run, workers)
        if workers.is_chief:
            console.say(f"best: step {values['best_step']:,} of {values['steps']:,}")
            probabilities = _probabilities(models, targets)
            predict = lambda split: predict_images(
                probabilities, split.reader, config.image_size, config.eval_batch_size,
                f"predicting {split.name}",
            )  # fmt: skip
            selection, judged = splits["selection"], splits["evaluation"]
            name = f"{SELECTION_SPLIT}/{training.validation.metric}"
            opening.judge(
                run, config, data, targets, splits.values(), predict(judged),
                validation=opening.by_level(data, selection, predict(selection)),
                method="finetune" if config.checkpoint else "supervised",
                steps=values["steps"], seconds=values["seconds"],
                metrics={name: values["best_value"]}, seen=overlap.to_json(),
            )  # fmt: skip
        workers.wait_before_exit()
    return state.read_result(run.path, "--model_dir") if workers.is_chief else None


def _noun(config):
    return "labelled case" if config.case_images == "one" else "labelled image"


def _units(config, split):
    """How many labelled images, or cases, an epoch has."""
    one_per_case = config.case_images == "one"
    return len(pipeline.labelled_units(split.reader.index, split.images, one_per_case)[0])


def check_batch(config, units, replicas):
    """Raises BadInput, naming --train_batch_size, if no batch can be made of an epoch's units."""
    batch = config.train_batch_size
    if batch > units:
        raise BadInput(
            f"--train_batch_size={batch}: --train_split={config.train_split} has only "
            f"{console.count(units, _noun(config))}"
            + (f" at --label_fraction={config.label_fraction:g}" * (config.label_fraction < 1))
        )
    if batch % replicas:
        raise BadInput(
            f"--train_batch_size={batch}: needs the same number of images on each of "
            f"{replicas} devices"
        )
    setup.check_microbatch(batch, config.microbatch_size, replicas)


def build(config, units, targets, strategy):
    """Builds the models and the optimizer under a strategy.

    Args:
      config: `Config`.
      units: labelled images, or cases, of an epoch.
      targets: `Targets`.
      strategy: tf.distribute strategy.

    Returns:
      ({"encoder", perhaps "projection_head", "classifier"}, optimizer, schedule).
    """
    schedule = setup.make_schedule(config.part(Batches), config.part(Optimizer), units)
    with strategy.scope():
        keras.utils.set_random_seed(config.seed)
        models = factory.classifier_models(
            config.part(Encoder), config.part(ProjectionHead), config.image_size,
            len(targets.names), kept_layers=config.ft_proj_selector,
            zero_classifier=config.zero_init_logits_layer,
            norm=batch_norm(strategy.num_replicas_in_sync, config.precision),
        )  # fmt: skip
        freeze_through(models["encoder"], config.fine_tune_after_block)
        optimizer = setup.make_optimizer(config.part(Optimizer), schedule, finetune=True)
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
            opening.take_weights(config, parts)


def training_of(config, data, targets, splits, built, *, units, replicas):
    """What the loop is handed.

    Args:
      config: `Config`.
      data: `CaseData`.
      targets: `Targets`.
      splits: of `labelled_splits`.
      built: of `build`.
      units: labelled images, or cases, of an epoch.
      replicas: devices.
    """
    models, optimizer, schedule = built
    train, selection = splits["train"], splits["selection"]

    def dataset(steps, shard):
        return pipeline.labelled_dataset(
            train.reader, train.images, train.labels, config.train_batch_size,
            Views.of(config.part(Augmentation), config.image_size), seed=config.seed, steps=steps,
            one_per_case=config.case_images == "one",
            replica_batch=config.train_batch_size // replicas, shard=shard,
        )  # fmt: skip

    probabilities = _probabilities(models, targets)

    def measure():
        scores = predict_images(
            probabilities, selection.reader, config.image_size, config.eval_batch_size
        )
        return judge_selection(selection, scores, targets, data.labels_shared_by_case)

    per_epoch = sampling.steps_per_epoch(units, config.train_batch_size)
    metric = metric_to_choose_by(config.best_metric, selection, targets, data.labels_shared_by_case)
    weights = classification.weights_in_loss(config.class_weights, train, targets)
    return Training(
        models=models,
        optimizer=optimizer,
        schedule=schedule,
        dataset=dataset,
        forward=lambda batch: factory.applied(models, batch["image"], training=True),
        loss=functools.partial(classification.classification_loss, targets, weights),
        total_steps=schedule.total_steps,
        images_per_step=config.train_batch_size,
        constants={},
        note=functools.partial(_note, metric),
        validation=Validation(
            SELECTION_SPLIT, measure, config.steps_between_validations(per_epoch), metric,
            config.patience, images=selection.reader.index.num_images,
        ),
    )  # fmt: skip


def _probabilities(models, targets):
    activate = activation(targets)
    return traced(lambda images: activate(factory.applied(models, images, training=False)))


def _note(metric, values):
    text = f"loss {values['loss']:.2f}"
    if "accuracy" in values:
        text += f" acc {values['accuracy']:.0%}"
    if f"validation/{metric}" in values:
        return text + f" validation {metric} {values[f'validation/{metric}']:.3f}"
    return text + speed(values)
