"""The flagfiles in flags/: that they work, hold what they promise, and are documented."""

import contextlib
import dataclasses
import json
import pathlib
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds

from micle_tf import cli, presets
from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.recipes import read_flagfile
from tests.data_builders import trees_chexpert, trees_nih
from tests.documents import commands_of, flags_of
from tests.generated_cases import write_cases
from tests.small_commands import SMALL

FLAGS = cli.RECIPES
MODES = Config.__dataclass_fields__["mode"].metadata["choices"]
README = (FLAGS / "README.md").read_text(encoding="utf-8")
FILES = sorted(str(path.relative_to(FLAGS)) for path in FLAGS.rglob("*.flags"))
SHARED = ("paper", "chest_xray", "simclr")  # named by other recipes, or on the command line
AUTOMATIC = [name for name in FILES if name.split("/")[0] not in SHARED]
ENCODERS = {"r50_1x": (50, 1.0), "r50_4x": (50, 4.0), "r152_2x": (152, 2.0)}


def read(name):
    return read_flagfile(FLAGS / name).values


def modes_of(name):
    """The modes that a recipe is for, by its name; an encoder's are all that have one."""
    if name.startswith("paper/encoders/"):
        return ("pretrain", "linear_eval", "finetune")
    if name == "simclr/linear_eval.flags":  # which is a fine-tuning there, of a frozen encoder
        return ("finetune",)
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
        if "method" in values and name not in (
            "imagenet2012/pretrain.flags",
            "simclr/pretrain.flags",
        ):
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
    # Ours, and those that say at their top that all of them is SimCLR's.
    others = ("paper/laptop/", "simclr/")
    shared = [name for name in FILES if name.split("/")[0] in SHARED]
    for name in [name for name in shared if not name.startswith(others)]:
        for block in (FLAGS / name).read_text(encoding="utf-8").split("\n\n"):
            values = [line for line in block.splitlines() if re.match(r"--(?!flagfile=)", line)]
            if values and "[not verified]" not in block:
                unmarked |= {(name, "From SimCLR's" in block, value) for value in values}
    ours = {name for name, from_simclr, _ in unmarked if not from_simclr}
    assert ours == {"chest_xray/finetune_no_flip.flags", "chest_xray/pretrain_no_flip.flags"}
    simclrs = {name for name, from_simclr, _ in unmarked if from_simclr}
    assert simclrs == {"paper/imagenet/pretrain_simclr.flags"}


def documented():
    """{recipe: steps x batch} of the table in the README."""
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", README, re.MULTILINE)
    patterns = [(name, cost) for names, cost in rows for name in re.findall(r"`(.*?)`", names)]
    return {
        name.replace("<encoder>", encoder): cost for name, cost in patterns for encoder in ENCODERS
    }


def test_the_table_of_recipes_is_whole_and_its_numbers_are_theirs():
    table = documented()
    reached = set().union(*map(named_by, table))  # a name of no file raises
    assert {name for name in FILES if name.startswith(SHARED)} <= reached
    for name, cost in table.items():
        config = Config.of_mode(modes_of(name)[0], **read(name))
        steps = f"{config.train_steps:,}" if config.train_steps else f"{config.train_epochs} epochs"
        if cost != "the same":
            assert cost.startswith(f"{steps} x {config.train_batch_size:,}")
        assert cost.endswith(" px") == (config.image_size == 448)


def chained():
    """The flags of the commands of the paper's chains, in their order."""
    commands = commands_of("flags/README.md", README)
    run = [command for command in commands if not command.why_not]
    assert len(run) == len(commands) - 3  # those of the chain that wants published weights
    return [flags_of(words) for command in run for words in command.parts]


