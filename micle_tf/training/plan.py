"""--dry_run of the modes that train: what a run would take, from a dozen of its own steps."""

import math
import time

from micle_tf import console
from micle_tf.training import memory
from micle_tf.training.step import as_graph, batches_of, make_train_step

_WARM_UP, _STEPS, _SECONDS = 2, 10, 10.0
_MUCH_WAITING = 0.5


def show(training, strategy, units, nouns, fits, *, pace, batch_size, image_size):
    """Says how long a training takes and how much memory; writes nothing.

    Args:
      training: `Training`.
      strategy: that the models were built under.
      units: how many an epoch has.
      nouns: what a batch and an epoch consist of: ("pair", "case").
      fits: whether there is memory enough, see `memory.say`.
      pace: `Pace`; reads what `seconds_a_step` does.
      batch_size: units of a step, over all replicas.
      image_size: side of the model's input, in pixels.

    Returns:
      Seconds that all of it will take; nan where they are not measured.
    """
    epochs = training.total_steps * batch_size / units
    console.say(
        f"steps: {training.total_steps:,} of {console.count(batch_size, nouns[0])}, "
        f"{epochs:,.1f} passes over {console.count(units, nouns[1])}"
    )
    if not fits:
        whole = math.nan
        console.say("time: not measured, as the memory would not do")
    else:
        seconds, waiting = seconds_a_step(training, strategy, pace)
        validation = seconds_of_validation(training, seconds)
        console.say(f"memory: {memory.describe(memory.used(), memory.there())} after these steps")
        whole = training.total_steps * seconds + validation
        text = f"time: {seconds:.3g} s a step, {console.duration(whole)} in all"
        if training.validation:
            text += f", of which some {console.duration(validation)} to validate"
        console.say(text)
        if waiting > _MUCH_WAITING:
            side = 2 * image_size
            console.say(
                f"note: {waiting:.0%} of that is waiting for images; stored smaller, by "
                f"--max_image_side={side}, they are read faster"
            )
    console.say("dry run: nothing was written")
    return whole


def seconds_a_step(training, strategy, pace):
    """Takes steps as a run takes them, on weights that nobody keeps.

    Args:
      training: `Training`.
      strategy: that the models were built under.
      pace: `Pace`; reads `microbatch_size` and `jit_compile`.

    Returns:
      (mean seconds of up to ten steps after two, share of them that was waiting for input).
    """
    end = min(training.total_steps, _WARM_UP + _STEPS)
    batches = batches_of(training, strategy, 0, end)
    step = as_graph(make_train_step(training, strategy, pace.microbatch_size), pace.jit_compile)
    taken = waited = 0
    with console.Progress("measuring", _WARM_UP + _STEPS, "step") as progress:
        for number in range(_WARM_UP + _STEPS):
            if number == _WARM_UP:
                started, waited = time.monotonic(), 0.0
            asked = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - asked
            float(step(batch)["loss"])
            progress.update()
            if number >= _WARM_UP:
                taken += 1
                if time.monotonic() - started > _SECONDS:
                    break
    spent = time.monotonic() - started
    return spent / taken, waited / spent


def seconds_of_validation(training, seconds):
    """What all validations of a run take together, at `seconds` a training step; 0 without any.

    Images that are only looked at go through the model once, and in training about three times.
    """
    validation = training.validation
    if validation is None:
        return 0.0
    times = -(-training.total_steps // validation.every_steps)
    return times * validation.images * seconds / training.images_per_step / 3
