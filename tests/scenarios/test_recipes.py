"""The flagfiles in flags/: that they work, hold what they promise, and are documented."""

import dataclasses
import pathlib
import re
import shlex

import pytest

from micle_tf import cli, presets
from micle_tf.config import Config
from micle_tf.errors import BadInput

FLAGS = cli.RECIPES
MODES = Config.__dataclass_fields__["mode"].metadata["choices"]
README = (FLAGS / "README.md").read_text(encoding="utf-8")
FILES = sorted(str(path.relative_to(FLAGS)) for path in FLAGS.rglob("*.flags"))
SHARED = ("paper", "chest_xray")  # named by other recipes, or on the command line
AUTOMATIC = [name for name in FILES if name.split("/")[0] not in SHARED]
ENCODERS = {"r50_1x": (50, 1.0), "r50_4x": (50, 4.0), "r152_2x": (152, 2.0)}


def read(name):
    return cli._read_flagfile(FLAGS / name)


def modes_of(name):
    """The modes that a recipe is for, by its name; an encoder's are all that have one."""
    if name.startswith("paper/encoders/"):
        return ("pretrain", "linear_eval", "finetune")
    stem = pathlib.Path(name).stem
    return tuple(mode for mode in MODES if stem == mode or stem.startswith(f"{mode}_"))


def named_by(name):
    """A recipe and all that it names, as paths below flags/."""
    lines = (FLAGS / name).read_text(encoding="utf-8").splitlines()
    others = [line.removeprefix("--flagfile=") for line in lines if line.startswith("--flagfile=")]
    paths = [((FLAGS / name).parent / other).resolve().relative_to(FLAGS) for other in others]
    return {name}.union(*(named_by(str(path)) for path in paths))


@pytest.mark.parametrize("name", FILES)
def test_a_recipe_holds_values_that_its_mode_takes_and_reads(name):
    values = read(name)
    assert values and len(modes_of(name)) == (3 if "encoders" in name else 1)
    for mode in modes_of(name):
        config = Config.of_mode(mode, **values)
        for field in dataclasses.fields(Config):
            if field.name in values:
                assert mode in (field.metadata["only"] or MODES), field.name
        # A set of single images has nothing for MICLe to pair, so that it may say simclr.
        if "method" in values and name != "imagenet2012/pretrain.flags":
            assert name.endswith(f"_{config.method}.flags")


