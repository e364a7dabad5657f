"""Which checkpoint of a run did best on validation, and when to stop."""

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf

from micle_tf.training.checkpoints import Checkpoints


@dataclasses.dataclass(frozen=True)
class Validation:
    """How a mode judges its models while they train, and chooses the best checkpoint.

    Attributes:
      split: the name of what is judged on, for the log: "validation/knn_accuracy".
      measure: a function of nothing that judges the models as they are: {name: value}.
      every_steps: how often; the last step is always validated.
      metric: which of the values to choose by; the lowest of "loss", the highest of all
        others. Empty: only looked at, nothing is chosen.
      patience: stop after so many validations that were no better than the best; 0: never.
      images: how many it goes through, for a plan.
    """

    split: str
    measure: Callable
    every_steps: int
    metric: str = ""
    patience: int = 0
    images: int = 0


class BestCheckpoint:
    """Keeps the models of the best validation, in checkpoints/best.

    What was best so far is saved with every checkpoint of the run, so that a resumed run
    chooses as an uninterrupted one does.

    Args:
      validation: `Validation`.
      models: {name: Keras model}.
      run: `RunDirectory`.
    """

    def __init__(self, validation, models, run):
        self._validation = validation
        self._sign = -1.0 if validation.metric == "loss" else 1.0
        self._score = tf.Variable(-math.inf, dtype=tf.float64)
        self._step = tf.Variable(0, dtype=tf.int64)
        self._since = tf.Variable(0, dtype=tf.int64)
        self.tracked = {
            "best_score": self._score, "best_step": self._step, "since_best": self._since,
        }  # fmt: skip
        # Two: a run that is killed before its next checkpoint goes back to the one before.
        self._checkpoints = Checkpoints(
            run.file("checkpoints/best"), models, 2, f"--model_dir={run.path}, best checkpoint"
        )

    def update(self, step, values):
        """Takes note of what a validation gave; nan is never better."""
        score = self._sign * values[self._validation.metric]
        if score > float(self._score):
            self._score.assign(score)
            self._step.assign(step)
            self._since.assign(0)
            self._checkpoints.save(step)
        else:
            self._since.assign_add(1)

    @property
    def patience_is_over(self):
        """Whether the run should stop early."""
        return 0 < self._validation.patience <= int(self._since)

    def forget_after(self, step):
        """Drops what a killed process found to be best after the step that is gone on from.

        Raises:
          BadInput: what was best up to there is gone or damaged.
        """
        self._checkpoints.forget_after(step)
        if int(self._step):
            self._checkpoints.check(int(self._step))

    def restore(self):
        """Puts the best weights into the models; says what they scored, and at which step."""
        step = int(self._step)
        if step:
            self._checkpoints.restore(step)
        return {"best_step": step, "best_value": self._sign * float(self._score)}
