"""What a training is set up with: batches that can be made, the schedule, the optimizer."""

import keras
import tensorflow as tf

from micle_tf import console
from micle_tf.data import sampling
from micle_tf.errors import BadInput
from micle_tf.models.heads import CLASSIFIER_PATH
from micle_tf.optimizers import LARS, SGDL2, WarmupCosine, scaled_learning_rate


def batch_that_fits(batch_size, units, *, replicas, microbatch_size, least):
    """A batch size cut to the data and the devices; says so.

    Args:
      batch_size: that nobody stated.
      units: how many pairs or labelled images there are.
      replicas: devices.
      microbatch_size: rows that go through a device at once; 0: all.
      least: rows that a device has to have; below, the batch stays, to be refused.
    """
    parts = replicas * max(1, microbatch_size)
    size = min(batch_size, units) // parts * parts
    if size == batch_size or size < max(2, least * replicas):
        return batch_size
    reason = f"there are {units:,}" if units < batch_size else f"{parts} divides it"
    console.say(f"batch: {batch_size} cut to {size}: {reason}")
    return size


def check_microbatch(batch_size, microbatch_size, replicas):
    """Raises BadInput, naming --microbatch_size, unless it divides the batch of a device."""
    rows, size = batch_size // replicas, microbatch_size
    if size and rows % size:
        raise BadInput(f"--microbatch_size={size}: does not divide the {rows} rows of a device")


def check_compiled(pace, strategy):
    """Raises BadInput, naming --jit_compile, if it is typed for a TPU or for several devices."""
    replicas = strategy.num_replicas_in_sync
    if pace.jit_compile and isinstance(strategy, tf.distribute.TPUStrategy):
        raise BadInput("--jit_compile: a TPU compiles every step; leave it out")
    if pace.jit_compile and replicas > 1:
        raise BadInput(
            f"--jit_compile: compiles the step of one device, and there are {replicas}; leave it "
            "out, or train on one with --strategy=one_device"
        )


def check_profile(pace, total_steps):
    """Raises BadInput, naming --profile, if the run ends before the steps to be profiled."""
    steps = pace.profiled_steps()
    if steps and steps[1] > total_steps:
        raise BadInput(f"--profile={pace.profile}: the run has {total_steps:,} steps")


def make_schedule(batches, optimizer, units):
    """The learning rate of a run, and with it the number of steps.

    Args:
      batches: `Batches`, the length.
      optimizer: `Optimizer`, rate and warm-up.
      units: how many pairs or labelled images an epoch has.

    Returns:
      `WarmupCosine`.
    """
    per_epoch = sampling.steps_per_epoch(units, batches.train_batch_size)
    total_steps = batches.train_steps or batches.train_epochs * per_epoch
    warmup_steps = round(optimizer.warmup_epochs * per_epoch)
    if warmup_steps > total_steps // 10:
        console.say(f"warm-up: {warmup_steps} steps cut to {total_steps // 10}, a tenth of the run")
        warmup_steps = total_steps // 10
    rate = scaled_learning_rate(
        optimizer.learning_rate, batches.train_batch_size, optimizer.learning_rate_scaling
    )
    return WarmupCosine(rate, warmup_steps, total_steps)


def make_optimizer(optimizer, schedule, *, finetune):
    """LARS, SGD with momentum and L2, or Adam with decoupled weight decay, as `Optimizer` says.

    Batch norm's scale and offset are never decayed. LARS leaves the classifier alone, and when
    fine-tuning SGD's momentum is Nesterov's, as in google-research/simclr.
    """
    if optimizer.optimizer == "adam":
        adam = keras.optimizers.AdamW(schedule, weight_decay=optimizer.weight_decay)
        adam.exclude_from_weight_decay(var_names=["gamma", "beta"])
        return adam
    common = {"momentum": optimizer.momentum, "weight_decay": optimizer.weight_decay}
    if optimizer.optimizer == "lars":
        return LARS(schedule, exclude=(CLASSIFIER_PATH,), **common)
    return SGDL2(schedule, nesterov=finetune, **common)