@pytest.mark.parametrize("name", AUTOMATIC)
def test_a_dataset_finds_its_recipe(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flags").symlink_to(FLAGS)
    monkeypatch.setattr(presets, "accelerators", lambda: presets.Accelerators(1, 16.0))
    dataset = "/".join(name.split("/")[:-1]).removesuffix("/default")
    (mode,) = modes_of(name)
    method = pathlib.Path(name).stem.removeprefix(mode).removeprefix("_")
    flags = [f"--mode={mode}", f"--dataset={dataset}", *[f"--method={method}"] * bool(method)]
    config, origin = cli.configure(flags)
    assert pathlib.Path(origin.removeprefix("recipe ")).resolve() == FLAGS / name
    assert vars(config).items() >= read(name).items()


@pytest.mark.parametrize(
    "dataset", ["chexpert_cases/official", "chexpert_cases/paper", "nih_chest_xray14/default",
                "mimic_cxr_jpg/default", "padchest/default", "paper/chest_xray/r50_1x"]
)  # fmt: skip
def test_chest_x_rays_are_seen_as_in_the_paper(dataset):
    pretrain = "pretrain_simclr" if dataset.startswith("paper") else "pretrain"
    config = Config.of_mode("pretrain", **read(f"{dataset}/{pretrain}.flags"))
    assert (config.color_jitter_strength, config.rotation_degrees) == (0.5, 45)
    assert (config.random_flip, config.vertical_flip, config.use_blur) == (True, False, False)
    assert (config.train_batch_size, config.learning_rate) == (1024, 0.5)
    config = Config.of_mode("finetune", **read(f"{dataset}/finetune.flags"))
    assert (config.train_batch_size, config.train_steps, config.image_size) == (256, 30000, 224)


@pytest.mark.parametrize("mode", ["pretrain", "finetune"])
def test_no_flip_differs_in_the_flip_alone(mode):
    flipped = Config.of_mode(mode, **read(f"chest_xray/{mode}.flags"))
    unflipped = Config.of_mode(mode, **read(f"chest_xray/{mode}_no_flip.flags"))
    assert flipped.random_flip and not unflipped.random_flip
    assert unflipped.replace(random_flip=True) == flipped


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_papers_recipes_differ_in_the_encoder_alone(encoder):
    for name in [name for name in FILES if f"/{encoder}/" in name]:
        values, common = read(name), read(name.replace(encoder, "r50_1x"))
        assert (values.pop("resnet_depth"), values.pop("width_multiplier")) == ENCODERS[encoder]
        assert values.items() <= common.items() and len(common) == len(values) + 2


def test_imagenets_rate_is_that_of_both_of_simclrs_scalings():
    from micle_tf.optimizers import scaled_learning_rate

    config = Config.of_mode("pretrain", **read("imagenet2012/pretrain.flags"))
    rate = scaled_learning_rate(
        config.learning_rate, config.train_batch_size, config.learning_rate_scaling
    )
    assert rate == pytest.approx(scaled_learning_rate(0.3, 4096, "linear")) == 4.8


def test_what_is_not_marked_as_unverified_was_read_in_simclrs_code():
    unmarked = set()
    for name in [name for name in FILES if name.split("/")[0] in SHARED]:
        for block in (FLAGS / name).read_text(encoding="utf-8").split("\n\n"):
            values = [line for line in block.splitlines() if re.match("--(?!flagfile=)", line)]
            if values and "[not verified]" not in block:
                unmarked |= {(name, "From SimCLR's" in block, value) for value in values}
    ours = {name for name, from_simclr, _ in unmarked if not from_simclr}
    assert ours == {"chest_xray/finetune_no_flip.flags", "chest_xray/pretrain_no_flip.flags"}
    simclrs = {name for name, from_simclr, _ in unmarked if from_simclr}
    assert simclrs == {"paper/imagenet/pretrain_simclr.flags"}


def documented():
    """{recipe: steps x batch} of the table in the README."""
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", README, re.MULTILINE)
    patterns = [(name, cost) for names, cost in rows for name in re.findall("`(.*?)`", names)]
    return {
        name.replace("<encoder>", encoder): cost for name, cost in patterns for encoder in ENCODERS
    }


def test_the_table_of_recipes_is_whole_and_its_numbers_are_theirs():
    table = documented()
    reached = set().union(*map(named_by, table))  # a name of no file raises
    assert {name for name in FILES if name.startswith(SHARED)} <= reached
    for name, cost in table.items():
        values = read(name)
        steps = f"{values['train_steps']:,}" if "train_steps" in values else ""
        steps = steps or f"{values['train_epochs']} epochs"
        if cost != "the same":
            assert cost.startswith(f"{steps} x {values['train_batch_size']:,}")
        assert cost.endswith(" px") == (values["image_size"] == 448)


def test_the_readmes_commands_make_the_papers_chains(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flags").symlink_to(FLAGS)
    commands = [
        shlex.split(line)
        for block in re.findall(r"```\n(python .*?)```", README, re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    runs = {}
    for command in commands:
        assert command[:2] == ["python", "run.py"]
        config, _ = cli.configure(command[2:])
        run = pathlib.Path(config.model_dir)
        run.mkdir(parents=True)
        (run / "config.json").write_text(config.to_json())
        runs[run.name] = config
    assert {(run.resnet_depth, run.width_multiplier) for run in runs.values()} == {(152, 2.0)}
    told = lambda run: (run.method, run.train_batch_size, run.learning_rate, run.image_size)
    pretrained = {name: told(run) for name, run in runs.items() if run.mode == "pretrain"}
    assert pretrained == {
        "imagenet": ("simclr", 4096, 0.075, 224),
        "simclr": ("simclr", 512, 0.3, 224),
        "micle": ("micle", 128, 0.1, 224),
        "chexpert": ("simclr", 1024, 0.5, 224),
    }
    sizes = {name: run.image_size for name, run in runs.items() if run.mode != "pretrain"}
    assert sizes == {"dermatology": 448, "findings": 224, "transfer": 224}
    assert runs["dermatology"].manifest == "labelled.csv"
    assert runs["findings"].dataset == "chexpert_cases/paper"


def test_a_recipe_that_names_a_missing_file_says_so(tmp_path):
    (tmp_path / "pretrain.flags").write_text("--flagfile=../gone.flags\n")
    with pytest.raises(BadInput, match=r"^--flagfile=.*/\.\./gone\.flags: cannot be read \("):
        cli._read_flagfile(tmp_path / "pretrain.flags")
