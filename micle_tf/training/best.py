"""Which checkpoint of a run did best on validation, and when to stop."""

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf

from micle_tf.errors import BadInput
from micle_tf.training import state


@dataclasses.dataclass(frozen=True)
class Validation:
    """How a mode chooses its best checkpoint.

    Attributes:
      measure: a function of nothing that judges the models as they are: {name: value}.
      metric: which of these to choose by; the lowest of "loss", the highest of all others.
      every_steps: how often; the last step is always validated.
      patience: stop after so many validations that were no better than the best; 0: never.
    """

    measure: Callable
    metric: str
    every_steps: int
    patience: int


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
        self._models = tf.train.Checkpoint(**models)
        self._folder, self._where = run.file("checkpoints/best"), f"--model_dir={run.path}"
        state.latest_checkpoint(self._folder, self._where)  # raises if it is damaged
        self._manager = self._open()

    def _open(self):
        # Two: a run that is killed before its next checkpoint goes back to the one before.
        return tf.train.CheckpointManager(self._models, self._folder, 2, checkpoint_name="ckpt")

    def update(self, step, values):
        """Takes note of what a validation gave; nan is never better."""
        score = self._sign * values[self._validation.metric]
        if score > float(self._score):
            self._score.assign(score)
            self._step.assign(step)
            self._since.assign(0)
            self._manager.save(checkpoint_number=step)
        else:
            self._since.assign_add(1)

    @property
    def patience_is_over(self):
        """Whether the run should stop early."""
        return 0 < self._validation.patience <= int(self._since)

    def forget_after(self, step):
        """Drops what a killed process found to be best after the step that is gone on from."""
        paths = self._manager.checkpoints
        kept = [path for path in paths if state.step_of(path) <= step]
        gone = [path for path in paths if state.step_of(path) > step]
        if not gone:
            return
        if kept:
            tf.compat.v1.train.update_checkpoint_state(self._folder, kept[-1], kept)
        else:
            tf.io.gfile.remove(f"{self._folder}/checkpoint")
        for path in gone:
            for file in tf.io.gfile.glob(f"{path}.*"):
                tf.io.gfile.remove(file)
        self._manager = self._open()

    def restore(self):
        """Puts the best weights into the models; says what they scored, and at which step."""
        path, step = self._manager.latest_checkpoint, int(self._step)
        if step and (path is None or state.step_of(path) != step):
            raise BadInput(f"{self._where}: the best checkpoint, of step {step}, is gone")
        if path:
            with state.damage_named(path, self._where):
                self._models.restore(path).assert_consumed()
        return {"best_step": int(self._step), "best_value": self._sign * float(self._score)}
