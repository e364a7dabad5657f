"""--preset: what it stands for, where it counts, and what a run takes over of it."""

import json
import os
import stat
import subprocess
import sys

import pytest

from micle_tf import cli, presets
from micle_tf.config import Config
from micle_tf.program import recipes
from micle_tf.recipes import read_flagfile

NO_GPU = presets.Accelerators(0, 0.0)
DATA = "--dataset=cifar10"  # which has no recipe


def configured(*argv):
    return cli.configure(argv)[0]


def values(config, names):
    return {name: getattr(config, name) for name in names}


def left_by(folder, config):
    """A run directory with nothing but its config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(config.to_json())
    return str(folder)


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(presets, "accelerators", lambda: presets.Accelerators(2, 24.0))


# ---------------------------------------------------------------- what a preset is


@pytest.mark.parametrize(
    "gib, pairs, images",
    [(0, 16, 16), (4, 16, 16), (8, 32, 32), (11, 32, 32), (16, 64, 64), (24, 96, 64), (40, 160, 64),
     (80, 256, 64)],
)  # fmt: skip
def test_a_batch_by_the_memory(gib, pairs, images):
    assert (presets.pairs_that_fit(gib), presets.images_that_fit(gib)) == (pairs, images)
    both = presets.Accelerators(2, gib)
    assert presets.flags("gpu", "pretrain", lambda: both)["train_batch_size"] == 2 * pairs
    assert presets.flags("gpu", "finetune", lambda: both)["train_batch_size"] == 2 * images


@pytest.mark.parametrize("mode", presets.MODES)
@pytest.mark.parametrize("preset", presets.PRESETS)
def test_a_preset_is_flags_that_its_mode_reads(preset, mode):
    flags = presets.flags(preset, mode, lambda: NO_GPU)
    config = Config.of_mode(mode, **flags)
    assert not [name for name in flags if config.otherwise(name)]
    assert preset != "paper" or not flags


def test_the_modes_of_a_preset_build_one_encoder():
    for preset in presets.PRESETS:
        first, *others = (
            {k: v for k, v in presets.flags(preset, mode, lambda: NO_GPU).items()
             if k in ("image_size", "resnet_depth", "width_multiplier", "cpu_kernels")}
            for mode in presets.MODES
        )  # fmt: skip
        assert all(other == first for other in others)


@pytest.mark.parametrize(
    "lines, visible, expected",
    [
        ("24564\n8192\n", None, [24564, 8192]),
        ("24564\n8192\n", "1", [8192]),
        ("24564\n8192\n", "-1", []),
        ("24564\n", "", []),
        ("24564\n8192\n", "GPU-0ab", [24564, 8192]),
        ("[N/A]\n", None, [0]),
    ],
)
def test_the_memory_of_gpus_is_what_nvidias_program_says(
    lines, visible, expected, tmp_path, monkeypatch
):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{lines}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert presets._memory_of_gpus() == expected
    # TensorFlow has the last word, and here it sees none.
    assert presets.accelerators() == NO_GPU


# ---------------------------------------------------------------- where it counts


def test_without_a_recipe_the_machine_decides(gpu, monkeypatch):
    config, origin = cli.configure([DATA])
    assert config.preset == "gpu" and config.train_batch_size == 2 * 96
    assert (config.resnet_depth, config.image_size) == (50, 224)
    assert origin.startswith("preset gpu: --image_size=224") and "--train_batch_size=192" in origin
    assert configured(DATA, "--strategy=tpu").preset == "paper"
    monkeypatch.setattr(presets, "accelerators", lambda: NO_GPU)
    config, origin = cli.configure([DATA])
    flags = presets.flags("laptop", "pretrain", presets.accelerators)
    assert config.preset == "laptop" and values(config, flags) == flags
    shown = origin.removeprefix("preset laptop: ").split()
    assert values(configured(DATA, "--preset=paper", *shown), flags) == flags


def test_a_recipe_implies_paper_for_what_it_does_not_name(gpu):
    for dataset in ("derm_cases/ham10000", "derm_cases/synthetic"):
        config, origin = cli.configure([f"--dataset={dataset}"])
        read = read_flagfile(recipes() / dataset / "pretrain.flags").values
        named = values(config, ("dataset", "model_dir"))
        assert config == Config.of_mode("pretrain", **read, preset="paper", **named)
        assert origin == f"recipe flags/{dataset}/pretrain.flags"


def test_a_typed_preset_stands_in_place_of_the_datasets_own_recipe():
    config, origin = cli.configure(["--dataset=derm_cases/ham10000", "--preset=laptop"])
    flags = presets.flags("laptop", "pretrain", presets.accelerators)
    assert values(config, flags) == flags and origin.startswith("preset laptop: ")
    config = configured("--dataset=derm_cases/ham10000", "--preset=paper")
    assert (config.resnet_depth, config.train_steps) == (50, 0)


def test_a_recipe_that_is_named_beats_a_preset_that_is_typed(tmp_path):
    (tmp_path / "mine.flags").write_text("--train_steps=77\n")
    named = f"--flagfile={tmp_path}/mine.flags"
    config = configured(DATA, named)
    assert (config.train_steps, config.resnet_depth, config.preset) == (77, 50, "paper")
    config = configured(DATA, named, "--preset=laptop")
    assert (config.train_steps, config.resnet_depth, config.preset) == (77, 10, "laptop")
    (tmp_path / "mine.flags").write_text("--train_steps=77\n--preset=laptop\n")
    config = configured(DATA, named, "--image_size=32")
    assert (config.train_steps, config.resnet_depth, config.image_size) == (77, 10, 32)


@pytest.mark.parametrize("mode", ["pretrain", "finetune"])
def test_a_recipe_for_accelerators_gives_way_on_a_cpu(mode, gpu, monkeypatch):
    data = [f"--mode={mode}", "--dataset=nih_chest_xray14"]
    file = f"flags/nih_chest_xray14/default/{mode}.flags"
    assert cli.configure(data)[1] == f"recipe {file}"
    monkeypatch.setattr(presets, "accelerators", lambda: NO_GPU)
    config, origin = cli.configure(data)
    assert config.preset == "laptop" and config.resnet_depth == 10
    assert f"as --flagfile={file} is for accelerators" in origin
    config, origin = cli.configure([*data, f"--flagfile={file}"])
    assert (config.preset, origin) == ("paper", f"recipe {file}")
    assert config.train_batch_size == {"pretrain": 1024, "finetune": 256}[mode]


def test_epochs_on_the_line_beat_the_steps_of_a_preset():
    config = configured(DATA, "--train_epochs=3")
    assert (config.train_epochs, config.train_steps) == (3, 0)


@pytest.mark.parametrize("mode", ["prepare", "evaluate", "export"])
def test_other_modes_have_no_preset(mode):
    config, origin = cli.configure([f"--mode={mode}", DATA])
    assert config == Config.of_mode(mode, dataset="cifar10", model_dir=config.model_dir)
    assert origin == ""


# ---------------------------------------------------------------- a run in --model_dir


def test_a_run_keeps_its_own_values_for_whatever_nobody_typed(tmp_path, capsys):
    ran = configured(DATA, "--preset=paper", "--train_steps=7", "--seed=3", "--resnet_depth=18")
    run = left_by(tmp_path / "run", ran)
    again, origin = cli.configure([DATA, f"--model_dir={run}"])
    assert not again.differences(ran) and again.preset == "paper"
    assert origin == "as the run that is there"
    shown = capsys.readouterr().out
    for flag in ("--preset=paper", "--train_steps=7", "--seed=3", "--resnet_depth=18"):
        assert flag in shown
    again = configured(DATA, f"--model_dir={run}", "--seed=4")
    assert again.differences(ran) == ["seed"] and again.seed == 4
    assert not configured(f"--model_dir={run}").differences(ran)  # its data too


def test_a_run_of_a_version_without_presets_is_one_of_paper(tmp_path):
    before = json.loads(Config(dataset="cifar10", train_steps=9, resnet_depth=18).to_json())
    del before["preset"], before["cpu_kernels"]
    (tmp_path / "config.json").write_text(json.dumps(before))
    there = Config.from_json(json.dumps(before))
    for argv in ([DATA], [DATA, "--preset=paper"], [DATA, "--preset=auto"], []):
        config = configured(*argv, f"--model_dir={tmp_path}")
        assert not config.differences(there) and config.cpu_kernels == "default"
    other = configured(DATA, "--preset=laptop", f"--model_dir={tmp_path}")
    assert {"optimizer", "image_size", "train_steps"} <= set(other.differences(there))


def test_a_run_keeps_its_batch_on_a_machine_with_other_gpus(tmp_path, gpu, monkeypatch):
    ran = configured(DATA, "--preset=gpu")
    run = left_by(tmp_path / "run", ran)
    monkeypatch.setattr(presets, "accelerators", lambda: presets.Accelerators(1, 8.0))
    assert configured(DATA, "--preset=gpu").train_batch_size == 32
    again = configured(DATA, "--preset=gpu", f"--model_dir={run}")
    assert again.train_batch_size == 192 and not again.differences(ran)


def test_what_a_run_keeps_of_its_data_and_its_judging(tmp_path, capsys):
    typed = ["--mode=finetune", "--manifest=a.csv", "--eval_split=validation", "--data_dir=there"]
    ran = configured(*typed, "--max_image_side=32", "--group_by=image")
    run = left_by(tmp_path / "run", ran)
    again = configured("--mode=finetune", f"--model_dir={run}")
    names = ("manifest", "eval_split", "data_dir", "max_image_side", "group_by")
    assert values(again, names) == values(ran, names)
    again = configured("--mode=finetune", "--manifest=a.csv", f"--model_dir={run}")
    assert values(again, names) == values(ran, names)
    other = configured("--mode=finetune", "--manifest=b.csv", f"--model_dir={run}")
    assert (other.manifest, other.max_image_side, other.group_by) == ("b.csv", 0, "case")


def test_epochs_that_are_typed_are_other_epochs(tmp_path):
    run = left_by(tmp_path / "run", configured(DATA))
    again = configured(DATA, "--train_epochs=3", f"--model_dir={run}")
    assert (again.train_epochs, again.train_steps) == (3, 0)


def test_another_preset_is_another_run(tmp_path):
    ran = configured(DATA, "--preset=paper", "--seed=2")
    again = configured(DATA, "--preset=laptop", f"--model_dir={left_by(tmp_path / 'run', ran)}")
    assert {"seed", "optimizer", "image_size"} <= set(again.differences(ran))


def test_a_preset_that_is_typed_as_auto_is_kept_by_its_name():
    assert configured(DATA, "--preset=auto").preset == "laptop"
    assert cli.usual("pretrain", dataset="cifar10", preset="paper").preset == "paper"


def test_the_devices_that_a_run_takes(gpu, monkeypatch):
    assert configured(DATA, "--strategy=one_device").train_batch_size == 96
    jobs = {"worker": ["10.0.0.1:1", "10.0.0.2:1"]}
    task = {"cluster": jobs, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    assert configured(DATA).train_batch_size == 2 * 2 * 96
    assert configured(DATA, "--strategy=mirrored").train_batch_size == 2 * 96


def test_a_preset_that_is_typed_beats_the_batch_of_the_checkpoint(tmp_path):
    run = left_by(tmp_path / "big", Config(dataset="cifar10", train_batch_size=1024))
    argv = ["--mode=finetune", f"--checkpoint={run}"]
    assert configured(*argv).train_batch_size == 1024
    config, origin = cli.configure([*argv, "--preset=laptop"])
    assert config.train_batch_size == 64 and "--train_batch_size=64" in origin
    assert (config.resnet_depth, "resnet_depth" in origin) == (50, False)  # the checkpoint's


def test_recipes_that_are_named_count_as_typed(tmp_path):
    ran = configured(DATA, "--preset=paper", "--train_steps=7")
    run = left_by(tmp_path / "run", ran)
    (tmp_path / "mine.flags").write_text("--train_steps=8\n")
    again = configured(DATA, f"--model_dir={run}", f"--flagfile={tmp_path}/mine.flags")
    assert again.differences(ran) == ["train_steps"]


def test_a_run_of_another_mode_gives_nothing(tmp_path):
    run = left_by(tmp_path / "run", configured(DATA, "--seed=3"))
    assert configured(DATA, "--mode=finetune", f"--model_dir={run}").seed == 0


# ---------------------------------------------------------------- a run that another starts from


def test_what_starts_from_a_run_takes_its_preset(tmp_path, gpu):
    ran = configured("--dataset=derm_cases/ham10000", "--preset=laptop", "--method=simclr")
    run = left_by(tmp_path / "run", ran)
    for mode in presets.MODES:
        config, origin = cli.configure([f"--mode={mode}", f"--checkpoint={run}"])
        flags = presets.flags("laptop", mode, presets.accelerators)
        assert values(config, flags) == flags and config.preset == "laptop"
        assert origin.startswith("preset laptop: ")
    config = configured("--mode=finetune", f"--checkpoint={run}", "--preset=paper")
    assert (config.train_steps, config.resnet_depth, config.image_size) == (0, 10, 64)


def test_what_starts_from_a_run_of_paper_takes_the_recipe_or_todays_defaults(tmp_path, gpu):
    run = left_by(tmp_path / "run", configured("--dataset=derm_cases/ham10000"))
    config, origin = cli.configure(["--mode=finetune", f"--checkpoint={run}"])
    assert origin == "recipe flags/derm_cases/ham10000/finetune.flags"
    run = left_by(tmp_path / "plain", Config(dataset="cifar10", resnet_depth=18))
    config = configured("--mode=finetune", f"--checkpoint={run}")
    assert (config.preset, config.train_batch_size, config.train_steps) == ("paper", 64, 0)


@pytest.mark.parametrize(
    "source, mode, typed, batch",
    [
        (Config(dataset="cifar10"), "finetune", [], 64),  # its usual one stays behind
        (Config(dataset="cifar10"), "pretrain", [], 128),
        (Config(dataset="cifar10", train_batch_size=24), "finetune", [], 24),
        (Config(dataset="cifar10", train_batch_size=24), "pretrain", [], 24),
        (Config(dataset="cifar10", train_batch_size=24), "finetune", ["--train_batch_size=8"], 8),
        (Config(dataset="derm_cases/ham10000", train_batch_size=24), "finetune", [], 64),  # recipe
        (Config(dataset="cifar10", preset="laptop", train_batch_size=96), "finetune", [], 64),
        (Config(dataset="cifar10", preset="gpu", train_batch_size=192), "pretrain", [], 192),
        (Config.of_mode("linear_eval", dataset="cifar10"), "finetune", [], 64),
    ],
)
def test_a_batch_that_somebody_chose_goes_along(source, mode, typed, batch, tmp_path):
    run = left_by(tmp_path / "run", source)
    config = configured(f"--mode={mode}", f"--checkpoint={run}", *typed)
    assert config.train_batch_size == batch


# ---------------------------------------------------------------- kernels


LOOK = """
import os, sys
from micle_tf import cli, quiet
cli._run_mode = lambda config: print(
    config.cpu_kernels, "tensorflow" in sys.modules, os.environ.get("TF_ENABLE_ONEDNN_OPTS"))
