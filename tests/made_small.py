"""What nobody looks at is small in the commands of tests: networks, resamples, linear heads.

    python -m tests.made_small --mode=pretrain ...

is `python run.py --mode=pretrain ...` with them, for processes of tests.
"""

import functools
import sys

import pytest

from micle_tf import __main__, cli
from micle_tf.config import Config


def networks(patch):
    """ResNet-10 has two of its four groups: to trace the others is half of the time of a run."""
    from micle_tf.models import resnet

    patch.setitem(resnet.DEPTHS, 10, (resnet.BASIC, (1, 1)))


def resamples(patch):
    """A command that leaves --bootstrap_samples alone takes 20 resamples, not 1,000.

    They are most of the time of a small evaluation.
    """
    from micle_tf.evaluation import predictions

    finish, usual = predictions.finish, Config().bootstrap_samples

    def finish_soon(*arguments, samples, **more):
        return finish(*arguments, samples=20 if samples == usual else samples, **more)

    patch.setattr(predictions, "finish", finish_soon)


def heads(patch):
    """The head of a linear evaluation takes 20 of its 1,000 steps."""
    from micle_tf.evaluation.linear_probe import train_linear_head
    from micle_tf.modes import linear_eval

    few = functools.partial(train_linear_head, steps=20)
    patch.setattr(linear_eval, "train_linear_head", few)


def commands():
    """Makes all of them small in the commands of this process, from the first one on.

    Not before, for a command says how much TensorFlow tells before it loads it.
    """
    run_mode, waiting = cli._run_mode, [networks, resamples, heads]

    def run_small(config):
        while waiting:
            waiting.pop()(pytest.MonkeyPatch())
        return run_mode(config)

    cli._run_mode = run_small


if __name__ == "__main__":
    commands()
    sys.exit(__main__.main())
