"""Words of a command line as values of settings."""

import pytest

from micle_tf import cli
from micle_tf.errors import BadInput

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_simclrs_name_of_mode():
    assert cli.configure(["--train_mode=pretrain"])[0].mode == "pretrain"


def test_simclrs_name_of_the_tpu_strategy():
    strategy = lambda *argv: cli.configure(argv)[0].strategy
    assert strategy("--use_tpu") == strategy("--use_tpu=True", "--tpu_name=v3") == "tpu"
    assert strategy("--use_tpu=False") == strategy("--nouse_tpu") == "auto"
    assert strategy("--use_tpu", "--strategy=mirrored") == "mirrored"
    with pytest.raises(BadInput, match="^--use_tpu=perhaps: not true or false$"):
        cli.configure(["--use_tpu=perhaps"])