quiet.quiet_loggers = lambda: None
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "argv, expected",
    [
        ([DATA], "onednn False 1"),
        ([DATA, "--preset=paper"], "default False None"),
        (["--dataset=derm_cases/ham10000"], "default False None"),
        (["--dataset=derm_cases/ham10000", "--cpu_kernels=onednn"], "onednn False 1"),
        (["--mode=finetune", "--checkpoint=run"], "onednn False 1"),
        ([DATA, "--model_dir=run"], "onednn False 1"),
    ],
)
def test_kernels_are_chosen_before_tensorflow_is_loaded(argv, expected, tmp_path, monkeypatch):
    left_by(tmp_path / "run", configured(DATA))
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *argv], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == expected


def test_where_tensorflow_is_there_already_it_is_said(capsys, monkeypatch):
    from micle_tf.training import strategy

    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    cli._choose_kernels(Config(cpu_kernels="onednn"))  # too late: it is loaded
    assert "TF_ENABLE_ONEDNN_OPTS" not in os.environ
    strategy.check_kernels("onednn")
    assert "TensorFlow was loaded without them" in capsys.readouterr().out
    strategy.check_kernels("default")
    assert capsys.readouterr().out == ""


def test_kernels_that_a_command_chose_are_not_those_of_the_next(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    monkeypatch.delenv("MICLE_TF_ONEDNN", raising=False)
    cli._choose_kernels(Config(cpu_kernels="onednn"))
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
    cli._choose_kernels(Config())
    assert "TF_ENABLE_ONEDNN_OPTS" not in os.environ
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")  # the user's own
    cli._choose_kernels(Config())
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
