"""Run directories that are not whole: exit 2, one line that names the file, nothing written."""

import json
import shutil

import pytest

from micle_tf import cli
from tests.generated_cases import TINY, write_cases

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A pretraining of three images a step, and both kinds of classifier on it."""
    folder = tmp_path_factory.mktemp("whole")
    manifest = write_cases(folder / "photos", num_cases=120)
    data = [f"--manifest={manifest}", f"--data_dir={folder / 'data'}", *TINY[:3]]
    run = folder / "run"
    few = ["--bootstrap_samples=10", f"--checkpoint={run}"]
    tune = ["--train_batch_size=3", "--train_steps=4", "--validate_every=2steps"]
    for argv in (
        ["--mode=pretrain", *data, "--train_batch_size=3", "--train_steps=2", f"--model_dir={run}"],
        ["--mode=linear_eval", *few],
        ["--mode=finetune", *few, *tune],
    ):
        assert cli.main(argv) == 0
    return folder


@pytest.fixture
def run(whole, tmp_path, monkeypatch):
    """A copy to be damaged, as "run" in the working directory."""
    shutil.copytree(whole / "run", tmp_path / "run")
    for name in ("linear_eval", "finetune"):  # which remember their source as they were given it
        change(tmp_path / "run" / name / "config.json", checkpoint="run")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def change(path, **values):
    stated = json.loads(path.read_text()) | values
    path.write_text(json.dumps({k: v for k, v in stated.items() if v is not None}))


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "empty mark": (
        lambda run: (run / "checkpoints/ckpt-2.complete").write_text(""),
        ["--mode=linear_eval", "--checkpoint=run", "--model_dir=new"],
        "--checkpoint=run: ckpt-2.complete is damaged",
    ),
    "no checkpoint was completed": (
        lambda run: [path.unlink() for path in run.glob("checkpoints/ckpt-*.complete")],
        ["--mode=linear_eval", "--checkpoint=run", "--model_dir=new"],
        "--checkpoint=run: holds no checkpoint yet",
    ),
    "index deleted": (
        lambda run: (run / "checkpoints/ckpt-2.index").unlink(),
        ["--mode=linear_eval", "--checkpoint=run", "--model_dir=new"],
        "--checkpoint=run: ckpt-2.index is gone",
    ),
    "data cut": (
        lambda run: cut(run / "checkpoints/ckpt-2.data-00000-of-00001"),
        ["--mode=linear_eval", "--checkpoint=run", "--model_dir=new"],
        "--checkpoint=run: ckpt-2.data-00000-of-00001 is damaged: ",
    ),
    "no best checkpoint": (
        lambda run: shutil.rmtree(run / "finetune/checkpoints/best"),
        ["--mode=evaluate", "--checkpoint=run/finetune"],
        "--checkpoint=run/finetune: its best checkpoint is gone: checkpoints/best",
    ),
    "no best checkpoint on resume": (
        lambda run: (
            shutil.rmtree(run / "finetune/checkpoints/best"),
            (run / "finetune/result.json").unlink(),
        ),
        ["--mode=finetune", "--checkpoint=run", "--bootstrap_samples=10", "--train_batch_size=3",
         "--train_steps=4", "--validate_every=2steps"],
        "--model_dir=run/finetune, best checkpoint: ckpt-4 is gone",
    ),
    "result is no JSON": (
        lambda run: (run / "finetune/result.json").write_text("{"),
        ["--mode=evaluate", "--checkpoint=run/finetune"],
        "--checkpoint=run/finetune: its result.json is damaged (",
    ),
    "result is binary": (
        lambda run: (run / "finetune/result.json").write_bytes(b"\xff\xfe\x00"),
        ["--mode=export", "--checkpoint=run/finetune"],
        "--checkpoint=run/finetune: its result.json is damaged (",
    ),
    "result is a list": (
        lambda run: (run / "finetune/result.json").write_text("[1]"),
        ["--mode=evaluate", "--checkpoint=run/finetune"],
        "--checkpoint=run/finetune: its result.json is damaged (",
    ),
    "result lacks its metrics": (
        lambda run: change(run / "finetune/result.json", metrics=None),
        ["--mode=export", "--checkpoint=run/finetune"],
        "--checkpoint=run/finetune: its result.json is damaged (no metrics in it)",
    ),
    "no targets": (
        lambda run: change(run / "linear_eval/config.json", targets=None),
        ["--mode=evaluate", "--checkpoint=run/linear_eval"],
        "--checkpoint=run/linear_eval: its config.json is damaged (targets)",
    ),
    "half the targets": (
        lambda run: change(run / "linear_eval/config.json", targets={"names": ["a"]}),
        ["--mode=export", "--checkpoint=run/linear_eval"],
        "--checkpoint=run/linear_eval: its config.json is damaged (targets)",
    ),
    "empty config": (
        lambda run: (run / "config.json").write_text("{}"),
        ["--mode=linear_eval", "--checkpoint=run", "--model_dir=new"],
        "--checkpoint=run: its config.json is damaged (no mode in it)",
    ),
    "size that is not whole": (
        lambda run: change(run / "finetune/config.json", image_size=16.5),
        ["--mode=export", "--checkpoint=run/finetune"],
        "--checkpoint=run/finetune: its config.json is damaged (--image_size=16.5: not of type "
        "int)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(run, damage, capsys):
    spoil, argv, message = DAMAGES[damage]
    spoil(run)
    before = {path for path in run.rglob("*") if path.is_dir()}
    assert cli.main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}") and error.count("\n") == 1
    if not message.endswith(("(", " ")):
        assert error == f"error: {message}\n"
    assert not (run.parent / "new").exists()
    assert {path for path in run.rglob("*") if path.is_dir()} == before


def test_damaged_features_are_computed_again(run):
    expected = (run / "linear_eval/predictions.csv").read_bytes()
    for name in ("features-train.npy", "features-test.npy"):
        cut(run / "linear_eval" / name)
    (run / "linear_eval/result.json").unlink()
    argv = ["--mode=linear_eval", "--bootstrap_samples=10", "--checkpoint=run"]
    shutil.rmtree(run / "linear_eval/checkpoints")
    assert cli.main(argv) == 0
    assert (run / "linear_eval/predictions.csv").read_bytes() == expected
