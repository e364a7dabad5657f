"""A word, once, when contrastive pretraining learns nothing."""

import collections
import math

import numpy as np

_WINDOW = 50  # steps
_FIRST = 100
_LOSS, _ACCURACY, _RANK = 0.97, 3.0, 4.0  # of chance's; times chance; directions
_FEWEST_PAIRS, _FEWEST_DIRECTIONS = 8, 16  # below which the two last say nothing
# Rates, and temperatures, beyond which they are a likely cause.
_LARGE_ADAM, _LARGE_SGD, _HIGH, _LOW = 0.01, 3.0, 1.0, 0.03


class LearningWatch:
    """Looks at each step's loss and accuracy, and at each logged effective rank.

    The means of the last 50 steps are looked at from step 100 on, when those 50 lie behind the
    warm-up, and in a run that has one not before a tenth of it. It is not learning when the loss is
    not below 0.97 of chance's, the accuracy below three times chance's, or the effective rank below
    4 (the two last only where a batch has 8 pairs, and the embeddings 16 directions, or more).

    Args:
      schedule: `WarmupCosine`.
      batch_size: positive pairs of a step.
      directions: that the embeddings have.
      causes: `likely_causes` of the run, of `collapsed` alone.
    """

    def __init__(self, schedule, batch_size, directions, causes):
        self._causes = causes
        self._pairs, self._directions = batch_size, min(directions, 2 * batch_size)
        others = 2 * batch_size - 1
        self._chance, self._loss_of_chance = 1 / others, math.log(others)
        warmup = schedule.warmup_steps
        tenth = math.ceil(schedule.total_steps / 10) if warmup else 0
        self._from = max(_FIRST, warmup + _WINDOW, tenth)
        self._seen = collections.deque()  # (step, loss, accuracy) of the last steps
        self._ranks = collections.deque()  # (step, effective rank)
        self._began, self._said = None, False

    def saw(self, step, values):
        """Takes note of a step.

        Args:
          step: steps taken so far.
          values: {"loss", "contrastive_accuracy": number or scalar tensor}.
        """
        self._began = step if self._began is None else self._began
        if self._said or step <= self._from - _WINDOW:
            return
        self._seen.append((step, float(values["loss"]), float(values["contrastive_accuracy"])))
        _forget(self._seen, step)

    def verdict(self, step, rank=None):
        """What to say after a logged step; "" as long as there is nothing, and after it was said.

        Args:
          step: steps taken so far.
          rank: effective rank of this step; None where it is not known.
        """
        if rank is not None and step > self._from - _WINDOW:
            self._ranks.append((step, rank))
            _forget(self._ranks, step)
        if self._said or step < self._from or not self._seen:
            return ""
        if step < self._began + _WINDOW - 1:  # of a run that goes on
            return ""
        loss, accuracy = np.mean([values for _, *values in self._seen], axis=0)
        symptoms = self._symptoms(loss, accuracy)
        if not symptoms:
            return ""
        self._said = True
        causes = self._causes(collapsed="rank" in symptoms[-1])[:2]
        first, second = (cause for cause, _ in causes)
        flags = " ".join(dict.fromkeys(flag for _, several in causes for flag in several))
        return (
            f"note: not learning at step {step:,} (mean of the last {_WINDOW}): "
            f"{', '.join(symptoms)}. Likeliest causes: {first}; {second}. To try, with another "
            f"--model_dir: {flags}"
        )

    def _symptoms(self, loss, accuracy):
        symptoms = []
        if not loss < _LOSS * self._loss_of_chance:
            symptoms.append(f"loss {loss:.2f} beside chance's {self._loss_of_chance:.2f}")
        if self._pairs >= _FEWEST_PAIRS and accuracy < _ACCURACY * self._chance:
            symptoms.append(f"accuracy {accuracy:.1%} beside chance's {self._chance:.1%}")
        ranks = [rank for _, rank in self._ranks if rank == rank]
        if ranks and self._directions >= _FEWEST_DIRECTIONS and np.mean(ranks) < _RANK:
            symptoms.append(f"effective rank {np.mean(ranks):.1f}")
        return symptoms


def likely_causes(batches, optimizer, pretraining, *, augmentation, head, rate, collapsed=False):
    """What may keep these settings from learning, the likeliest first.

    Args:
      batches, optimizer, pretraining, augmentation, head: `Batches`, `Optimizer`, `Pretraining`,
        `Augmentation` and `ProjectionHead` of the run.
      rate: the learning rate after warm-up, scaled by the batch.
      collapsed: the embeddings have few directions.

    Returns:
      [(cause, [flags that do otherwise])], at least two; flags that are set already are not
      among them.
    """
    kind, decay, temperature = optimizer.optimizer, optimizer.weight_decay, pretraining.temperature
    crop, jitter = augmentation.crop_area_min, augmentation.color_jitter_strength
    adam, lars = kind == "adam", kind == "lars"
    steady = {"optimizer": "adam", "learning_rate": 0.002, "learning_rate_scaling": "none"}
    too_high = rate > (_LARGE_ADAM if adam else _LARGE_SGD)
    moves_little = 0 < rate < (2e-4 if adam else 0.1)
    slow_lars = lars and 0 < rate <= _LARGE_SGD and batches.train_batch_size < 1024
    suspects = [
        (rate == 0, "the learning rate is 0", steady),
        (temperature > _HIGH, f"at temperature {temperature:g} all similarities look alike",
         {"temperature": 0.2}),
        (too_high, f"a learning rate of {rate:.3g} is too high for {kind}", steady),
        (decay >= 0.01 and not adam, f"a weight decay of {decay:g} pulls all weights to 0",
         {"weight_decay": 1e-4}),
        (temperature < _LOW, f"temperature {temperature:g} heeds the nearest image alone",
         {"temperature": 0.2}),
        (slow_lars, f"LARS, at a rate of {rate:.3g}, takes small steps, for batches of thousands",
         steady),
        (not lars and moves_little, f"a learning rate of {rate:.3g} moves little with {kind}",
         steady),
        (collapsed, "the embeddings were all driven to one place", steady),
        (crop < 0.2, f"crops down to {crop:.0%} of an image often share nothing",
         {"crop_area_min": 0.2}),
        (jitter > 0.5, f"colour jitter of strength {jitter:g} takes the colours away",
         {"color_jitter_strength": 0.5}),
        (batches.method == "micle",
         "the images of a case have nothing in common; see positive_pairs.png",
         {"method": "simclr"}),
        (True, "the views have nothing in common; see positive_pairs.png", {"crop_area_min": 0.5}),
        (True, "a learning rate that does not suit",
         {"learning_rate": optimizer.learning_rate / 3}),
        (True, "the projection head", {"num_proj_layers": 3}),
    ]  # fmt: skip
    groups = (batches, optimizer, pretraining, augmentation, head)
    stated = {name: value for group in groups for name, value in vars(group).items()}
    typed = lambda value: f"{value:g}" if isinstance(value, float) else value
    causes = []
    for is_so, cause, changes in suspects:
        changed = {name: value for name, value in changes.items() if stated[name] != value}
        if is_so and changed:
            causes.append((cause, [f"--{name}={typed(value)}" for name, value in changed.items()]))
    return causes


def _forget(values, step):
    while values and values[0][0] <= step - _WINDOW:
        values.popleft()
