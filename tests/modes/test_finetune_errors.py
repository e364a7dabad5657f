"""A fine-tuning that cannot be: one line that names the flag, exit 2, and nothing written."""

import numpy as np
import pytest

from micle_tf import cli
from micle_tf.data import cases
from micle_tf.modes import opening
from micle_tf.training import state
from tests.generated_cases import TINY
from tests.modes.test_finetune import command, data_flags, run, write_manifests


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The data, and a pretraining of one step in run/."""
    folder = tmp_path_factory.mktemp("errors")
    write_manifests(folder)
    run("pretrain", folder / "run", *data_flags(folder), *TINY, "--train_steps=1")
    return folder


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--train_batch_size=512"],
         "--train_batch_size=512: --train_split=train has only {images} labelled images"),
        (["--train_batch_size=512", "--case_images=one"],
         "--train_batch_size=512: --train_split=train has only {cases} labelled cases"),
        (["--train_batch_size=64", "--label_fraction=0.5"],
         "--train_batch_size=64: --train_split=train has only {half} labelled images at "
         "--label_fraction=0.5"),
        (["--train_batch_size=15", "--virtual_devices=2"],
         "--train_batch_size=15: needs the same number of images on each of 2 devices"),
        (["--ft_proj_selector=3"], "--ft_proj_selector=3: the projection head has 2 layers"),
        (["--resnet_depth=18"],
         "--resnet_depth=18: --checkpoint={run} was trained with 10; leave the flag out"),
        (["--num_proj_layers=3"],
         "--num_proj_layers=3: --checkpoint={run} was trained with 2; leave the flag out"),
        (["--precision=float64"],
         "--precision=float64: --checkpoint={run} was trained in float32, and float64 goes with "
         "float64 alone"),
        (["--best_metric=case/top5"],
         "--best_metric=case/top5: not one of loss, image/top1, image/top3, "
         "image/balanced_accuracy, image/auc_macro, case/top1, case/top3, case/balanced_accuracy, "
         "case/auc_macro; did you mean case/top3?"),
        (["--top_classes=4"], "--top_classes=4: {data} has only 4 classes"),
        (["--eval_split=train"], "--eval_split=train: the classifier is trained on it"),
        (["--eval_split=dev"], "--eval_split=dev: {data} has train, validation, test"),
        (["--eval_split=tset"],
         "--eval_split=tset: {data} has train, validation, test; did you mean test?"),
        (["--validate_every=0steps"],
         "--validate_every=0steps: give epochs or steps, as 2epochs or 500steps"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line_and_writes_nothing(folder, flags, message, tmp_path, capsys):
    config = state.read_config(str(folder / "run"))[0]
    data = cases.open_cases(config)
    index = data.index["train"]
    labelled = np.flatnonzero(index.class_label >= 0)
    _, half = opening.labelled_data(config.replace(mode="finetune", label_fraction=0.5), data)
    counts = {
        "images": len(labelled), "cases": len(set(index.case_of_image[labelled])),
        "half": len(half["train"].images), "run": folder / "run", "data": data.name,
    }  # fmt: skip
    capsys.readouterr()
    arguments = command("finetune", tmp_path / "out", f"--checkpoint={folder / 'run'}")
    assert cli.main([*arguments, "--train_batch_size=16", *flags]) == 2
    assert capsys.readouterr().err == f"error: {message.format(**counts)}\n"
    assert list(tmp_path.iterdir()) == []


def test_findings_have_no_top_classes(folder, tmp_path, capsys):
    arguments = command("finetune", tmp_path / "out", *data_flags(folder, "findings"), *TINY)
    assert cli.main([*arguments, "--top_classes=2"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --top_classes=2: derm_cases/manifest-")
    assert error.endswith(" has findings, no classes\n") and list(tmp_path.iterdir()) == []


def test_layers_of_a_projection_head_come_from_a_pretraining(folder, tmp_path, capsys):
    arguments = command("finetune", tmp_path / "out", *data_flags(folder), *TINY)
    assert cli.main([*arguments, "--ft_proj_selector=1"]) == 2
    assert capsys.readouterr().err == (
        "error: --ft_proj_selector=1: the layers of a projection head come from a pretraining; "
        "name one with --checkpoint=RUN\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_is_none_yet(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/config.json").write_text((folder / "run/config.json").read_text())
    arguments = command("finetune", tmp_path / "out", f"--checkpoint={tmp_path / 'empty'}")
    assert cli.main([*arguments, "--train_batch_size=16"]) == 2
    message = f"error: --checkpoint={tmp_path / 'empty'}: holds no checkpoint yet\n"
    assert capsys.readouterr().err == message and not (tmp_path / "out").exists()
