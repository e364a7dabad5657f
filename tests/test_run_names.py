"""Names of run directories."""

import pytest

from micle_tf import cli
from micle_tf.config import Config
from micle_tf.errors import BadInput

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_names_of_run_directories(tmp_path):
    name = lambda *argv: cli.configure(argv)[0].model_dir
    assert name() == "runs/derm_cases-synthetic/pretrain-micle"
    assert name("--method=simclr") == "runs/derm_cases-synthetic/pretrain-simclr"
    assert name("--mode=linear_eval") == "runs/derm_cases-synthetic/linear_eval-random"
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(Config(seed=3, resnet_depth=18).to_json())
    assert name("--mode=linear_eval", f"--checkpoint={run}") == f"{run}/linear_eval"
    same = name("--mode=linear_eval", f"--checkpoint={run}", "--dataset=derm_cases/synthetic")
    assert same == f"{run}/linear_eval"
    data = "--dataset=derm_cases/synthetic_shuffled"
    other = name("--mode=linear_eval", f"--checkpoint={run}", data)
    assert other == f"{run}/linear_eval-derm_cases-synthetic_shuffled"


def test_names_of_run_directories_of_datasets(tmp_path):
    name = lambda *argv: cli.configure(argv)[0].model_dir
    assert name("--dataset=cifar10") == "runs/cifar10/pretrain-micle"
    assert name("--dataset=chexpert") == "runs/chexpert_cases-official/pretrain-simclr"
    assert name("--dataset=nih_chest_xray14", "--mode=finetune") == (
        "runs/nih_chest_xray14-default/finetune-random"
    )
    both = "--dataset=derm_cases/ham10000+derm_cases/pad_ufes_20"
    folder = "runs/derm_cases-ham10000+derm_cases-pad_ufes_20"
    assert name(both) == f"{folder}/pretrain-micle"
    assert name("--dataset=imagenet2012_subset/1pct+cifar10:3.0.2", "--method=simclr") == (
        "runs/imagenet2012_subset-1pct+cifar10-3.0.2/pretrain-simclr"
    )
    source = Config(dataset="derm_cases/ham10000+derm_cases/pad_ufes_20", manual_dir="files")
    (tmp_path / "config.json").write_text(source.to_json())
    checkpoint = f"--checkpoint={tmp_path}"
    assert name("--mode=finetune", checkpoint, "--dataset=derm_cases/ham10000") == (
        f"{tmp_path}/finetune-derm_cases-ham10000"
    )
    assert name("--mode=export", checkpoint) == f"{tmp_path}/export"
    assert name(checkpoint, "--method=simclr") == f"{tmp_path}/pretrain-simclr"


def test_evaluations_under_other_policies_have_directories_of_their_own(tmp_path):
    source = Config(mode="finetune", dataset="chexpert", uncertain="ones")
    (tmp_path / "config.json").write_text(source.to_json())
    checkpoint = f"--checkpoint={tmp_path}"
    name = lambda *argv: cli.configure(["--mode=evaluate", checkpoint, *argv])[0].model_dir
    assert name() == name("--uncertain=ones", "--unmentioned=zeros") == f"{tmp_path}/evaluate"
    assert name("--uncertain=zeros") == f"{tmp_path}/evaluate-uncertain_zeros"
    assert name("--uncertain=ignore", "--unmentioned=ignore", "--eval_split=validation") == (
        f"{tmp_path}/evaluate-validation-uncertain_ignore-unmentioned_ignore"
    )
    assert name("--unmentioned=ignore", "--dataset=nih_chest_xray14") == (
        f"{tmp_path}/evaluate-nih_chest_xray14-default-unmentioned_ignore"
    )


def test_evaluations_on_several_manifests_have_directories_of_their_own(tmp_path):
    source = Config(mode="finetune", manifest="a.csv")
    (tmp_path / "config.json").write_text(source.to_json())
    name = lambda *argv: cli.configure(["--mode=evaluate", f"--checkpoint={tmp_path}", *argv])[
        0
    ].model_dir.removeprefix(f"{tmp_path}/")
    assert name() == "evaluate"
    assert name("--eval_split=validation") == "evaluate-validation"
    assert name("--manifest=sets/b.csv") == "evaluate-derm_cases-manifest-b"
    assert name("--manifest=c") == "evaluate-derm_cases-manifest-c"
    with pytest.raises(BadInput, match=r"--precision=float64: --checkpoint=.* was trained "):
        name("--precision=float64")
    with pytest.raises(BadInput, match=r"--precision=mixed_bfloat16: --checkpoint=.* was trained "):
        name("--precision=mixed_bfloat16")


@pytest.mark.parametrize("flag", ["", "--method=simclr", "--method=micle"])
def test_chest_x_rays_take_simclr_and_go_on_with_micle_that_was_begun(flag, tmp_path, capsys):
    """Earlier versions took MICLe for them too, in the default place."""
    words = ["--mode=pretrain", "--dataset=nih_chest_xray14", *([flag] if flag else [])]
    method = flag.partition("=")[2] or "simclr"
    config, _ = cli.configure(words)
    place = "runs/nih_chest_xray14-default/pretrain-"
    assert (config.method, config.model_dir) == (method, f"{place}{method}")

    begun = tmp_path / f"{place}micle"
    begun.mkdir(parents=True)
    (begun / "config.json").write_text(config.replace(method="micle", seed=5).to_json())
    capsys.readouterr()
    config, _ = cli.configure(words)
    goes_on = not flag or method == "micle"
    assert config.method == ("micle" if goes_on else "simclr")
    assert config.seed == (5 if goes_on else 0)
    said = capsys.readouterr().out
    assert (f"goes on with the unfinished run in {place}micle; --method=simclr starts one in "
            f"{place}simclr" in said) == (not flag)  # fmt: skip
    elsewhere, _ = cli.configure([*words, "--model_dir=mine"])
    assert elsewhere.method == method

    (begun / "result.json").write_text("{}")
    config, _ = cli.configure(words)
    assert config.method == method


def test_other_data_stays_with_micle():
    joined = "--dataset=nih_chest_xray14+derm_cases/ham10000"
    for dataset in ("--dataset=derm_cases", "--dataset=cifar10", joined):
        assert cli.configure(["--mode=pretrain", dataset])[0].method == "micle"
    typed = ["--mode=finetune", "--dataset=nih_chest_xray14"]
    assert "pretrain" not in cli.configure(typed)[0].model_dir
