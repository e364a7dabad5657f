"""Of two things that are wrong, the one that comes first in a mode's own order is reported."""

import pytest

from micle_tf import cli
from tests.generated_cases import TINY


@pytest.fixture(scope="module")
def run(small_set, tmp_path_factory):
    """A pretraining of two steps."""
    path = tmp_path_factory.mktemp("faults") / "run"
    data = [f"--manifest={small_set / 'photos/cases.csv'}", f"--data_dir={small_set / 'data'}"]
    train = ["--mode=pretrain", *data, *TINY, "--train_steps=2", f"--model_dir={path}"]
    assert cli.main(train) == 0
    return path


@pytest.mark.parametrize(
    "flags, first, other",
    [
        # A plan is made on one machine, before devices are looked for.
        (["--mode=pretrain", "--dry_run", "--strategy=multi_worker", "--train_split=dev"],
         "--dry_run: a plan is made on one machine", "--train_split"),
        (["--mode=pretrain", "--train_split=dev", "--train_batch_size=9999"],
         "--train_split=dev: ", "--train_batch_size"),
        (["--mode=pretrain", "--train_batch_size=9999", "--train_steps=4", "--profile=3:9"],
         "--train_batch_size=9999: ", "--profile"),
        (["--mode=pretrain", "--train_steps=4", "--profile=3:9", "--knn_every=1steps",
          "--eval_split=dev"],
         "--profile=3:9: ", "--eval_split"),
        (["--mode=finetune", "--ft_proj_selector=1", "--train_split=dev"],
         "--ft_proj_selector=1: the layers of a projection head come", "--train_split"),
        (["--mode=finetune", "--eval_split=train", "--train_batch_size=9999"],
         "--eval_split=train: the classifier is trained on it", "--train_batch_size"),
        (["--mode=finetune", "--train_batch_size=9999", "--best_metric=none"],
         "--train_batch_size=9999: ", "--best_metric"),
        (["--mode=finetune", "--train_batch_size=8", "--train_steps=4", "--profile=3:9",
          "--best_metric=none"],
         "--profile=3:9: ", "--best_metric"),
        (["--mode=linear_eval", "--train_split=validation", "--eval_split=dev"],
         "--train_split=validation: validation chooses the model", "--eval_split"),
        (["--mode=evaluate", "--checkpoint=RUN", "--eval_split=dev"],
         "--checkpoint=RUN: a pretraining has no classifier", "--eval_split"),
        (["--mode=export", "--checkpoint=RUN", "--export_name=a.keras", "--model_dir=RUN/lock"],
         "--export_name=a.keras: .md and .keras are endings", "--model_dir"),
    ],
)  # fmt: skip
def test_the_first_fault_is_the_one_that_is_reported(
    run, small_set, tmp_path, *, capsys, flags, first, other
):
    """The other one is a fault too, on its own."""
    flags = [flag.replace("RUN", str(run)) for flag in flags]
    first = first.replace("RUN", str(run))
    data = [f"--manifest={small_set / 'photos/cases.csv'}", f"--data_dir={small_set / 'data'}"]
    given = () if any("--checkpoint" in flag for flag in flags) else (*data, *TINY)
    place = () if any("--model_dir" in flag for flag in flags) else (f"--model_dir={tmp_path}/out",)
    capsys.readouterr()
    assert cli.main([*given, *place, *flags]) == 2
    captured = capsys.readouterr()
    said = captured.err
    if "--train_split=dev" in flags:  # a split that is not there, before the data is described
        assert "cases" not in captured.out
    assert said.startswith(f"error: {first}") and said.count("\n") == 1
    assert other not in said and not (tmp_path / "out").exists()
