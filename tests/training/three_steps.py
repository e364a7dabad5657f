"""Three steps of training in float64; as a program, one worker's part of them.

TF_CONFIG=... python -m tests.training.three_steps MANIFEST DATA_DIR OUT    writes OUT-INDEX.npz
"""

import functools
import sys

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.cluster import Cluster, from_environment
from micle_tf.config import Config
from micle_tf.data import cases
from micle_tf.modes import pretrain
from micle_tf.training import contrastive
from micle_tf.training import strategy as strategies
from micle_tf.training.handed import Training
from micle_tf.training.step import make_train_step
from micle_tf.training.workers import Workers
from tests import made_small

STEPS, BATCH = 3, 8
RUNS = {"simclr": ("simclr", "none"), "micle": ("micle", "none"), "masked": ("micle", "patient")}


def trained(manifest, data_dir):
    """Takes the steps of each of `RUNS` with SGD, all from the same weights.

    Returns:
      {"run/what": array or list of arrays}: "loss" and whatever else is logged, per step;
      "gradients" of the first step and "weights" after the last one, per variable; "group",
      "view1" and "view2" of this process's rows, per step; "read", the numbers of the cases
      that this process has read.
    """
    config = Config(
        dataset="derm_cases", manifest=str(manifest), data_dir=str(data_dir), image_size=16,
        resnet_depth=10, width_multiplier=0.125, train_batch_size=BATCH, train_steps=STEPS + 1,
        warmup_epochs=0.0, optimizer="momentum", learning_rate=0.005,
        learning_rate_scaling="none", weight_decay=1e-4, temperature=0.5, precision="float64",
        seed=3,  # with which the first batch has a patient on both workers
    )  # fmt: skip
    strategies.set_precision(config.precision)
    strategy = strategies.make_strategy(config)
    workers = Workers(strategy, Cluster.of(config))
    reader = workers.chief_first(lambda: cases.open_cases(config)).open(config.train_split)
    models, optimizer, schedule = pretrain.build(config, reader.index.num_cases, strategy)

    @functools.cache
    def step_function(mask):
        training = Training(
            models=models, optimizer=optimizer, schedule=schedule, total_steps=STEPS, dataset=None,
            forward=functools.partial(contrastive.embed, models),
            loss=pretrain.loss_of(config.replace(mask_negatives=mask)),
            images_per_step=2 * BATCH, constants={}, note=str,
        )  # fmt: skip
        return tf.function(make_train_step(training, strategy))

    weights = [variable for model in models.values() for variable in model.variables]
    variables = weights + optimizer.variables
    start = [variable.numpy() for variable in variables]
    results = {}
    for run, (method, mask) in RUNS.items():
        for variable, value in zip(variables, start, strict=True):
            variable.assign(value)
        step, read = step_function(mask), note_what_is_read(reader)
        for batch in batches(config.replace(method=method, mask_negatives=mask), reader, strategy):
            (own,) = strategy.experimental_local_results(batch)
            for name, value in (own | step(batch)).items():
                results.setdefault(f"{run}/{name}", []).append(value.numpy())
            # SGD's momenta after one step are -rate (gradient + weight decay x weight).
            momenta = optimizer.variables[2:]
            results.setdefault(f"{run}/gradients", [v.numpy() for v in momenta])
        results |= {f"{run}/weights": [v.numpy() for v in weights], f"{run}/read": np.array(read)}
    workers.wait()
    return results


def batches(config, reader, strategy):
    def parts(context):
        shard = (context.input_pipeline_id, context.num_input_pipelines)
        return pretrain.pairs(config, reader, strategy.num_replicas_in_sync, (0, STEPS), shard)

    return strategy.distribute_datasets_from_function(parts)


def note_what_is_read(reader):
    """The list to which the reader will add the number of each case that it reads."""
    read, read_records = [], type(reader).read_records

    def noted(cases):
        read.extend(map(int, cases))
        return read_records(reader, cases)

    reader.read_records = noted
    return read


def save(path, results):
    """Writes what `trained` returns."""
    arrays = {}
    for name, values in results.items():
        values = {"": values} if isinstance(values, np.ndarray) else dict(enumerate(values))
        arrays |= {f"{name}/{number}": value for number, value in values.items()}
    np.savez(path, **arrays)


def load(path):
    """The inverse of `save`."""
    results = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            name, _, number = key.rpartition("/")
            if number:
                results.setdefault(name, []).append(arrays[key])
            else:
                results[name] = arrays[key]
    return results


if __name__ == "__main__":
    made_small.networks(pytest.MonkeyPatch())  # as those of the tests
    *source, out = sys.argv[1:]
    save(f"{out}-{from_environment().index}.npz", trained(*source))
