"""The one training loop. A mode supplies its data, its models and its loss: `handed.Training`."""

import contextlib
import time

from micle_tf import console
from micle_tf.errors import BadInput, Preempted, Stopped
from micle_tf.training.best import BestCheckpoint
from micle_tf.training.checkpoints import Checkpoints
from micle_tf.training.clock import Clock
from micle_tf.training.due import Calendar
from micle_tf.training.handed import Hook
from micle_tf.training.picture import Picture
from micle_tf.training.preemption import StopRequest
from micle_tf.training.profile import Profile
from micle_tf.training.step import batches_of, make_step_taker


def train(training, pace, strategy, run, workers):
    """Trains from the run's newest checkpoint that is whole, or from the start, to the last step.

    Args:
      training: `Training`.
      pace: `Pace`.
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
    with StopRequest() as stop, contextlib.ExitStack() as closing:
        # -------------------------------------------------------- restore
        best, checkpoints = _kept(training, run, pace.keep_checkpoints)
        step = first = last_saved = _restored(run, workers, checkpoints, best)
        values = run.last_logged()
        earlier = values.pop("seconds", 0.0)
        is_over = lambda: best and workers.any(workers.is_chief and best.patience_is_over)
        over = is_over()

        # -------------------------------------------------------- input, steps, what goes along
        batches = batches_of(training, strategy, step, training.total_steps)
        clock = Clock(training.images_per_step, strategy.num_replicas_in_sync)
        take_steps = make_step_taker(training, strategy, clock, pace)
        hooks = _hooks(training, pace, run, closing, workers.is_chief)
        calendar = _calendar(training, pace, best, hooks)
        last_saved_at = started = time.monotonic()
        seconds = lambda: earlier + time.monotonic() - started
        progress = closing.enter_context(
            console.Progress("training", training.total_steps, "step", done=step)
        )
        tell = _teller(hooks if workers.is_chief else ())

        while step < training.total_steps and not over:
            # ---------------------------------------------------- take steps
            tell("before", step)
            count = calendar.steps_until_due(step, pace.steps_per_loop)
            # The first call traces and compiles, which can take long and be done again.
            with stop.interrupting() if step == first else contextlib.nullcontext():
                result, finite = take_steps(batches, count)
            if finite < count:
                raise Stopped(_not_finite(training, result, step + finite, last_saved))
            step += count
            clock.took(count)
            tell("after", step, result)
            stopping = workers.any(stop.signal_name)
            due = calendar.after(step, time.monotonic() - last_saved_at, stopping)

            # ---------------------------------------------------- log
            if due.log and workers.is_chief:
                values = _values(training, clock, step, result)
                if due.validate:
                    values |= _judged(training.validation, best, step, stop)
                tell("judge", step, values)
                run.log(step, values, seconds())
                tell("logged", step)
                clock.restart()
            progress.update(count, training.note(values) if values else None)

            # ---------------------------------------------------- save
            if due.save and workers.is_chief:
                run.flush()  # before the checkpoint that stands for what was logged
                checkpoints.save(step)
            if due.save:
                last_saved_at, last_saved = time.monotonic(), step
            if due.stop:
                workers.wait_before_exit()  # when the chief has saved
                raise Preempted(
                    f"{stop.signal_name or 'a signal to another worker'} at step {step}; the "
                    f"same command goes on from step {last_saved}"
                )
            over = due.validate and is_over()
        tell("ended")
    values |= {"seconds": seconds(), "steps": step}
    workers.wait()
    return values | (best.restore() if best and workers.is_chief else {})


def _kept(training, run, most):
    """(`BestCheckpoint`, or None where nothing is chosen; `Checkpoints`) of a run."""
    validation, best = training.validation, None
    if validation and validation.metric:
        best = BestCheckpoint(validation, training.models, run)
    tracked = {"optimizer": training.optimizer, **training.models, **(best.tracked if best else {})}
    where = f"--model_dir={run.path}"
    return best, Checkpoints(run.file("checkpoints"), tracked, most, where)


def _restored(run, workers, checkpoints, best):
    """The step that the models and the run are at, on all workers."""

    def restore_chief():
        step = checkpoints.restore_newest()
        # Of several steps that a killed process took, none is to be there twice.
        for part in (run, *([best] if best else [])):
            part.forget_after(step or 0)
        checkpoints.forget_after(-1 if step is None else step)
        if step is None:  # so that what a run starts from is settled, whatever becomes of it
            checkpoints.save(0)
        return step or 0

    step = workers.of_chief(restore_chief)
    if not workers.is_chief:
        try:
            checkpoints.restore(step)  # the very same, or not at all
        except BadInput as error:
            raise Stopped(f"{error}; is that one place, which all workers reach?") from None
    if step:
        console.say(f"resumed at step {step}")
    return step


def _hooks(training, pace, run, closing, is_chief):
    """The hooks of a training and, after them, the loop's own."""
    profile = Profile(run.path, pace.profiled_steps())
    picture = Picture(run)
    hooks = (
        *training.hooks,
        Hook(
            profile.before, lambda step, _: profile.after(step), close=profile.close,
            moments=profile.bounds,
        ),
        Hook(logged=lambda step: picture.logged(), ended=lambda: picture.logged(last=True)),
    )  # fmt: skip
    for hook in hooks if is_chief else ():
        closing.callback(hook.close)
    return hooks


def _teller(hooks):
    """Calls all hooks' functions of a name."""

    def tell(name, *arguments):
        for hook in hooks:
            getattr(hook, name)(*arguments)

    return tell


def _calendar(training, pace, best, hooks):
    """When what is due; says which flag cuts the other."""
    if pace.steps_per_loop > pace.log_every:
        console.say(
            f"note: --log_every={pace.log_every} cuts --steps_per_loop={pace.steps_per_loop}"
        )
    save_seconds, save_steps = pace.checkpoint_interval()
    return Calendar(
        training.total_steps, pace.log_every, save_steps, save_seconds,
        validate_every=training.validation and training.validation.every_steps,
        chooses=best is not None,
        periods=tuple(hook.every for hook in hooks if hook.every),
        moments=tuple(moment for hook in hooks for moment in hook.moments),
    )  # fmt: skip


def _values(training, clock, step, result):
    """What is logged of a step, without validation."""
    values = training.logged({name: value.numpy() for name, value in result.items()})
    values["learning_rate"] = float(training.schedule(step - 1))
    return values | training.constants | clock.values()


def _judged(validation, best, step, stop):
    """What a validation gives, for the log; the best checkpoint is kept."""
    with stop.interrupting():
        judged = validation.measure()
    if best:
        best.update(step, judged)
    return {f"{validation.split}/{name}": value for name, value in judged.items()}


def _not_finite(training, result, step, last_saved):
    return (
        f"the loss is {float(result['loss']):.4g}, its gradient's norm "
        f"{float(result['gradient_norm']):.4g} at step {step + 1}, learning "
        f"rate {float(training.schedule(step)):.3g}; the last good "
        f"checkpoint is of step {last_saved}. A lower --learning_rate often helps"
    )