class Imagenet2012(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A set of tensorflow_datasets of that name, of noise."""

    VERSION = tfds.core.Version("5.1.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=["tench", "goldfish"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(24), "validation": self._generate_examples(8)}

    def _generate_examples(self, count):
        for i in range(count):
            pixels = np.random.default_rng([i, count]).integers(0, 256, (20, 24, 3))
            yield i, {"image": pixels.astype(np.uint8), "label": i % 2}


@pytest.fixture
def papers_data(tmp_path, monkeypatch, capsys):
    """Small data under the names that the paper's chains go by, prepared where the page says so."""
    monkeypatch.chdir(tmp_path)
    tfds.disable_progress_bar()
    Imagenet2012(data_dir="data").download_and_prepare()
    rows = write_cases(tmp_path / "photos").read_text().splitlines()
    rows = [row.replace("images/", "photos/images/") for row in rows]
    (tmp_path / "all.csv").write_text("\n".join(rows))
    (tmp_path / "labelled.csv").write_text("\n".join(row for row in rows if ",," not in row))
    trees_chexpert.write_tree(tmp_path / "chexpert", patients=40, size=24)
    trees_nih.write_tree(tmp_path / "nih", patients=40, side=24)
    for dataset, folder in (("chexpert_cases/paper", "chexpert"), ("nih_chest_xray14", "nih")):
        flags = ["--mode=prepare", f"--dataset={dataset}", f"--manual_dir={folder}"]
        assert cli.main([*flags, "--data_dir=data"]) == 0, capsys.readouterr().err
    return tmp_path


def papers_settings(folder):
    """{run: Config} of the paper's chains as they are typed, decided in an empty folder."""
    runs = {}
    for flags in chained():
        config, _ = cli.configure(flags)
        run = folder / config.model_dir
        run.mkdir(parents=True)
        (run / "config.json").write_text(config.to_json())
        runs[run.name] = config
    return runs


def check_papers_settings(runs):
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


@pytest.mark.slow
def test_the_papers_chains_run(papers_data, monkeypatch, capsys):
    """As flags/README.md has them: decided at their size, and run with small flags behind."""
    (papers_data / "decided").mkdir()
    with contextlib.chdir(papers_data / "decided"):
        check_papers_settings(papers_settings(pathlib.Path.cwd()))

    weights = {}
    for flags in chained():
        mode, name = (re.search(rf"{flag}(\S+)", " ".join(flags))[1]
                      for flag in ("--mode=", "--model_dir=runs/"))  # fmt: skip
        assert cli.main([*flags, *SMALL[mode], "--data_dir=data"]) == 0, capsys.readouterr().err
        weights[name] = re.findall(
            r"^weights: runs/(\S+, step \d+)", capsys.readouterr().out, re.MULTILINE
        )
    # Each took the weights of the one before, after its one step.
    assert weights == {
        "imagenet": [], "simclr": ["imagenet, step 1"], "micle": ["simclr, step 1"],
        "dermatology": ["micle, step 1"], "chexpert": ["imagenet, step 1"],
        "findings": ["chexpert, step 1"], "transfer": ["findings, step 1"],
    }  # fmt: skip
    results = {
        name: json.loads(pathlib.Path(f"runs/{name}/result.json").read_text()) for name in weights
    }
    data = {
        name: result["dataset"].rpartition("-")[0] or result["dataset"]
        for name, result in results.items()
    }
    assert data == {
        "imagenet": "imagenet2012", "simclr": "derm_cases/manifest", "micle": "derm_cases/manifest",
        "dermatology": "derm_cases/manifest", "chexpert": "chexpert_cases/paper",
        "findings": "chexpert_cases/paper", "transfer": "nih_chest_xray14/default",
    }  # fmt: skip
    assert results["micle"]["method"] == "micle"
    # Effusion goes by another name there, and is judged all the same.
    assert "findings/auc/Pleural Effusion" in results["transfer"]["metrics"]


def test_a_recipe_that_names_a_missing_file_says_so(tmp_path):
    (tmp_path / "pretrain.flags").write_text("--flagfile=../gone.flags\n")
    with pytest.raises(BadInput, match=r"^--flagfile=.*/\.\./gone\.flags: cannot be read \("):
        read_flagfile(tmp_path / "pretrain.flags")
