"""--mode=pretrain: contrastive pretraining, SimCLR's or MICLe's."""

import functools
import math

import keras
import tensorflow as tf

from micle_tf import cluster, console, monitors
from micle_tf.cluster import Cluster
from micle_tf.data import cases, pipeline, sampling
from micle_tf.data.augment import Augmentation
from micle_tf.data.preview import open_preview
from micle_tf.data.seen import UNLABELLED, Seen, keep
from micle_tf.data.targets import is_labelled
from micle_tf.errors import BadInput
from micle_tf.files import renamed_when_whole
from micle_tf.losses import nt_xent_and_accuracy
from micle_tf.models.heads import CLASSIFIER_PATH, projection_head
from micle_tf.models.resnet import resnet_encoder
from micle_tf.optimizers import LARS, SGDL2, WarmupCosine, scaled_learning_rate
from micle_tf.training import loop, memory, plan, state
from micle_tf.training import strategy as strategies
from micle_tf.training.best import Validation
from micle_tf.training.inference import predict_images, traced
from micle_tf.training.normalization import batch_norm
from micle_tf.training.step import trainable_variables
from micle_tf.training.watch import LearningWatch
from micle_tf.training.workers import Workers

_PAIRS_SHOWN = 8
_MOST_OF_A_CASE = 50  # images; more are hardly one thing of one patient
_RANK_UP_TO = 2048  # rows of the matrix behind the effective rank: 1 s at each log on one core
_SHOWN_PIXELS = 144  # small images are enlarged to about this side


