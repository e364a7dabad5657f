"""What the loop is handed: a training, and what accompanies it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from micle_tf.training.best import Validation


def _nothing(*_: Any) -> None:
    """Does nothing."""


@dataclasses.dataclass(frozen=True)
class Hook:
    """Something that is done every so often: functions that the loop calls on the chief.

    Attributes:
      before: of the number of steps taken, before the next ones are.
      after: of (steps taken, the last one's values as tensors).
      judge: of (steps taken, {name: value to be logged}), which it may add to.
      logged: of the number of steps taken, when they are logged.
      ended: of nothing, when the run has come to its end.
      close: of nothing, whatever ended it.
      every: a number of steps, at whose multiples `before` and `after` have to be called; None
        for none. On all workers, as the next one.
      moments: other such numbers of steps.
    """

    before: Callable[[int], None] = _nothing
    after: Callable[[int, Mapping[str, Any]], None] = _nothing
    judge: Callable[[int, dict[str, float]], None] = _nothing
    logged: Callable[[int], None] = _nothing
    ended: Callable[[], None] = _nothing
    close: Callable[[], None] = _nothing
    every: int | None = None
    moments: tuple[int, ...] = ()


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
      loss: from (outputs, part) to (loss, {name: value}), each a mean over the part; a value
        named "loss" is logged in the place of what is minimised.
      total_steps: length of the run.
      images_per_step: images that go through the model per step, over all replicas.
      constants: values to log beside the loss, such as what chance would give.
      note: from the logged values to the text beside the progress bar.
      logged: from the step's values, as numpy arrays, to {name: float}.
      validation: `Validation`; None for none.
      hooks: `Hook`s of the mode, beside the loop's own (profile, picture).
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
    hooks: Sequence[Hook] = ()
