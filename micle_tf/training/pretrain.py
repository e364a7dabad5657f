"""--mode=pretrain: contrastive pretraining, SimCLR's or MICLe's."""

import functools
import math

import keras
import tensorflow as tf

from micle_tf import console
from micle_tf.data import cases, pipeline, sampling
from micle_tf.data.augment import Augmentation
from micle_tf.errors import BadInput
from micle_tf.losses import nt_xent_and_accuracy
from micle_tf.models.heads import CLASSIFIER_PATH, projection_head
from micle_tf.models.resnet import resnet_encoder
from micle_tf.optimizers import LARS, SGDL2, WarmupCosine, scaled_learning_rate
from micle_tf.training import loop, state
from micle_tf.training import strategy as strategies
from micle_tf.training.normalization import batch_norm

_PAIRS_SHOWN = 8
_SHOWN_PIXELS = 144  # small images are enlarged to about this side


def pretrain(config):
    """Runs or resumes a pretraining; see README for what the run directory holds.

    Args:
      config: `Config` with every field decided, `model_dir` too.

    Returns:
      The content of result.json.

    Raises:
      BadInput: the data, the batch, the devices or the run directory do not fit.
    """
    # ------------------------------------------------------------ data and devices
    strategies.set_precision(config.precision)
    strategy = strategies.make_strategy(config)
    data = cases.open_cases(config)
    reader = data.open(config.train_split)
    for line in cases.describe(data):
        console.say(line)
    check_batch(config, reader.index, strategy.num_replicas_in_sync)
    if config.method == "micle" and not (reader.index.images_per_case > 1).any():
        console.say("warning: every case has one image, so that micle here is simclr")

    # ------------------------------------------------------------ model and run directory
    models, optimizer, schedule, total_steps = build(config, reader.index, strategy)
    console.say(f"devices: {strategies.describe(strategy)}, {config.precision}")
    console.say(f"model: {describe_models(config, models)}")
    run = state.RunDirectory(
        config.model_dir, config, {"replicas": strategy.num_replicas_in_sync, "data": data.name}
    )
    if config.checkpoint and run.status() != state.FINISHED and not run.has_checkpoint():
        state.restore_models(config.checkpoint, **models)
        console.say(f"weights: {state.describe_weights(config.checkpoint)}")
    status = run.begin()
    if status == state.FINISHED:
        console.say(f"finished before: {run.path}")
        return state.read_result(run.path, "--model_dir")
    console.say(f"run: {run.path}, {total_steps:,} steps of {config.train_batch_size} pairs")
    console.say("shown: loss/chance's, accuracy/chance's, images per second, wait for input")

    # ------------------------------------------------------------ train
    dataset = functools.partial(pairs, config, reader, strategy.num_replicas_in_sync)
    if not tf.io.gfile.exists(run.file("positive_pairs.png")):
        show_pairs(run, dataset)
    others = 2 * config.train_batch_size - 1
    training = loop.Training(
        models=models,
        optimizer=optimizer,
        schedule=schedule,
        dataset=dataset,
        loss=functools.partial(contrastive_loss, config, models),
        total_steps=total_steps,
        images_per_step=2 * config.train_batch_size,
        constants={"chance": 1 / others, "loss_of_chance": math.log(others)},
        note=_note,
    )
    values = loop.train(training, config, strategy, run)
    return run.finish(
        mode=config.mode,
        dataset=data.name,
        method=config.method,
        steps=total_steps,
        seconds=values["seconds"],
        metrics={k: values[k] for k in ("loss", "contrastive_accuracy") if k in values},
        intervals={},
    )


def check_batch(config, index, replicas):
    """Raises BadInput, naming --train_batch_size, if no batch can be made."""
    batch, units = config.train_batch_size, pipeline.num_units(index, config.method)
    noun = "image" if config.method == "simclr" else "case"
    if batch > units:
        raise BadInput(
            f"--train_batch_size={batch}: --train_split={config.train_split} has only "
            f"{console.count(units, noun)}"
        )
    if batch % replicas or batch < 2 * replicas:
        raise BadInput(
            f"--train_batch_size={batch}: needs the same number of pairs, at least two, on each of "
            f"{replicas} devices"
        )


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
        optimizer.build(loop.trainable_variables(models))
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
        (size, size, 3), norm,
    )  # fmt: skip


def make_optimizer(config, schedule):
    """LARS, SGD with momentum and L2, or Adam with decoupled weight decay, as --optimizer says.

    Batch norm's scale and offset are never decayed. When fine-tuning, LARS leaves the
    classifier alone and SGD's momentum is Nesterov's, as in google-research/simclr.
    """
    finetune = config.mode == "finetune"
    common = {"momentum": config.momentum, "weight_decay": config.weight_decay}
    if config.optimizer == "lars":
        return LARS(schedule, exclude=(CLASSIFIER_PATH,) if finetune else (), **common)
    if config.optimizer == "momentum":
        return SGDL2(schedule, nesterov=finetune, **common)
    adam = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay)
    adam.exclude_from_weight_decay(var_names=["gamma", "beta"])
    return adam


def pairs(config, reader, replicas, first_step, end):
    """The pipeline of positive pairs of a config, in parts of one replica."""
    groups = reader.index.patient_number if config.mask_negatives == "patient" else None
    return pipeline.pair_dataset(
        reader, config.method, config.train_batch_size, Augmentation.of(config), config.seed,
        (first_step, end), replica_batch=config.train_batch_size // replicas, groups=groups,
    )  # fmt: skip


def contrastive_loss(config, models, batch):
    """NT-Xent of one replica's pairs, against the embeddings of all replicas.

    Both views go through the encoder as one batch, so that batch norm cannot tell them
    apart.

    Returns:
      (loss, {"contrastive_accuracy"}), means over this replica's anchors.
    """
    images = tf.concat([batch["view1"], batch["view2"]], axis=0)
    embeddings = models["projection_head"](models["encoder"](images, training=True), training=True)
    z1, z2 = tf.split(embeddings, 2)
    loss, accuracy = nt_xent_and_accuracy(
        z1,
        z2,
        temperature=config.temperature,
        groups=None if config.mask_negatives == "none" else batch["group"],
        gather=strategies.gather_replicas,
    )
    return loss, {"contrastive_accuracy": accuracy}


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
    return text


def show_pairs(run, dataset):
    """Puts the first pairs of step 0 side by side: positive_pairs.png, and in TensorBoard."""
    batch = next(iter(dataset(0, 1)))
    views = [batch[name][:_PAIRS_SHOWN] for name in ("view1", "view2")]
    framed = [tf.pad(view, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=1.0) for view in views]
    grid = tf.concat([tf.concat(tf.unstack(view), axis=1) for view in framed], axis=0)
    scale = max(1, _SHOWN_PIXELS // views[0].shape[1])
    grid = tf.repeat(tf.repeat(grid, scale, axis=0), scale, axis=1)
    pixels = tf.image.convert_image_dtype(grid, tf.uint8, saturate=True)
    with run.summaries.as_default(step=0):
        tf.summary.image("positive_pairs", pixels[None])
    with tf.io.gfile.GFile(run.file("positive_pairs.png"), "wb") as file:
        file.write(tf.io.encode_png(pixels).numpy())


def _note(values):
    text = (
        f"loss {values['loss']:.2f}/{values['loss_of_chance']:.2f} "
        f"acc {values['contrastive_accuracy']:.0%}/{values['chance']:.1%}"
    )
    if "images_per_second" in values:
        text += f" {values['images_per_second']:,.0f}/s wait {values['input_wait']:.0%}"
    return text