def pretrain(config, stated=None):
    """Runs or resumes a pretraining; see README for what the run directory holds.

    Args:
      config: `Config` with every field decided, `model_dir` too.
      stated: `cli.Stated`: a batch that nobody states is cut to the data, and the chief's
        recipe or preset counts for all workers. None: everything is stated.

    Returns:
      The content of result.json and, of each dataset, `labelled_images`: the number in
      `train_split`; None on a worker that is not the chief, and after `dry_run`.

    Raises:
      BadInput: the data, the batch, the devices or the run directory do not fit.
    """
    # ------------------------------------------------------------ devices and data
    check_plan(config)
    strategies.check_kernels(config)
    strategies.set_precision(config.precision)
    strategy = strategies.make_strategy(config)
    workers = Workers(strategy, Cluster.of(config))
    as_before = state.splits_were_made_before(config.model_dir)
    config = workers.as_the_chief(config, stated)
    is_free = stated is not None and "train_batch_size" not in stated.anywhere
    data = open_data(config, workers, as_before)
    reader = data.open(config.train_split)
    for line in cases.describe(data):
        console.say(line)
    units = pipeline.num_units(reader.index, config.method)
    config = fit_batch(config, units, strategy.num_replicas_in_sync, is_free, least=2)
    check_batch(config, reader.index, strategy.num_replicas_in_sync)
    if config.method == "micle" and not (reader.index.images_per_case > 1).any():
        console.say("warning: every case has one image, so that micle here is simclr")

    # ------------------------------------------------------------ model and run directory
    models, optimizer, schedule, total_steps = build(config, reader.index, strategy)
    check_profile(config, total_steps)
    console.say(f"devices: {strategies.describe(strategy)}, {config.precision}")
    console.say(f"model: {describe_models(config, models)}")
    fits = memory.say(config, models, strategy.num_replicas_in_sync // workers.count, pairs=True)
    watch = LearningWatch(config, schedule)
    dataset = functools.partial(pairs, config, reader, strategy.num_replicas_in_sync)
    others = 2 * config.train_batch_size - 1
    training = loop.Training(
        models=models,
        optimizer=optimizer,
        schedule=schedule,
        dataset=dataset,
        forward=functools.partial(embed, models),
        loss=functools.partial(contrastive_loss, config),
        total_steps=total_steps,
        images_per_step=2 * config.train_batch_size,
        constants={"chance": 1 / others, "loss_of_chance": math.log(others)},
        note=_note,
        logged=_logged,
        validation=knn_validation(config, data, models["encoder"]),
        saw=watch.saw,
        verdict=lambda step, values: watch.verdict(step, values.get("effective_rank")),
    )
    if config.dry_run:
        nouns = ("pair", "image" if config.method == "simclr" else "case")
        plan.show(training, config, strategy, units, nouns, fits)
        return None
    run = state.RunDirectory(
        config.model_dir, config,
        {"replicas": strategy.num_replicas_in_sync, **data.facts}, data.superseded,
    )  # fmt: skip
    if config.checkpoint and run.status() != state.FINISHED and not run.has_checkpoint():
        weights = state.restore_models(config.checkpoint, **models)
        console.say(f"weights: {state.describe_weights(config.checkpoint, weights)}")

    # ------------------------------------------------------------ train
    with workers.claimed(run) as status:
        if status == state.FINISHED:
            console.say(f"finished before: {run.path}")
            return _result(run, config, data)
        console.say(f"run: {run.path}, {total_steps:,} steps of {config.train_batch_size} pairs")
        if workers.is_chief:
            seen = Seen.before(config.checkpoint)
            keep(run, seen.add(UNLABELLED, data, config.train_split))
        console.say("shown: loss/chance's, accuracy/chance's, images per second, wait for input")
        if workers.is_chief and not tf.io.gfile.exists(run.file("positive_pairs.png")):
            show_pairs(run, dataset)
        values = loop.train(training, config, strategy, run, workers)
        if workers.is_chief:
            judged = [f"{training.validation.split}/knn_accuracy"] if training.validation else []
            shown = ("loss", "contrastive_accuracy", *judged)
            run.finish(
                mode=config.mode,
                dataset=data.name,
                method=config.method,
                steps=total_steps,
                seconds=values["seconds"],
                metrics={name: values[name] for name in shown if name in values},
                intervals={},
            )
        workers.wait_before_exit()
    return _result(run, config, data) if workers.is_chief else None


def check_plan(config):
    """Raises BadInput if a dry run is asked of several workers."""
    if config.dry_run and cluster.choose(config, 0) == "multi_worker":
        raise BadInput(
            "--dry_run: a plan is made on one machine; without TF_CONFIG, --strategy=one_device or "
            "mirrored shows what it does"
        )


def open_data(config, workers, as_before):
    """The `CaseData` of a run, prepared by the chief; of a dry run, without writing anything."""
    if config.dry_run:
        return open_preview(config)
    return workers.chief_first(lambda: cases.open_cases(config, splits_as_before=as_before))


def fit_batch(config, units, replicas, is_free, least):
    """A config whose batch is cut to the data and the devices, if nobody stated it; says so.

    Args:
      config: `Config`.
      units: how many pairs or labelled images there are.
      replicas: devices.
      is_free: nobody stated it.
      least: rows that a device has to have; below, the batch stays, to be refused.
    """
    if not is_free:
        return config
    parts = replicas * max(1, config.microbatch_size)
    size = min(config.train_batch_size, units) // parts * parts
    if size == config.train_batch_size or size < max(2, least * replicas):
        return config
    reason = f"there are {units:,}" if units < config.train_batch_size else f"{parts} divides it"
    console.say(f"batch: {config.train_batch_size} cut to {size}: {reason}")
    return config.replace(train_batch_size=size)


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
    check_microbatch(config, replicas)


def check_microbatch(config, replicas):
    """Raises BadInput, naming --microbatch_size, unless it divides the batch of a device."""
    rows, size = config.train_batch_size // replicas, config.microbatch_size
    if size and rows % size:
        raise BadInput(f"--microbatch_size={size}: does not divide the {rows} rows of a device")


def build(config, index, strategy):
    """Builds the models and the optimizer under a strategy.

    Returns:
      ({"encoder", "projection_head"}, optimizer, schedule, total steps).
    """
    schedule = make_schedule(config, pipeline.num_units(index, config.method))
    with strategy.scope():
        keras.utils.set_random_seed(config.seed)
        norm = batch_norm(strategy.num_replicas_in_sync, config.precision)
        models = {
            "encoder": build_encoder(config, norm),
            "projection_head": projection_head(config.num_proj_layers, config.proj_out_dim, norm),
        }
        models["projection_head"].build(models["encoder"].output_shape)
        optimizer = make_optimizer(config, schedule)
        optimizer.build(trainable_variables(models))
    return models, optimizer, schedule, schedule.total_steps


def make_schedule(config, units):
    """The learning rate of a run, and with it the number of steps.

    Args:
      config: reads the flags of length, rate and warm-up.
      units: how many pairs or labelled images an epoch has.

    Returns:
      `WarmupCosine`.
    """
    per_epoch = sampling.steps_per_epoch(units, config.train_batch_size)
    total_steps = config.train_steps or config.train_epochs * per_epoch
    warmup_steps = round(config.warmup_epochs * per_epoch)
    if warmup_steps > total_steps // 10:
        console.say(f"warm-up: {warmup_steps} steps cut to {total_steps // 10}, a tenth of the run")
        warmup_steps = total_steps // 10
    rate = scaled_learning_rate(
        config.learning_rate, config.train_batch_size, config.learning_rate_scaling
    )
    return WarmupCosine(rate, warmup_steps, total_steps)


def build_encoder(config, norm):
    """The ResNet of a config."""
    size = config.image_size
    return resnet_encoder(
        config.resnet_depth, config.width_multiplier, config.sk_ratio, config.se_ratio,
        (size, size, 3), norm, name="encoder",
    )  # fmt: skip


def make_optimizer(config, schedule):
    """LARS, SGD with momentum and L2, or Adam with decoupled weight decay, as --optimizer says.

    Batch norm's scale and offset are never decayed. When fine-tuning, LARS leaves the
    classifier alone and SGD's momentum is Nesterov's, as in google-research/simclr.
    """
    finetune = config.mode == "finetune"
    if config.optimizer == "adam":
        adam = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay)
        adam.exclude_from_weight_decay(var_names=["gamma", "beta"])
        return adam
    common = {"momentum": config.momentum, "weight_decay": config.weight_decay}
    if config.optimizer == "lars":
        return LARS(schedule, exclude=(CLASSIFIER_PATH,) if finetune else (), **common)
    return SGDL2(schedule, nesterov=finetune, **common)


