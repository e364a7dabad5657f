"""Two worker processes on loopback: the arithmetic of one, and one job whatever becomes of them."""

import csv
import json
import random
import re
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

from micle_tf import cli
from tests.generated_cases import TINY, write_cases
from tests.training import three_steps
from tests.worker_processes import started, wait_until

STEPS = 48
DYING = 60  # seconds in which a worker has to notice that another one is gone
STOPPING = 30  # seconds in which all have to save and end after a signal


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    write_cases(folder / "photos")
    return folder


# ---------------------------------------------------------------- the arithmetic of a step


@pytest.fixture(scope="module")
def found(folder):
    """`three_steps.trained` of this process, and of the two workers."""
    source = folder / "photos/cases.csv", folder
    alone = three_steps.trained(*source)
    program = "import os, sys; from tests.training import three_steps; three_steps.main(sys.argv)"
    with started(folder / "log", "-m", "tests.training.three_steps", *source) as workers:
        assert [worker.wait() for worker in workers] == [0, 0]
    return alone


# ---------------------------------------------------------------- whole commands


def pretraining(folder, name, *more):
    return [
        "--mode=pretrain", "--dataset=derm_cases", *data(folder), f"--model_dir={folder / name}",
        *TINY, "--precision=float64", "--optimizer=momentum", "--learning_rate=0.005",
        "--learning_rate_scaling=none", "--temperature=0.5", f"--train_steps={STEPS}",
        "--checkpoint_every=4steps", "--log_every=1", *more,
    ]  # fmt: skip


def data(folder):
    return [f"--manifest={folder / 'photos/cases.csv'}", f"--data_dir={folder}"]
