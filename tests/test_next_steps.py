"""What is said to be typed next."""

import re
import shlex

import numpy as np
import pytest

from micle_tf import cli, next_steps
from micle_tf.config import Config

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.mark.parametrize(
    "mode, flags",
    [
        ("finetune", ["--use_blur=true", "--train_epochs=50"]),
        ("finetune", ["--train_steps=7", "--fine_tune_after_block=2", "--crop_area_min=0.4"]),
        ("linear_eval", ["--seed=4", "--bootstrap_samples=50"]),
    ],
)
def test_the_baseline_that_is_printed_is_the_same_but_for_the_start(mode, flags, tmp_path, capsys):
    """Also where a recipe says something else than the default that was typed."""
    source = Config(resnet_depth=50, width_multiplier=1.0, image_size=48, data_dir="data")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text(source.to_json())
    config, origin = cli.configure([f"--mode={mode}", f"--checkpoint={tmp_path}/run", *flags])
    assert origin == f"recipe flags/derm_cases/synthetic/{mode}.flags"
    after = {"finetune": next_steps.after_finetuning, "linear_eval": next_steps.after_linear_eval}
    after[mode](config, None, cli.usual)
    (line, *_) = re.findall(r"^next: python run.py (.*)$", capsys.readouterr().out, re.MULTILINE)
    printed, _ = cli.configure(shlex.split(line))
    for name in set(Config.__dataclass_fields__) - {
        "checkpoint",
        "model_dir",
        "fine_tune_after_block",
    }:
        assert getattr(printed, name) == getattr(config, name), name
    assert (printed.checkpoint, printed.fine_tune_after_block) == ("", -1)


def test_how_to_ask_an_export_is_said(tmp_path, capsys):
    next_steps.after_exporting(None, "my run/export/model/1", None)
    _, save, ask, last = capsys.readouterr().out.splitlines()
    (tmp_path / "a.jpg").write_bytes(b"a photo")
    program, flag, code = shlex.split(save)
    assert (program, flag) == ("python", "-c")
    exec(code, {})
    assert np.load("photos.npy").tolist() == [b"a photo"]
    assert shlex.split(ask)[:4] == ["saved_model_cli", "run", "--dir", "my run/export/model/1"]
    assert last == "next: saved_model_cli show --dir 'my run/export/model/1' --all"


@pytest.mark.parametrize(
    "flags, labelled, following",
    [
        ([], [842], ["linear_eval --checkpoint=run", "finetune --checkpoint=run"]),
        ([], None, ["linear_eval --checkpoint=run", "finetune --checkpoint=run"]),
        ([], [0], ["export --checkpoint=run"]),
        (["--dataset=derm_cases/synthetic+cifar10"], [0, 5],
         ["linear_eval --checkpoint=run --dataset=cifar10",
          "finetune --checkpoint=run --dataset=cifar10"]),
        (["--dataset=derm_cases/scin+derm_cases", "--manifest=a b.csv", "--manual_dir=scin",
          "--labels_shared_by_case=false"], [0, 5],
         ["linear_eval --checkpoint=run --dataset=derm_cases/manifest '--manifest=a b.csv' "
          "--labels_shared_by_case=false",
          "finetune --checkpoint=run --dataset=derm_cases/manifest '--manifest=a b.csv' "
          "--labels_shared_by_case=false"]),
    ],
)  # fmt: skip
def test_what_to_type_after_a_pretraining(flags, labelled, following, capsys):
    """Nothing that ends with exit 2: not every dataset has labels."""
    config, _ = cli.configure(["--model_dir=run", *flags])
    capsys.readouterr()
    result = {} if labelled is None else {"labelled_images": labelled}
    next_steps.after_pretraining(config, result, cli.usual)
    lines = capsys.readouterr().out.splitlines()
    said = [line for line in lines if not line.startswith("next: ")]
    assert lines[len(said) :] == [f"next: python run.py --mode={text}" for text in following]
    expected = (
        "no labels to learn from and to choose on: linear_eval and finetune want other data, by "
        "--manifest or --dataset"
    )
    assert said == ([expected] if labelled == [0] else [])