def pairs(config, reader, replicas, steps, shard=(0, 1)):
    """The pipeline of positive pairs of a config, in parts of one replica; see `pair_dataset`."""
    groups = reader.index.patient_number if config.mask_negatives == "patient" else None
    return pipeline.pair_dataset(
        reader, config.method, config.train_batch_size, Augmentation.of(config), config.seed,
        steps, replica_batch=config.train_batch_size // replicas, groups=groups, shard=shard,
    )  # fmt: skip


def embed(models, batch):
    """The embeddings of one replica's pairs, in training mode.

    Both views go through the encoder as one batch, so that batch norm cannot tell them
    apart.

    Returns:
      (z1, z2), each [n, d] in the dtype of the models' outputs.
    """
    images = tf.concat([batch["view1"], batch["view2"]], axis=0)
    z = models["projection_head"](models["encoder"](images, training=True), training=True)
    return tuple(tf.split(z, 2))


def contrastive_loss(config, embeddings, batch):
    """NT-Xent of one replica's pairs, against the embeddings of all replicas.

    Args:
      config: reads `temperature` and `mask_negatives`.
      embeddings: (z1, z2) of `embed`.
      batch: the pairs; only "group" is read, if negatives are masked.

    Returns:
      (loss, {"contrastive_accuracy", "embedding_norm", "spectrum"}), means over this
      replica's anchors; the last one, see `monitors.spectrum`, up to 2,048 rows and columns.
    """
    gather = strategies.gather_replicas
    loss, accuracy = nt_xent_and_accuracy(
        *embeddings,
        temperature=config.temperature,
        groups=None if config.mask_negatives == "none" else batch["group"],
        gather=gather,
    )
    values = {"contrastive_accuracy": accuracy, "embedding_norm": monitors.mean_norm(*embeddings)}
    if min(config.proj_out_dim, 2 * config.train_batch_size) <= _RANK_UP_TO:
        values["spectrum"] = monitors.spectrum(*embeddings, gather=gather)
    return loss, values


