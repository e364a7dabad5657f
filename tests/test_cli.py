"""The command line: where settings come from, and what a person reads when one is wrong."""

import json
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

from micle_tf import cli, next_steps
from micle_tf.config import Config
from micle_tf.errors import BadInput
from tests.generated_cases import write_cases

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """So that a command which writes by mistake does so where it is seen."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "argument, message",
    [
        ("--trian_steps=3", "--trian_steps: no such flag; did you mean --train_steps?"),
        ("--zzz=1", "--zzz: no such flag"),
        (
            "--mode=pretain",
            "--mode=pretain: not one of prepare, pretrain, linear_eval, finetune, evaluate, "
            "export; did you mean pretrain?",
        ),
        ("--temperature=warm", "--temperature=warm: not a number"),
        (
            "--train_steps=99999999999999999999",
            "--train_steps=99999999999999999999: must be at most 1e+12",
        ),
        ("--train_steps=-1", "--train_steps=-1: must be at least 0"),
        ("--learning_rate=1e30", "--learning_rate=1e+30: must be at most 10000"),
        ("--learning_rate=inf", "--learning_rate=inf: not a finite number"),
        ("--weight_decay=-inf", "--weight_decay=-inf: not a finite number"),
        ("--warmup_epochs=1e300", "--warmup_epochs=1e+300: must be at most 1e+07"),
        (
            "--checkpoint_every=9999999999999m",
            "--checkpoint_every=9999999999999m: give a time or a number of steps, as 10m, 500s or "
            "1000steps",
        ),
        (
            "--profile=1:9999999999999",
            "--profile=1:9999999999999: give the first and the last step, as 20:25",
        ),
        ("--undefok=trian_steps", "--undefok: no such flag"),
        ("-undefok", "-undefok: no such flag"),
        ("--method=SimCLE", "--method=SimCLE: not one of simclr, micle; did you mean simclr?"),
        (
            "--train-batch-size=8",
            "--train-batch-size: no such flag; did you mean --train_batch_size?",
        ),
        ("--batch_size=8", "--batch_size: no such flag; did you mean --train_batch_size?"),
        ("--epochs=8", "--epochs: no such flag; did you mean --train_epochs?"),
        ("--versio", "--versio: no such flag; did you mean --version?"),
        ("--nouse_blurr", "--nouse_blurr: no such flag; did you mean --use_blur?"),
        ("--temperature=nan", "--temperature=nan: not a finite number"),
        ("--temperature=0", "--temperature=0.0: must be at least 0.001"),
        ("--momentum=1.5", "--momentum=1.5: must be at most 1"),
        ("--resnet_depth=51", "--resnet_depth=51: not one of 10, 14, 18, 34, 50, 101, 152, 200"),
        ("--train_steps=many", "--train_steps=many: not a whole number"),
        ("--use_blur=perhaps", "--use_blur=perhaps: not true or false"),
        ("--nouse_blur=3", "--nouse_blur=3 does not take an argument"),
        ("pretrain", "pretrain: stray argument; flags look like --name=value"),
        (
            "--checkpoint_every=5h",
            "--checkpoint_every=5h: give a time or a number of steps, as 10m, 500s or 1000steps",
        ),
        (
            "--dataset=derm",
            "--dataset=derm: neither one of derm_cases, chexpert_cases, nih_chest_xray14, "
            "mimic_cxr_jpg, padchest nor a tensorflow_datasets set",
        ),
        (
            "--dataset=derm_cases/sythetic",
            "--dataset=derm_cases/sythetic: derm_cases has synthetic, synthetic_shuffled, "
            "synthetic_same_photo, manifest, scin, pad_ufes_20, ham10000, isic2019; did you mean "
            "synthetic?",
        ),
        (
            "--dataset=derm_cases/manifest",
            "--dataset=derm_cases/manifest: name your cases with --manifest=cases.csv",
        ),
        ("--manifest=none.csv", "--manifest=none.csv: no such file or folder"),
        (
            "--dataset=chexpert/small",
            "--dataset=chexpert/small: chexpert_cases has official, paper",
        ),
        (
            "--dataset=chexpertt",
            "--dataset=chexpertt: neither one of derm_cases, chexpert_cases, nih_chest_xray14, "
            "mimic_cxr_jpg, padchest nor a tensorflow_datasets set; did you mean chexpert or "
            "chexpert_cases?",
        ),
        ("--group_by=lesion", "--group_by=lesion: not one of case, study, patient, image"),
        ("--uncertain=one", "--uncertain=one: not one of ignore, zeros, ones; did you mean ones?"),
        ("--unmentioned=ones", "--unmentioned=ones: not one of zeros, ignore"),
        ("--max_bad_images=-1", "--max_bad_images=-1: must be at least 0"),
        ("--max_bad_images=some", "--max_bad_images=some: not a whole number"),
        ("--max_image_side=40000", "--max_image_side=40000: must be at most 32768"),
        ("--jpeg_quality=0", "--jpeg_quality=0: must be at least 1"),
        ("--max_pixels=0", "--max_pixels=0: must be at least 1"),
        ("--checkpoint=nowhere", "--checkpoint=nowhere: not a run directory (no config.json)"),
        (
            "--strategy=mirrored",
            "--strategy=mirrored: needs several devices, and here is 1; --virtual_devices=2 splits "
            "the CPU",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_2(argument, message, capsys, tmp_path):
    assert cli.main([argument]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_real_process_writes_one_line_to_stderr(tmp_path):
    command = [sys.executable, str(ROOT / "run.py"), "--manifest=none.csv"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: --manifest=none.csv: no such file or folder\n"


def test_recipe_is_found_and_loses_to_the_line(monkeypatch, tmp_path):
    folder = tmp_path / "flags/derm_cases/synthetic"
    folder.mkdir(parents=True)
    (folder / "pretrain_micle.flags").write_text("# note\n--temperature=0.3\n--seed=4\n")
    (folder / "pretrain.flags").write_text("--temperature=0.4\n")
    monkeypatch.setattr(cli, "RECIPES", tmp_path / "flags")
    config, origin = cli.configure(["--seed=5"])
    assert (config.temperature, config.seed) == (0.3, 5)
    assert origin == "recipe flags/derm_cases/synthetic/pretrain_micle.flags"
    assert cli.configure(["--method=simclr"])[0].temperature == 0.4
    other = cli.configure(["--dataset=derm_cases/synthetic_shuffled", "--preset=paper"])
    assert other[0].temperature == 0.1


def test_flagfile_replaces_the_recipe(tmp_path):
    (tmp_path / "base.flags").write_text("--image_size=40\n--seed=1\n")
    (tmp_path / "mine.flags").write_text("--flagfile=base.flags\n--seed=2\n")
    config, origin = cli.configure(["--temperature=0.5", f"--flagfile={tmp_path}/mine.flags"])
    assert (config.image_size, config.seed, config.temperature) == (40, 2, 0.5)
    assert origin == "recipe mine.flags"
    (tmp_path / "bad.flags").write_text("--sede=2\n")
    with pytest.raises(BadInput, match=r"bad.flags: --sede: no such flag; did you mean --seed\?"):
        cli.configure([f"--flagfile={tmp_path}/bad.flags"])
    with pytest.raises(BadInput, match="--flagfile=gone: cannot be read"):
        cli.configure(["--flagfile=gone"])


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
    assert name("--dataset=chexpert") == "runs/chexpert_cases-official/pretrain-micle"
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


def test_a_step_count_in_a_recipe_loses_to_epochs_on_the_line(monkeypatch, tmp_path):
    folder = tmp_path / "flags/derm_cases/synthetic"
    folder.mkdir(parents=True)
    (folder / "pretrain.flags").write_text("--train_steps=700\n--seed=4\n")
    monkeypatch.setattr(cli, "RECIPES", tmp_path / "flags")
    steps = lambda *argv: (lambda c: (c.train_epochs, c.train_steps, c.seed))(
        cli.configure(argv)[0]
    )
    assert steps() == (100, 700, 4)
    assert steps("--train_epochs=3") == (3, 0, 4)
    assert steps("--train_epochs=100") == (100, 0, 4)
    assert steps("--train_epochs=3", "--train_steps=9") == (3, 9, 4)
    mine = f"--flagfile={folder}/pretrain.flags"
    assert steps(mine, "--train_epochs=3") == (3, 0, 4)


def test_chexpert_is_the_set_of_cases(monkeypatch, tmp_path):
    folder = tmp_path / "flags/chexpert_cases/official"
    folder.mkdir(parents=True)
    (folder / "pretrain.flags").write_text("--temperature=0.5\n")
    monkeypatch.setattr(cli, "RECIPES", tmp_path / "flags")
    for name in ("chexpert", "chexpert_cases", "chexpert/official"):
        config, origin = cli.configure([f"--dataset={name}"])
        assert origin == "recipe flags/chexpert_cases/official/pretrain.flags"
        assert config.temperature == 0.5
    assert cli.configure(["--dataset=chexpert/paper", "--preset=paper"])[0].temperature == 0.1


def test_datasets_without_a_recipe(monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "RECIPES", tmp_path / "none")
    plain = cli.configure(["--dataset=cifar10", "--preset=paper"])
    assert plain[1] == "preset paper: the defaults of --help"
    (tmp_path / "flags/cifar10").mkdir(parents=True)
    (tmp_path / "flags/cifar10/pretrain_simclr.flags").write_text("--seed=7\n")
    monkeypatch.setattr(cli, "RECIPES", tmp_path / "flags")
    found, origin = cli.configure(["--dataset=cifar10", "--method=simclr"])
    assert (found.seed, origin) == (7, "recipe flags/cifar10/pretrain_simclr.flags")
    several = cli.configure(["--dataset=cifar10+mnist", "--method=simclr"])
    assert (several[0].seed, several[1].split(":")[0]) == (0, "preset laptop")


def test_what_a_label_means_is_the_checkpoints(tmp_path):
    source = Config(mode="finetune", dataset="chexpert", uncertain="ones", unmentioned="ignore")
    (tmp_path / "config.json").write_text(source.to_json())

    def policies(mode, *argv):
        config, _ = cli.configure([f"--mode={mode}", f"--checkpoint={tmp_path}", *argv])
        return config.uncertain, config.unmentioned

    assert policies("evaluate") == ("ones", "ignore")
    assert policies("evaluate", "--dataset=nih_chest_xray14") == ("ones", "ignore")
    assert policies("evaluate", "--uncertain=zeros") == ("zeros", "ignore")
    assert policies("evaluate", "--unmentioned=zeros") == ("ones", "zeros")
    # A new classifier begins with the defaults, or with what it is told.
    assert policies("finetune") == ("ignore", "zeros")
    assert policies("linear_eval", "--uncertain=zeros") == ("zeros", "zeros")


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


def test_a_checkpoint_brings_where_the_files_are(tmp_path):
    (tmp_path / "files").mkdir()
    stated = dict(
        dataset="derm_cases/ham10000", manual_dir="files", group_by="image", max_bad_images=3,
        max_image_side=64, jpeg_quality=80, labels_shared_by_case=False, data_dir="data",
    )  # fmt: skip
    (tmp_path / "config.json").write_text(Config(**stated).to_json())
    checkpoint = f"--checkpoint={tmp_path}"
    config, _ = cli.configure(["--mode=linear_eval", checkpoint])
    assert {name: getattr(config, name) for name in stated} == stated
    assert config.model_dir == f"{tmp_path}/linear_eval"
    (tmp_path / "files").rmdir()  # nobody has typed the name of that folder
    config, _ = cli.configure(["--mode=linear_eval", checkpoint])
    assert {name: getattr(config, name) for name in stated} == stated | {"manual_dir": ""}
    config, _ = cli.configure(["--mode=linear_eval", checkpoint, "--manual_dir=there"])
    assert config.manual_dir == "there"
    other, _ = cli.configure(["--mode=linear_eval", checkpoint, "--dataset=derm_cases/scin"])
    assert (other.manual_dir, other.group_by, other.max_image_side) == ("", "case", 0)
    assert other.data_dir == "data"


def test_a_checkpoint_brings_architecture_and_data(tmp_path):
    source = Config(
        resnet_depth=18, image_size=64, manifest="a.csv", columns="image=i", precision="float64"
    )
    (tmp_path / "config.json").write_text(source.to_json())
    config, _ = cli.configure(["--mode=linear_eval", f"--checkpoint={tmp_path}"])
    assert (config.resnet_depth, config.image_size, config.precision) == (18, 64, "float64")
    assert (config.manifest, config.columns) == ("a.csv", "image=i")
    assert config.seed == 0
    with pytest.raises(BadInput, match=r"--resnet_depth=50: --checkpoint=.* was trained with 18"):
        cli.configure(["--mode=linear_eval", f"--checkpoint={tmp_path}", "--resnet_depth=50"])


def test_batch_that_does_not_fit_is_named(tmp_path, capsys):
    manifest = write_cases(tmp_path / "photos", num_cases=12)
    common = [f"--manifest={manifest}", f"--data_dir={tmp_path / 'data'}", "--image_size=16",
              "--resnet_depth=10", "--width_multiplier=0.125"]  # fmt: skip
    assert cli.main([*common, "--train_batch_size=64"]) == 2
    assert "--train_batch_size=64: --train_split=train has only" in capsys.readouterr().err
    assert cli.main([*common, "--train_batch_size=5", "--virtual_devices=2"]) == 2
    assert "--train_batch_size=5: needs the same number of pairs" in capsys.readouterr().err
    assert cli.main([*common, "--train_split=dev"]) == 2
    assert "--train_split=dev: derm_cases/manifest-" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_simclrs_name_of_mode():
    assert cli.configure(["--train_mode=pretrain"])[0].mode == "pretrain"


def test_simclrs_name_of_the_tpu_strategy():
    strategy = lambda *argv: cli.configure(argv)[0].strategy
    assert strategy("--use_tpu") == strategy("--use_tpu=True", "--tpu_name=v3") == "tpu"
    assert strategy("--use_tpu=False") == strategy("--nouse_tpu") == "auto"
    assert strategy("--use_tpu", "--strategy=mirrored") == "mirrored"
    with pytest.raises(BadInput, match=r"^--use_tpu=perhaps: not true or false$"):
        cli.configure(["--use_tpu=perhaps"])


@pytest.mark.parametrize(
    "flags, notes",
    [
        (
            ["--mode=finetune", "--temperature=0.5"],
            ["--temperature does nothing in --mode=finetune"],
        ),
        (["--eval_batch_size=8"], ["--eval_batch_size does nothing without --knn_every"]),
        (["--eval_batch_size=8", "--eval_split=test", "--knn_every=1epochs"], []),
        (
            ["--jpeg_quality=80", "--manifest=cases.csv"],
            ["--jpeg_quality does nothing without --max_image_side"],
        ),
        (["--jpeg_quality=80", "--manifest=cases.csv", "--max_image_side=64"], []),
        (["--max_pixels=100"], ["--max_pixels does nothing without data that is made from files"]),
        (
            ["--max_pixels=100", "--dataset=cifar10"],
            ["--max_pixels does nothing without data that is made from files"],
        ),
        (["--max_pixels=100", "--manifest=cases.csv"], []),
        (["--max_pixels=100", "--mode=export"], []),
        (
            ["--labels_shared_by_case=false", "--dataset=cifar10"],
            [
                "--labels_shared_by_case does nothing where images have labels of their own, or "
                "are cases of their own"
            ],
        ),
        (
            ["--labels_shared_by_case=false", "--dataset=nih_chest_xray14"],
            [
                "--labels_shared_by_case does nothing where images have labels of their own, or "
                "are cases of their own"
            ],
        ),
        (["--labels_shared_by_case=false", "--manifest=cases.csv"], []),
        (
            ["--beam_options=x", "--dataset=cifar10"],
            ["--beam_options does nothing with sets of tensorflow_datasets"],
        ),
        (["--beam_options=x"], []),
        (
            ["--train_epochs=3", "--train_steps=9"],
            ["--train_epochs does nothing beside --train_steps"],
        ),
        (["--train_epochs=3"], []),
        (["--momentum=0.8", "--optimizer=adam"], ["--momentum does nothing with --optimizer=adam"]),
        (
            ["--mode=finetune", "--proj_out_dim=64"],
            ["--proj_out_dim does nothing without --ft_proj_selector"],
        ),
        (
            ["--mode=prepare", "--image_size=64", "--seed=1"],
            [
                "--image_size does nothing in --mode=prepare",
                "--seed does nothing in --mode=prepare",
            ],
        ),
        (
            ["--dataset=nih_chest_xray14", "--findings=Edema"],
            ["--findings does nothing without --manifest in this mode"],
        ),
        (["--mode=finetune", "--dataset=nih_chest_xray14", "--findings=Edema"], []),
    ],
)
def test_what_does_nothing_is_named(flags, notes, capsys):
    cli.configure(flags)
    shown = capsys.readouterr().out.splitlines()
    assert [line.removeprefix("note: ") for line in shown if line.startswith("note: ")] == notes


def test_what_does_nothing_does_not_count_on_resume():
    run = Config.of_mode("finetune", temperature=0.5, momentum=0.8, optimizer="adam")
    again = Config.of_mode(
        "finetune", temperature=0.2, momentum=0.9, optimizer="adam", proj_out_dim=8
    )
    assert again.differences(run) == []
    with_momentum = again.replace(optimizer="momentum", momentum=0.9)
    assert with_momentum.differences(run.replace(optimizer="momentum")) == ["momentum"]
    # Not even where the same run now says how long it is in another way.
    assert Config(train_steps=9, train_epochs=3).differences(Config(train_steps=9)) == []
    assert Config(train_epochs=3).differences(Config()) == ["train_epochs"]


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
    after[mode](config, cli.usual)
    (line, *_) = re.findall("^next: python run.py (.*)$", capsys.readouterr().out, re.MULTILINE)
    printed, _ = cli.configure(shlex.split(line))
    for name in set(Config.__dataclass_fields__) - {
        "checkpoint",
        "model_dir",
        "fine_tune_after_block",
    }:
        assert getattr(printed, name) == getattr(config, name), name
    assert (printed.checkpoint, printed.fine_tune_after_block) == ("", -1)


def test_how_to_ask_an_export_is_said(tmp_path, capsys):
    next_steps.after_exporting("my run/export/model/1")
    _, save, ask, last = capsys.readouterr().out.splitlines()
    (tmp_path / "a.jpg").write_bytes(b"a photo")
    program, flag, code = shlex.split(save)
    assert (program, flag) == ("python", "-c")
    exec(code, {})
    assert np.load("photos.npy").tolist() == [b"a photo"]
    assert shlex.split(ask)[:4] == ["saved_model_cli", "run", "--dir", "my run/export/model/1"]
    assert last == "next: saved_model_cli show --dir 'my run/export/model/1' --all"


def test_a_flag_that_promises_to_write_nothing_is_kept_or_refused(capsys, tmp_path):
    assert cli.main(["--mode=linear_eval", "--dry_run"]) == 2
    expected = (
        "error: --dry_run: --mode=linear_eval has none; prepare, pretrain and finetune have. "
        "Nothing was done\n"
    )
    assert capsys.readouterr().err == expected
    assert list(tmp_path.iterdir()) == []


def test_what_a_label_means_does_nothing_for_classes(tmp_path, capsys):
    """Neither another directory nor another run."""
    stated = json.loads(Config(mode="finetune", dataset="derm_cases").to_json())
    facts = {"targets": {"names": ["a", "b"], "multilabel": False}}
    (tmp_path / "config.json").write_text(json.dumps(stated | facts))
    config, _ = cli.configure(["--mode=evaluate", f"--checkpoint={tmp_path}", "--uncertain=ones"])
    assert capsys.readouterr().out == "note: --uncertain does nothing without findings\n"
    assert (config.model_dir, config.uncertain) == (f"{tmp_path}/evaluate", "ignore")


def test_recipes_that_name_others(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "nested.flags").write_text("--seed=7\n")
    (tmp_path / "deep").mkdir()
    mine = tmp_path / "deep/mine.flags"
    mine.write_text("--flagfile=~/nested.flags\n--flagfile=flags/paper/encoders/r152_2x.flags\n")
    config, _ = cli.configure([f"--flagfile={mine}"])
    assert (config.seed, config.resnet_depth) == (7, 152)
    mine.write_text("--undefok=seed\n")
    with pytest.raises(BadInput, match=r"mine.flags: --undefok: no such flag"):
        cli.configure([f"--flagfile={mine}"])
    with pytest.raises(BadInput, match=r"^--flagfile: name a file$"):
        cli.configure(["--flagfile"])


def test_the_home_in_every_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text(Config(manifest="~/b.csv").to_json())
    (tmp_path / "mine.flags").write_text("--data_dir=~/data\n--seed=4\n")
    flags = [
        "--manifest=~/b.csv",
        "--image_dir=~/images",
        "--model_dir=~/runs/a",
        "--checkpoint=~/run",
    ]
    assert cli.configure(["--flagfile=~/mine.flags"])[0].data_dir == f"{tmp_path}/data"
    config, _ = cli.configure(flags)
    expected = {
        "manifest": "b.csv",
        "image_dir": "images",
        "model_dir": "runs/a",
        "checkpoint": "run",
    }
    assert {name: getattr(config, name) for name in expected} == {
        name: f"{tmp_path}/{path}" for name, path in expected.items()
    }
    other, _ = cli.configure(["--dataset=derm_cases/ham10000", "--manual_dir=~/files"])
    assert other.manual_dir == f"{tmp_path}/files"
    # The same data and the same run as when nobody wrote the home out.
    assert cli.configure(["--checkpoint=~/run", "--manifest=~/b.csv"])[0].model_dir == (
        f"{tmp_path}/run/pretrain-micle"
    )
    old, new = (Config(checkpoint=path) for path in ("~/run", f"{tmp_path}/run"))
    assert new.differences(old) == []


@pytest.mark.parametrize(
    "flags, wanted",
    [
        ([], False),
        (["--tensorflow_log"], True),
        (["--tensorflow_log=true"], True),
        (["--tensorflow_log=false"], False),
        (["--notensorflow_log"], False),
        (["--tensorflow_log", "--tensorflow_log=false"], False),
        (["--flagfile=loud.flags"], True),
        (["--flagfile=loud.flags", "--tensorflow_log=false"], False),
        (["--tensorflow_log", "--trian_steps=3"], False),
    ],
)
def test_whether_tensorflow_speaks(flags, wanted, tmp_path):
    (tmp_path / "loud.flags").write_text("--tensorflow_log=true\n")
    assert cli._wants_native_messages(flags) == wanted


def test_our_recipes_are_found_from_anywhere(tmp_path):
    config, origin = cli.configure(["--flagfile=flags/paper/encoders/r152_2x.flags"])
    assert (config.resnet_depth, config.width_multiplier) == (152, 2.0)
    assert origin == "recipe flags/paper/encoders/r152_2x.flags"
    (tmp_path / "flags").mkdir()
    (tmp_path / "flags/mine.flags").write_text("--seed=7\n")
    config, origin = cli.configure(["--flagfile=flags/mine.flags"])
    assert (config.seed, origin) == (7, "recipe flags/mine.flags")
    with pytest.raises(BadInput, match=r"--flagfile=flags/none.flags: cannot be read"):
        cli.configure(["--flagfile=flags/none.flags"])


def test_a_flag_that_the_mode_does_not_read_is_named(tmp_path, capsys):
    (tmp_path / "config.json").write_text(Config(mode="finetune").to_json())
    cli.configure(["--mode=evaluate", f"--checkpoint={tmp_path}", "--patience=3", "--seed=1"])
    assert capsys.readouterr().out == "note: --patience does nothing in --mode=evaluate\n"


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
