"""The one training loop. A mode supplies its data, its models and its loss; see `Training`."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping

import tensorflow as tf

from micle_tf import console
from micle_tf.config import parse_interval
from micle_tf.errors import Stopped
from micle_tf.training import state
from micle_tf.training.best import BestCheckpoint, Validation


@dataclasses.dataclass(frozen=True)
class Training:
    """What a mode hands to the loop.

    Attributes:
      models: {name: built Keras model}, saved under these names.
      optimizer: a Keras optimizer, built on the trainable variables of all models.
      schedule: from the number of steps taken to the learning rate of the next one.
      dataset: from (first step, end) to a dataset whose elements are the parts of one
        replica: replica 0 of a step, replica 1, ..., then the next step.
      loss: from a replica's part to (loss, {name: value}), each a mean over the part.
      total_steps: length of the run.
      images_per_step: images that go through the model per step, over all replicas.
      constants: values to log beside the loss, such as what chance would give.
      note: from the logged values to the text beside the progress bar.
      validation: `Validation`; None for a mode that takes the last checkpoint.
    """

    models: Mapping[str, object]
    optimizer: object
    schedule: Callable
    dataset: Callable
    loss: Callable
    total_steps: int
    images_per_step: int
    constants: Mapping[str, float]
    note: Callable
    validation: Validation | None = None


def trainable_variables(models):
    """The trainable variables of {name: model}, in the order of the models."""
    return [variable for model in models.values() for variable in model.trainable_variables]


def make_train_step(training, strategy):
    """The function that takes one step on all replicas.

    Each replica's loss is divided by the number of replicas, because Keras optimizers
    add up the gradients: N replicas then take the step of one replica on the whole batch.

    Returns:
      A function from a (distributed) batch to {"loss": ..., other values}, the means
      over replicas.
    """
    variables = trainable_variables(training.models)
    replicas = strategy.num_replicas_in_sync

    def replica_step(batch):
        with tf.GradientTape() as tape:
            loss, values = training.loss(batch)
            scaled = loss / replicas
        gradients = tape.gradient(scaled, variables)
        training.optimizer.apply(gradients, variables)
        return {"loss": loss} | values

    @tf.function
    def train_step(batch):
        values = strategy.run(replica_step, args=(batch,))
        mean = tf.distribute.ReduceOp.MEAN
        return {name: strategy.reduce(mean, value, axis=None) for name, value in values.items()}

    return train_step


def train(training, config, strategy, run):
    """Trains from the run's newest checkpoint, or from the start, to the last step.

    Args:
      training: `Training`.
      config: reads `checkpoint_every`, `keep_checkpoints`, `log_every`.
      strategy: tf.distribute strategy that the models were built under.
      run: `RunDirectory`; gets checkpoints, metrics.jsonl and TensorBoard events.

    Returns:
      The values last logged as {name: float}, with the seconds that all processes of
      this run together took and the number of steps; with a validation, the models are
      left as they were when they did best, `best_step` and `best_value` say when and how well.

    Raises:
      BadInput: a checkpoint of the run is damaged.
      Stopped: the loss is not finite.
    """
    # ------------------------------------------------------------ restore
    where = f"--model_dir={run.path}"
    newest = state.latest_checkpoint(run.file("checkpoints"), where)
    validation = training.validation
    best = BestCheckpoint(validation, training.models, run) if validation else None
    checkpoint = tf.train.Checkpoint(
        optimizer=training.optimizer, **training.models, **(best.tracked if best else {})
    )
    manager = tf.train.CheckpointManager(
        checkpoint, run.file("checkpoints"), config.keep_checkpoints, checkpoint_name="ckpt"
    )
    step = 0
    if newest:
        with state.damage_named(newest, where):
            checkpoint.restore(newest).assert_consumed()
        step = state.step_of(newest)
        if step:
            console.say(f"resumed at step {step}")
    else:  # so that what a run starts from is settled, whatever becomes of where it came from
        manager.save(checkpoint_number=0)
    run.forget_after(step)
    if best:
        best.forget_after(step)
    values = run.last_logged()
    earlier_seconds = values.pop("seconds", 0.0)

    # ------------------------------------------------------------ input
    dataset = strategy.distribute_datasets_from_function(
        lambda _: training.dataset(step, training.total_steps)
    )
    batches = iter(dataset)

    # ------------------------------------------------------------ steps
    train_step = make_train_step(training, strategy)
    save_seconds, save_steps = parse_interval(config.checkpoint_every)
    last_saved_at, last_saved = time.monotonic(), step
    waited, since, since_step = 0.0, None, step
    started = time.monotonic()

    with console.Progress("training", training.total_steps, "step", done=step) as progress:
        while step < training.total_steps and not (best and best.patience_is_over):
            asked = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - asked
            result = train_step(batch)
            step += 1

            last = step == training.total_steps
            due = time.monotonic() - last_saved_at >= save_seconds if save_seconds else False
            save = last or due or (save_steps and step % save_steps == 0)
            validate = best and (step % validation.every_steps == 0 or last)
            save = save or validate  # so that there is no doubt about what was best when
            log = step % config.log_every == 0 or step == 1 or last or validate
            if (log or save) and not math.isfinite(float(result["loss"])):
                raise Stopped(
                    f"the loss is {float(result['loss'])} at step {step}; the last checkpoint is "
                    f"of step {last_saved}. A lower --learning_rate often helps"
                )

            # -------------------------------------------------------- log
            if since is None:  # the first step of a process traces the graph: not timed
                waited, since, since_step = 0.0, time.monotonic(), step
            if log:
                values = {name: float(value) for name, value in result.items()}
                values["learning_rate"] = float(training.schedule(step - 1))
                values |= training.constants
                if step > since_step:
                    spent = time.monotonic() - since
                    rate = (step - since_step) * training.images_per_step / spent
                    values |= {"images_per_second": rate, "input_wait": waited / spent}
                if validate:
                    judged = validation.measure()
                    best.update(step, judged)
                    values |= {f"validation/{name}": value for name, value in judged.items()}
                waited, since, since_step = 0.0, time.monotonic(), step
                seconds = earlier_seconds + time.monotonic() - started
                run.log(step, values | {"seconds": round(seconds, 1)})
                with run.summaries.as_default(step=step):
                    for name, value in values.items():
                        tf.summary.scalar(name, value)
            progress.update(1, training.note(values) if values else None)

            # -------------------------------------------------------- save
            if save:
                manager.save(checkpoint_number=step)
                last_saved_at, last_saved = time.monotonic(), step
    run.summaries.close()
    values |= {"seconds": earlier_seconds + time.monotonic() - started, "steps": step}
    return values | (best.restore() if best else {})
