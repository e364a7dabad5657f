"""The one training loop. A mode supplies its data, its models and its loss; see `Training`."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Mapping

import tensorflow as tf

from micle_tf import console
from micle_tf.errors import BadInput, Preempted, Stopped
from micle_tf.training.best import BestCheckpoint, Validation
from micle_tf.training.checkpoints import Checkpoints
from micle_tf.training.picture import Picture
from micle_tf.training.preemption import StopRequest
from micle_tf.training.profile import Profile
from micle_tf.training.step import make_device_loop, make_train_step

_WARNED = "not_learning"  # in the log, so that it is said once in a run


@dataclasses.dataclass(frozen=True)
class Training:
    """What a mode hands to the loop.

    Attributes:
      models: {name: built Keras model}, saved under these names.
      optimizer: a Keras optimizer, built on the trainable variables of all models.
      schedule: from the number of steps taken to the learning rate of the next one.
      dataset: from (first step, end) and (worker, number of workers) to a dataset whose
        elements are the parts of the worker's replicas: the first one's of a step, the second
        one's, ..., then the next step.
      forward: from a replica's part to its outputs, a nested structure of tensors whose
        first dimension is the rows of the part.
      loss: from (outputs, part) to (loss, {name: value}), each a mean over the part.
      total_steps: length of the run.
      images_per_step: images that go through the model per step, over all replicas.
      constants: values to log beside the loss, such as what chance would give.
      note: from the logged values to the text beside the progress bar.
      logged: from the step's values, as numpy arrays, to {name: float}.
      validation: `Validation`; None for none.
      saw: is told of every step of the chief's: (steps taken, values as tensors).
      verdict: from (steps taken, logged values) to a line to say; "" for none.
    """

    models: Mapping[str, object]
    optimizer: object
    schedule: Callable
    dataset: Callable
    forward: Callable
    loss: Callable
    total_steps: int
    images_per_step: int
    constants: Mapping[str, float]
    note: Callable
    logged: Callable = lambda values: {name: float(value) for name, value in values.items()}
    validation: Validation | None = None
    saw: Callable = lambda step, values: None
    verdict: Callable = lambda step, values: ""


def train(training, config, strategy, run, workers):
    """Trains from the run's newest checkpoint that is whole, or from the start, to the last step.

    Args:
      training: `Training`.
      config: reads `checkpoint_every`, `keep_checkpoints`, `log_every`, `steps_per_loop`,
        `microbatch_size` and `profile`.
      strategy: tf.distribute strategy that the models were built under.
      run: `RunDirectory`, claimed by the chief; gets checkpoints, metrics.jsonl and
        TensorBoard events.
      workers: `Workers`.

    Returns:
      The values last logged as {name: float}, with the seconds that all processes of
      this run together took and the number of steps; with a metric to choose by, the chief's
      models are left as they were when they did best, `best_step` and `best_value` say when and
      how well.

    Raises:
      BadInput: no checkpoint of the run is whole.
      Stopped: the loss or the gradient is not finite, or the disk fails.
      Preempted: a signal asked to stop; the last step is saved.
    """
    with StopRequest() as stop:
        return _train(training, config, strategy, run, workers, stop)


def _train(training, config, strategy, run, workers, stop):  # noqa: C901, PLR0915 - one state
    # ------------------------------------------------------------ restore
    validation = training.validation
    best = BestCheckpoint(validation, training.models, run) if _chooses(validation) else None
    checkpoints = Checkpoints(
        run.file("checkpoints"),
        {"optimizer": training.optimizer, **training.models, **(best.tracked if best else {})},
        config.keep_checkpoints,
        f"--model_dir={run.path}",
    )

    def restore_chief():
        step = checkpoints.restore_newest()
        # Of several steps that a killed process took, none is to be there twice.
        for part in (run, *([best] if best else [])):
            part.forget_after(step or 0)
        checkpoints.forget_after(-1 if step is None else step)
        if step is None:  # so that what a run starts from is settled, whatever becomes of it
            checkpoints.save(0)
        return step or 0

    workers.check_same(config)
    step = last_saved = workers.of_chief(restore_chief)
    if not workers.is_chief:
        try:
            checkpoints.restore(step)  # the very same, or not at all
        except BadInput as error:
            raise Stopped(f"{error}; is that one place, which all workers reach?") from None
    if step:
        console.say(f"resumed at step {step}")
    warned = workers.is_chief and run.was_logged(_WARNED)
    values = run.last_logged()
    earlier_seconds = values.pop("seconds", 0.0)

    # ------------------------------------------------------------ input
    def parts_of_worker(context):
        shard = (context.input_pipeline_id, context.num_input_pipelines)
        # Of what has an end, several workers would get batches of unknown size.
        return training.dataset((step, training.total_steps), shard).repeat()

    batches = iter(strategy.distribute_datasets_from_function(parts_of_worker))

    # ------------------------------------------------------------ steps
    # Without AutoGraph, which has nothing to do here: a killed process would leave the files of
    # what it converted in the temporary folder.
    train_step = make_train_step(training, strategy, config.microbatch_size)
    train_step = tf.function(train_step, autograph=False)
    device_loop = make_device_loop(train_step)
    save_seconds, save_steps = config.checkpoint_interval()
    picture = Picture(run)
    profile = Profile(run.path, config.profiled_steps() if workers.is_chief else None)
    periods = [config.log_every, save_steps, validation and validation.every_steps]
    moments = [1, training.total_steps, *profile.bounds]
    validations = ([validation.every_steps], [training.total_steps]) if validation else ([], [])
    last_saved_at = started = time.monotonic()
    clock = _Clock(training.images_per_step, strategy.num_replicas_in_sync)
    is_over = lambda: best and workers.any(workers.is_chief and best.patience_is_over)
    over, first = is_over(), step
    if config.steps_per_loop > config.log_every:
        console.say(
            f"note: --log_every={config.log_every} cuts --steps_per_loop={config.steps_per_loop}"
        )

    with (
        contextlib.closing(profile),
        console.Progress("training", training.total_steps, "step", done=step) as progress,
    ):
        while step < training.total_steps and not over:
            profile.before(step)
            before_validation = max(steps_to_event(step, *validations) - 1, 1)
            to_event = steps_to_event(step, periods, moments)
            count = min(config.steps_per_loop, to_event, before_validation)
            # The first call traces and compiles, which can take long and be done again.
            with stop.interrupting() if step == first else contextlib.nullcontext():
                if config.steps_per_loop == 1:
                    with clock.waiting():
                        batch = next(batches)
                    result = train_step(batch)
                    finite = int(math.isfinite(result["loss"] + result["gradient_norm"]))
                else:
                    result, finite = device_loop(batches, tf.constant(count))
                    finite = int(finite)
            if finite < count:
                raise Stopped(
                    f"the loss is {float(result['loss']):.4g}, its gradient's norm "
                    f"{float(result['gradient_norm']):.4g} at step {step + finite + 1}, learning "
                    f"rate {float(training.schedule(step + finite)):.3g}; the last good "
                    f"checkpoint is of step {last_saved}. A lower --learning_rate often helps"
                )
            step += count
            clock.took(count)
            if workers.is_chief:
                training.saw(step, result)
            profile.after(step)
            stopping = workers.any(stop.signal_name)
            last = step == training.total_steps
            due = save_seconds and time.monotonic() - last_saved_at >= save_seconds
            validate = validation and (step % validation.every_steps == 0 or last)
            save = last or stopping or due or (save_steps and step % save_steps == 0)
            save = save or (best and validate)  # so that there is no doubt what was best when
            # And before a validation, which may take long: a stop meanwhile costs one step.
            save = save or steps_to_event(step, *validations) == 1
            log = step % config.log_every == 0 or step == 1 or last or validate
            if stopping and validate:  # this step is taken again
                save = log = validate = False

            # -------------------------------------------------------- log
            if log and workers.is_chief:
                values = training.logged({name: value.numpy() for name, value in result.items()})
                values["learning_rate"] = float(training.schedule(step - 1))
                values |= training.constants | clock.values()
                if validate:
                    with stop.interrupting():
                        judged = validation.measure()
                    if best:
                        best.update(step, judged)
                    values |= {f"{validation.split}/{name}": v for name, v in judged.items()}
                seconds = earlier_seconds + time.monotonic() - started
                verdict = "" if warned else training.verdict(step, values)
                if verdict:
                    console.say(verdict)
                    warned, values[_WARNED] = True, 1.0
                run.log(step, values, seconds)
                picture.logged()
                clock.restart()
            progress.update(count, training.note(values) if values else None)

            # -------------------------------------------------------- save
            if save and workers.is_chief:
                run.flush()  # before the checkpoint that stands for what was logged
                checkpoints.save(step)
            if save:
                last_saved_at, last_saved = time.monotonic(), step
            if stopping:
                workers.wait_before_exit()  # when the chief has saved
                raise Preempted(
                    f"{stop.signal_name or 'a signal to another worker'} at step {step}; the "
                    f"same command goes on from step {last_saved}"
                )
            over = validate and is_over()
    if workers.is_chief:
        picture.logged(last=True)
    values |= {"seconds": earlier_seconds + time.monotonic() - started, "steps": step}
    workers.wait()
    return values | (best.restore() if best and workers.is_chief else {})


def _chooses(validation):
    return validation is not None and validation.metric


def steps_to_event(step, periods, moments):
    """How many steps may be taken in a row before something is to be done.

    Args:
      step: steps taken so far.
      periods: something is done at the multiples of each; None for nothing.
      moments: something is done at these numbers of steps.

    Returns:
      At least 1; infinity if nothing is to come.
    """
    away = [period - step % period for period in periods if period]
    away += [moment - step for moment in moments if moment > step]
    return min(away, default=math.inf)


def speed(values):
    """ " 1,252/s wait 1%": what is logged of the speed, for the text beside the bar."""
    text = f" {values['images_per_second']:,.0f}/s" if "images_per_second" in values else ""
    return text + (f" wait {values['input_wait']:.0%}" if "input_wait" in values else "")


class _Clock:
    """Images per second and the share of time spent waiting for input, between two logs.

    The first call of a process traces the graph, and is not timed. What the devices fetch by
    themselves, in a loop of several steps, is waited for out of sight.
    """

    def __init__(self, images_per_step, devices):
        self._images, self._devices = images_per_step, devices
        self._started, self._steps, self._waited = None, 0, None

    @contextlib.contextmanager
    def waiting(self):
        asked = time.monotonic()
        yield
        self._waited = (self._waited or 0.0) + time.monotonic() - asked

    def took(self, steps):
        if self._started is None:
            self.restart()
        else:
            self._steps += steps

    def restart(self):
        self._started, self._steps, self._waited = time.monotonic(), 0, None

    def values(self):
        if not self._steps:
            return {}
        spent = time.monotonic() - self._started
        rate = self._steps * self._images / spent
        wait = {} if self._waited is None else {"input_wait": self._waited / spent}
        return {
            "images_per_second": rate,
            "images_per_second_per_device": rate / self._devices,
        } | wait