def describe_models(config, models):
    """ "ResNet-10 x0.375 on 32 px, 0.6 M parameters; 192 features -> 2 layers -> 128"."""
    encoder = models["encoder"]
    text = (
        f"ResNet-{config.resnet_depth} x{config.width_multiplier:g} on {config.image_size} px, "
        f"{encoder.count_params() / 1e6:.1f} M parameters, {encoder.output_shape[-1]} features"
    )
    if "classifier" in models:
        text += f"; {models['classifier'].output_shape[-1]} outputs"
        if config.ft_proj_selector:
            text += f", on layer {config.ft_proj_selector} of the projection head"
    elif "projection_head" in models:
        text += f"; projection head of {config.num_proj_layers} layers to {config.proj_out_dim}"
    return text + f" (preset {config.preset})" * (config.preset in ("laptop", "gpu"))


def show_pairs(run, dataset):
    """Puts the first pairs of step 0 side by side: positive_pairs.png, and in TensorBoard."""
    batch = next(iter(dataset((0, 1))))
    views = [batch[name][:_PAIRS_SHOWN] for name in ("view1", "view2")]
    framed = [tf.pad(view, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=1.0) for view in views]
    grid = tf.concat([tf.concat(tf.unstack(view), axis=1) for view in framed], axis=0)
    scale = max(1, _SHOWN_PIXELS // views[0].shape[1])
    grid = tf.repeat(tf.repeat(grid, scale, axis=0), scale, axis=1)
    pixels = tf.image.convert_image_dtype(grid, tf.uint8, saturate=True)
    content = tf.io.encode_png(pixels).numpy()
    with (
        renamed_when_whole(run.file("positive_pairs.png")) as unfinished,
        tf.io.gfile.GFile(unfinished, "wb") as file,
    ):
        file.write(content)
    with run.summaries.as_default(step=0):
        tf.summary.image("positive_pairs", pixels[None])
    run.summaries.flush()


def knn_validation(config, data, encoder):
    """The nearest-neighbour accuracy of --knn_every, as a `Validation`; None without.

    The labelled images of `train_split` vote on those of `eval_split`, by their features of
    the central view.

    Raises:
      BadInput: either has no images with a class.
    """
    if not config.knn_every:
        return None
    readers = {
        "--train_split": data.open(config.train_split),
        "--eval_split": data.open(config.eval_split, "--eval_split"),
    }
    for flag, reader in readers.items():
        if not is_labelled(reader.index.class_label).any():
            raise BadInput(
                f"--knn_every={config.knn_every}: {flag}={getattr(config, flag[2:])} has no images "
                "with a class"
            )
    forward = traced(lambda images: encoder(images, training=False))

    def measure():
        features_and_classes = []
        for reader in readers.values():
            labelled = is_labelled(reader.index.class_label)
            features = predict_images(forward, reader, config)
            features_and_classes += [features[labelled], reader.index.class_label[labelled]]
        return {"knn_accuracy": monitors.knn_accuracy(*features_and_classes)}

    units = pipeline.num_units(readers["--train_split"].index, config.method)
    per_epoch = sampling.steps_per_epoch(units, config.train_batch_size)
    return Validation(
        config.eval_split, measure, config.steps_between_neighbours(per_epoch),
        images=sum(reader.index.num_images for reader in readers.values()),
    )  # fmt: skip


def check_profile(config, total_steps):
    """Raises BadInput, naming --profile, if the run ends before the steps to be profiled."""
    steps = config.profiled_steps()
    if steps and steps[1] > total_steps:
        raise BadInput(f"--profile={config.profile}: the run has {total_steps:,} steps")


def _logged(values):
    """What a step's values come to in the log: {name: float}."""
    values = dict(values)
    spectrum = values.pop("spectrum", None)
    rank = {} if spectrum is None else {"effective_rank": monitors.effective_rank(spectrum)}
    return {name: float(value) for name, value in values.items()} | rank


def _note(values):
    text = (
        f"loss {values['loss']:.2f}/{values['loss_of_chance']:.2f} "
        f"acc {values['contrastive_accuracy']:.0%}/{values['chance']:.1%}"
    )
    text += loop.speed(values)
    for name in values:
        if name.endswith("/knn_accuracy"):
            text += f" kNN {values[name]:.1%}"
    return text
