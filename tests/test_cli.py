"""The command line: where settings come from, and what a person reads when one is wrong."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from micle_tf import cli, recipes
from micle_tf.config import Config
from micle_tf.errors import BadInput
from tests.generated_cases import write_cases
from tests.pretrained.originals import Original, write_checkpoint

ROOT = pathlib.Path(__file__).parents[1]


pytestmark = pytest.mark.usefixtures("elsewhere", "whole_networks")


@pytest.mark.parametrize(
    "argument, message",
    [
        ("--trian_steps=3", "--trian_steps: no such flag; did you mean --train_steps?"),
        ("--zzz=1", "--zzz: no such flag"),
        (
            "--mode=pretain",
            "--mode=pretain: not one of prepare, pretrain, linear_eval, finetune, evaluate, "
            "export, study; did you mean pretrain?",
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


@pytest.mark.slow
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
    monkeypatch.setattr(recipes, "RECIPES", tmp_path / "flags")
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


def test_a_step_count_in_a_recipe_loses_to_epochs_on_the_line(monkeypatch, tmp_path):
    folder = tmp_path / "flags/derm_cases/synthetic"
    folder.mkdir(parents=True)
    (folder / "pretrain.flags").write_text("--train_steps=700\n--seed=4\n")
    monkeypatch.setattr(recipes, "RECIPES", tmp_path / "flags")
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
    monkeypatch.setattr(recipes, "RECIPES", tmp_path / "flags")
    for name in ("chexpert", "chexpert_cases", "chexpert/official"):
        config, origin = cli.configure([f"--dataset={name}"])
        assert origin == "recipe flags/chexpert_cases/official/pretrain.flags"
        assert config.temperature == 0.5
    assert cli.configure(["--dataset=chexpert/paper", "--preset=paper"])[0].temperature == 0.1


def test_datasets_without_a_recipe(monkeypatch, tmp_path):
    monkeypatch.setattr(recipes, "RECIPES", tmp_path / "none")
    plain = cli.configure(["--dataset=cifar10", "--preset=paper"])
    assert plain[1] == "preset paper: the defaults of --help"
    (tmp_path / "flags/cifar10").mkdir(parents=True)
    (tmp_path / "flags/cifar10/pretrain_simclr.flags").write_text("--seed=7\n")
    monkeypatch.setattr(recipes, "RECIPES", tmp_path / "flags")
    found, origin = cli.configure(["--dataset=cifar10", "--method=simclr"])
    assert (found.seed, origin) == (7, "recipe flags/cifar10/pretrain_simclr.flags")
    several = cli.configure(["--dataset=cifar10+mnist", "--method=simclr"])
    assert (several[0].seed, several[1].split(":")[0]) == (0, "preset laptop")


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


def test_a_flag_that_promises_to_write_nothing_is_kept_or_refused(capsys, tmp_path):
    (tmp_path / "dry.flags").write_text("--dry_run\n")
    expected = (
        "error: --dry_run: --mode=linear_eval has none; prepare, pretrain, finetune and study "
        "have. Nothing was done\n"
    )
    for word in ("--dry_run", "--flagfile=dry.flags"):
        assert cli.main(["--mode=linear_eval", word]) == 2
        assert capsys.readouterr().err == expected
    assert [path.name for path in tmp_path.iterdir()] == ["dry.flags"]


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


@pytest.mark.slow
def test_kernels_are_chosen_before_weights_of_others_load_tensorflow(tmp_path):
    """In a process of its own: which kernels there are is settled when TensorFlow is loaded."""
    write_checkpoint(tmp_path / "published", Original(10))
    code = (
        "import os, sys; from micle_tf import cli\n"
        "config, _ = cli.configure(sys.argv[1:])\n"
        "print(config.cpu_kernels, 'tensorflow' in sys.modules, os.environ.get(cli.ONEDNN))"
    )
    words = ["--mode=pretrain", "--dataset=cifar10", f"--checkpoint={tmp_path}/published"]
    clean = {name: value for name, value in os.environ.items() if "ONEDNN" not in name}
    for preset, expected in (("laptop", "onednn True 1"), ("paper", "default True None")):
        done = subprocess.run(
            [sys.executable, "-c", code, *words, f"--preset={preset}"],
            capture_output=True, text=True, cwd=ROOT, env=clean,
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == expected, done.stderr


def test_a_batch_that_a_machine_decided_for_a_study_may_be_cut(elsewhere):
    words = ["--mode=pretrain", "--dataset=derm_cases", "--train_batch_size=64"]
    assert "train_batch_size" in cli.Commands(words)._stated.anywhere
    decided = cli.Commands(words, ["--preset=gpu", "--train_batch_size=64"])
    assert "train_batch_size" not in decided._stated.anywhere | decided._stated.typed
    assert decided.config.train_batch_size == 64
