"""When it is said that nothing is learned, and what to try."""

import functools
import math

import pytest

from micle_tf.config import Augmentation, Batches, Config, Optimizer, Pretraining, ProjectionHead
from micle_tf.optimizers import WarmupCosine
from micle_tf.training.watch import LearningWatch, likely_causes

LARS = Config(method="simclr", train_batch_size=64, learning_rate=0.075)
CHANCE = 1 / 127


def causes_of(config, rate):
    groups = map(config.part, (Batches, Optimizer, Pretraining))
    views, head = config.part(Augmentation), config.part(ProjectionHead)
    return functools.partial(likely_causes, *groups, augmentation=views, head=head, rate=rate)


def watch_of(config, schedule):
    causes = causes_of(config, schedule.base_learning_rate)
    return LearningWatch(schedule, config.train_batch_size, config.proj_out_dim, causes)


def said(config, steps, warmup, loss, accuracy=1.0, rank=60.0, *, upto=None, log_every=10):
    """{step: what was said} of a run whose values are functions of the step, or numbers."""
    watch = watch_of(config, WarmupCosine(config.learning_rate, warmup, steps))
    of = lambda value, step: value(step) if callable(value) else value
    found = {}
    for step in range(1, (upto or steps) + 1):
        watch.saw(step, {"loss": of(loss, step), "contrastive_accuracy": of(accuracy, step)})
        if step % log_every == 0:
            text = watch.verdict(step, of(rank, step))
            if text:
                found[step] = text
    return found


def test_a_run_that_learns_gets_no_word():
    assert not said(LARS, 500, 50, loss=lambda step: 4.84 * 0.96, accuracy=3.1 * CHANCE, rank=4.5)


@pytest.mark.parametrize(
    "symptom, text",
    [
        (dict(loss=4.75), "loss 4.75 beside chance's 4.84"),
        (dict(loss=math.nan), "loss nan beside chance's 4.84"),
        (dict(loss=3.0, accuracy=0.02), "accuracy 2.0% beside chance's 0.8%"),
        (dict(loss=3.0, rank=3.0), "effective rank 3.0"),
    ],
)
def test_each_symptom_is_said_once(symptom, text):
    found = said(LARS, 500, 0, **symptom)
    assert (
        list(found) == [100] and text in found[100] and found[100].startswith("note: not learning")
    )


@pytest.mark.parametrize(
    "steps, warmup, first",
    [(500, 0, 100), (500, 50, 100), (500, 80, 130), (5000, 1, 500), (5000, 0, 100), (100, 10, 100),
     (9000, 3000, 3050)],
)  # fmt: skip
def test_not_before_warm_up_and_a_tenth_of_a_run_that_has_one(steps, warmup, first):
    assert list(said(LARS, steps, warmup, loss=5.0)) == [first]


def test_the_mean_of_the_last_steps_counts():
    alternating = lambda step: 3.0 if step % 2 else 6.0  # 4.5 in the mean
    assert not said(LARS, 300, 0, loss=alternating)
    late = said(LARS, 400, 0, loss=lambda step: 3.0 if step <= 200 else 5.5)
    assert list(late) == [240]  # mean of 10 at 3 and 40 at 5.5 is 5.0, and 4.75 a step earlier


def test_small_batches_and_narrow_heads_say_nothing_by_accuracy_and_rank():
    few = LARS.replace(train_batch_size=4)
    assert not said(few, 200, 0, loss=1.0, accuracy=0.2)
    narrow = LARS.replace(proj_out_dim=8)
    assert not said(narrow, 200, 0, loss=3.0, rank=2.0)


@pytest.mark.parametrize("start, loop, first", [(0, 20, 100), (0, 100, 200), (500, 1, 550)])
def test_loops_of_several_steps_and_resumed_runs(start, loop, first):
    """Of a loop only the last step is seen; what a run did before it was stopped is not."""
    watch = watch_of(LARS, WarmupCosine(0.1, 0, 900))
    found = []
    for step in range(start + loop, start + 401, loop):
        watch.saw(step, {"loss": 5.0, "contrastive_accuracy": 0.01})
        found += [step] if watch.verdict(step) else []
    assert found == [first]


@pytest.mark.parametrize(
    "changes, rate, collapsed, cause, flag",
    [
        ({}, 0.019, False, "LARS", "--optimizer=adam"),
        ({"temperature": 100.0}, 0.3, False, "temperature 100", "--temperature=0.2"),
        ({}, 0.0, False, "learning rate is 0", "--learning_rate=0.002"),
        ({"optimizer": "momentum"}, 50.0, True, "too high", "--optimizer=adam"),
        (
            {"optimizer": "momentum", "weight_decay": 0.5},
            0.2,
            True,
            "weight decay",
            "--weight_decay=0.0001",
        ),
        (
            {"optimizer": "adam", "crop_area_min": 0.3, "color_jitter_strength": 0.5},
            0.002,
            False,
            "nothing in common",
            "--crop_area_min=0.5",
        ),
    ],
)
def test_the_likeliest_cause_comes_first(changes, rate, collapsed, cause, flag):
    causes = causes_of(LARS.replace(**changes), rate)(collapsed=collapsed)
    assert len(causes) >= 2 and cause in causes[0][0] and flag in " ".join(causes[0][1])
    for _, flags in causes:  # every one can be typed, and changes something
        assert flags
        for text in flags:
            name, _, value = text.removeprefix("--").partition("=")
            kind = Config.__dataclass_fields__[name].type
            assert Config(**{name: kind(value)}) and kind(value) != getattr(
                LARS.replace(**changes), name
            )
