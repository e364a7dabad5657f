"""Which validation was the best one, what is kept of it, and when patience is over."""

import math

import keras
import pytest
import tensorflow as tf

from micle_tf.config import Config
from micle_tf.training import state
from micle_tf.training.best import BestCheckpoint, Validation
from micle_tf.training.checkpoints import Checkpoints


class Run:
    """A model of one weight, which holds the step, and its best checkpoint."""

    def __init__(self, path, metric="auc", patience=0):
        self.model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
        run = state.RunDirectory(str(path), Config(), {})
        validation = Validation("validation", None, 1, metric, patience)
        self.best = BestCheckpoint(validation, {"encoder": self.model}, run)
        tracked = {"encoder": self.model, **self.best.tracked}
        self.checkpoints = Checkpoints(run.file("checkpoints"), tracked, 5, "--model_dir=x")

    def validate(self, step, value, save=True, name="auc"):
        self.model.weights[0].assign([[float(step)]])
        self.best.update(step, {name: value, "other": -value})
        if save:
            self.checkpoints.save(step)

    @property
    def weight(self):
        return float(self.model.weights[0].numpy()[0, 0])


def saved_steps(path):
    return sorted(int(p.stem.split("-")[1]) for p in (path / "checkpoints/best").glob("*.index"))


@pytest.mark.parametrize(
    "metric, values, best",
    [
        ("auc", [0.5, 0.7, 0.7, 0.6], 2),  # of equals the first
        ("auc", [math.nan, 0.1, math.nan], 2),
        ("loss", [0.9, 0.4, 0.4, 0.8], 2),
        ("loss", [0.9, math.nan, 0.2], 3),
        ("other", [0.5, 0.3, 0.4], 2),
    ],
)
def test_the_best_is_put_back(tmp_path, metric, values, best):
    run = Run(tmp_path, metric)
    name = "loss" if metric == "loss" else "auc"
    for step, value in enumerate(values, 1):
        run.validate(step, value, name=name)
    sign = -1 if metric == "other" else 1
    assert run.weight == len(values)
    assert run.best.restore() == {"best_step": best, "best_value": sign * values[best - 1]}
    assert run.weight == best
    path = state.chosen_checkpoint(str(tmp_path))
    assert path.endswith(f"checkpoints/best/ckpt-{best}")


def test_nothing_is_best_if_nothing_was_defined(tmp_path):
    run = Run(tmp_path, patience=2)
    for step in (1, 2):
        run.validate(step, math.nan)
    assert run.best.restore() == {"best_step": 0, "best_value": -math.inf}
    assert run.weight == 2 and run.best.patience_is_over
    assert state.chosen_checkpoint(str(tmp_path)).endswith("checkpoints/ckpt-2")


@pytest.mark.parametrize("patience, over", [(0, []), (1, [3, 5, 6]), (2, [6]), (3, [])])
def test_patience_counts_validations_that_were_no_better(tmp_path, patience, over):
    run = Run(tmp_path, patience=patience)
    found = []
    for step, value in enumerate([0.1, 0.3, 0.2, 0.4, 0.4, 0.3, 0.5], 1):
        run.validate(step, value, save=False)
        if run.best.patience_is_over:
            found.append(step)
    assert found == over


def test_a_killed_run_forgets_what_it_found_after_its_checkpoint(tmp_path):
    run = Run(tmp_path)
    run.validate(4, 0.5)
    run.validate(8, 0.9, save=False)  # killed here
    assert saved_steps(tmp_path) == [4, 8]
    again = Run(tmp_path)
    assert again.checkpoints.restore_newest() == 4
    again.best.forget_after(4)
    assert saved_steps(tmp_path) == [4]
    assert again.best.restore() == {"best_step": 4, "best_value": 0.5} and again.weight == 4
    again.validate(8, 0.7)
    again.validate(12, 0.6)
    assert saved_steps(tmp_path) == [4, 8]
    third = Run(tmp_path)
    assert third.checkpoints.restore_newest() == 12
    third.best.forget_after(12)
    assert third.best.restore() == {"best_step": 8, "best_value": 0.7} and third.weight == 8


def test_a_run_killed_before_its_first_checkpoint_forgets_all(tmp_path):
    Run(tmp_path).validate(4, 0.5, save=False)
    again = Run(tmp_path)
    again.best.forget_after(0)
    assert saved_steps(tmp_path) == []
    assert tf.train.latest_checkpoint(str(tmp_path / "checkpoints/best")) is None
    again.validate(4, 0.4)
    assert again.best.restore() == {"best_step": 4, "best_value": 0.4}


def test_a_run_below_the_working_directory_forgets_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Run("runs/a").validate(4, 0.5)
    Run("runs/a").validate(8, 0.9, save=False)
    again = Run("runs/a")
    again.best.forget_after(4)
    assert saved_steps(tmp_path / "runs/a") == [4]
    monkeypatch.chdir(tmp_path / "runs")  # and the folder may be read from elsewhere
    assert state.chosen_checkpoint("a") == "a/checkpoints/best/ckpt-4"
    state.restore_models("a", encoder=again.model)
    assert again.weight == 4
