"""Several encoders in one study: what a file may say, and that each is a study of its own."""

import dataclasses
import os

import pytest

from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.run_config import is_finished
from micle_tf.study.architectures import named, parts
from micle_tf.study.directory import StudyDirectory
from micle_tf.study.places import STUDIES
from micle_tf.study.reading import parse, read
from micle_tf.study.runs import choose, command, planned
from micle_tf.study.working import Work
from tests.study.fake_runs import finished

PLAIN = """
dataset = "derm_cases"
seeds = [0, 1]
label_fractions = [0.1, 1.0]
reference = "supervised"
[common]
image_size = 64
[stages.simclr]
mode = "pretrain"
method = "simclr"
train_steps = 70
[stages.micle]
mode = "pretrain"
train_steps = 35
[stages.finetune]
mode = "finetune"
[stages.nih]
mode = "evaluate"
dataset = "nih_chest_xray14"
[variants]
supervised = ["finetune"]
half-micle = ["simclr", "micle", "finetune"]
simclr = ["simclr", "finetune", "nih"]
[grid.finetune]
learning_rate = [0.001, 0.01]
"""
SMALL = "[architectures.r18]\nresnet_depth = 18\n"
LARGE = "[architectures.r152x2]\nresnet_depth = 152\nwidth_multiplier = 2\n"
BOTH = PLAIN + SMALL + LARGE
STUDY = parse(BOTH, "mine")


def by_path(runs):
    return {run.path: run for run in runs}


# ---------------------------------------------------------------- what a file says


@pytest.mark.parametrize("architectures", [(), ("r18",), ("r18", "r152x2", "a_b")])
def test_names_say_their_parts(architectures):
    for architecture in architectures or ("",):
        for variant in ("micle", "half-micle", "a-r18", "r18"):
            assert parts(named(variant, architecture), architectures) == (variant, architecture)
    assert named("micle", "r50") == "micle-r50" and named("micle", "") == "micle"


def test_what_a_file_says():
    flags = {"r18": {"resnet_depth": 18}, "r152x2": {"resnet_depth": 152, "width_multiplier": 2.0}}
    assert STUDY.architectures == flags
    assert type(STUDY.architectures["r152x2"]["width_multiplier"]) is float
    assert list(STUDY.named_variants()) == [
        "supervised-r18", "half-micle-r18", "simclr-r18",
        "supervised-r152x2", "half-micle-r152x2", "simclr-r152x2",
    ]  # fmt: skip
    assert STUDY.named_variants()["simclr-r18"] == ("simclr", "finetune", "nih")
    assert STUDY.reference_of("half-micle-r152x2") == "supervised-r152x2"


def test_a_file_without_architectures_names_its_variants_as_they_are():
    plain = parse(PLAIN, "mine")
    assert plain.architectures == {} and plain.named_variants() == plain.variants
    assert plain.reference_of("half-micle") == "supervised"
    assert plain.with_architecture("") == plain


# Behind PLAIN, and what is said of it.
MESSAGES = [
    ("architectures = 3", "[architectures]: expected a table"),
    ("[architectures]\nr18 = 3", "[architectures.r18]: expected a table"),
    (
        "[architectures.r18]",
        "[architectures.r18]: no flags; add one of resnet_depth, width_multiplier, sk_ratio, "
        "se_ratio",
    ),
    (
        f"{SMALL}image_size = 32",
        "[architectures.r18] image_size: no shape of the encoder, as resnet_depth, "
        "width_multiplier, sk_ratio, se_ratio are; state it in [common] or in a stage",
    ),
    (
        f"{SMALL}seed = 3",
        "[architectures.r18] seed: no shape of the encoder, as resnet_depth, width_multiplier, "
        "sk_ratio, se_ratio are; state it in [common] or in a stage",
    ),
    (
        f"{SMALL}resnet_dept = 50",
        "[architectures.r18] resnet_dept: no such flag; did you mean resnet_depth?",
    ),
    (
        "[architectures.r18]\nresnet_depth = '18'",
        "[architectures.r18] --resnet_depth=18: not of type int",
    ),
    (
        "[architectures.r18]\nwidth_multiplier = 99",
        "[architectures.r18] --width_multiplier=99.0: must be at most 16",
    ),
    (
        "[architectures.r50-x2]\nresnet_depth = 50",
        "[architectures.r50-x2]: name it by letters, digits and underscores",
    ),
    (
        "[architectures.nih]\nresnet_depth = 50",
        "[architectures.nih]: a stage has that name; choose another",
    ),
    (
        "[architectures.NIH]\nresnet_depth = 50",
        "[architectures.NIH]: a stage has that name; choose another",
    ),
    (
        f"{SMALL}[architectures.R18]\nresnet_depth = 34",
        "[architectures.R18]: differs from [architectures.r18] in capitals alone; choose another "
        "name",
    ),
    (
        f"{LARGE}{SMALL}[architectures.again]\nwidth_multiplier = 2.0\nresnet_depth = 152",
        "[architectures.again]: is [architectures.r152x2] again; remove one of them",
    ),
    (
        f"{SMALL}[architectures.usual]\nresnet_depth = 18\nwidth_multiplier = 1.0",
        "[architectures.usual]: is [architectures.r18] again; remove one of them",
    ),
]


@pytest.mark.parametrize("text, message", MESSAGES)
def test_what_is_no_architecture(text, message):
    given = text + "\n" + PLAIN if text.startswith("architectures") else PLAIN + text
    with pytest.raises(BadInput) as refused:
        parse(given, "four_ways")
    assert str(refused.value) == f"four_ways.toml: {message}"


@pytest.mark.parametrize(
    "before, after, place",
    [
        ("[common]", "[common]\nresnet_depth = 18", "[common]"),
        ("steps = 35", "steps = 35\nresnet_depth = 18", "[stages.micle]"),
        ("[grid.finetune]", "[grid.finetune]\nresnet_depth = [18, 50]", "[grid.finetune]"),
    ],
)
def test_a_flag_of_architectures_is_stated_nowhere_else(before, after, place):
    with pytest.raises(BadInput) as refused:
        parse(BOTH.replace(before, after), "a")
    assert str(refused.value) == (
        f"a.toml: [architectures.r18] resnet_depth: {place} states it too; remove one of them"
    )


def test_nor_on_the_command_line():
    with pytest.raises(BadInput) as refused:
        planned(STUDY, {"width_multiplier": 1.0})
    assert str(refused.value) == (
        "--width_multiplier=1.0: mine states width_multiplier in [architectures.r152x2]; leave one "
        "of them out"
    )
    assert planned(STUDY, {"sk_ratio": 0.0625})[0].flags["sk_ratio"] == 0.0625


def with_weights(weights, stage="simclr", text=BOTH):
    return text.replace(f"[stages.{stage}]\n", f"[stages.{stage}]\ncheckpoint = {weights}\n")


def test_weights_of_others_are_of_an_encoder_each():
    study = parse(with_weights("{r18 = '~/r18', r152x2 = 'r152'}"), "mine")
    assert study.weights == {"simclr": {"r18": "~/r18", "r152x2": "r152"}}
    runs = by_path(planned(study, {}))
    home = os.path.expanduser("~")
    assert runs["seed1/r18/simclr"].flags["checkpoint"] == f"{home}/r18"
    assert "--checkpoint=r152" in command(runs["seed0/r152x2/simclr"], "there", {})
    others = [run for run in runs.values() if run.stage != "simclr"]
    assert not any("checkpoint" in run.flags for run in others)
    without = [run for run in planned(STUDY, {}) if run.stage != "simclr"]
    assert others == without


def test_what_needs_weights_of_others_does_nothing_without():
    text = BOTH.replace("steps = 70", "steps = 70\nrescale_kernels = true")
    with pytest.raises(BadInput, match=r"\[stages.simclr\] rescale_kernels: does nothing"):
        parse(text, "a")
    assert parse(with_weights("{r18 = 'a', r152x2 = 'b'}", text=text), "a").weights


@pytest.mark.parametrize(
    "text, message",
    [
        (
            with_weights("'r50'"),
            "[stages.simclr] checkpoint: weights are of one encoder; with [architectures] state "
            'those of each: checkpoint = {r18 = "...", r152x2 = "..."}',
        ),
        (
            with_weights("{r18 = 'a', r152x2 = 'b'}", text=PLAIN),
            "[stages.simclr] checkpoint: expected a text; a table is for [architectures]",
        ),
        (
            with_weights("{r18 = 'a', r152 = 'b'}"),
            "[stages.simclr] checkpoint: there is no [architectures.r152]; did you mean r152x2?",
        ),
        (
            with_weights("{r18 = 'a'}"),
            "[stages.simclr] checkpoint: no text for r152x2; every variant is made with each",
        ),
        (
            with_weights("{r18 = 'a', r152x2 = 3}"),
            "[stages.simclr] checkpoint: no text for r152x2; every variant is made with each",
        ),
        (
            with_weights("{r18 = 'a', r152x2 = 'b'}", stage="micle"),
            "[stages.micle] checkpoint: a run starts from the stage before it; the first one may "
            "name weights",
        ),
    ],
)
def test_what_are_no_weights_of_architectures(text, message):
    with pytest.raises(BadInput) as refused:
        parse(text, "a")
    assert str(refused.value) == f"a.toml: {message}"


@pytest.mark.parametrize("name", ["dermatology", "chest_xray"])
def test_the_paper_s_studies_have_its_encoders(name):
    study = read(STUDIES / f"{name}.toml")
    for architecture, flags in study.architectures.items():
        file = STUDIES.parent / f"paper/encoders/{architecture}.flags"
        words = [line for line in file.read_text().splitlines() if line.startswith("--")]
        assert words == [f"--{flag}={value:g}" for flag, value in flags.items()]
    assert len(study.architectures) == 3
    runs = planned(study, {} if study.dataset else {"manifest": "labelled.csv"})
    for run in runs:
        assert Config.of_mode(**run.flags).mode == run.flags["mode"]
    grids = [run for run in runs if run.kind == "grid"]
    assert len(grids) == 3 * len(study.variants) * 7 * 4


# ---------------------------------------------------------------- its runs


@pytest.mark.parametrize("typed", [{}, {"data_dir": "data", "sk_ratio": 0.25}])
@pytest.mark.parametrize("architecture", ["r18", "r152x2"])
def test_each_is_the_study_with_its_flags_in_common(architecture, typed):
    flags = STUDY.architectures[architecture]
    plain = parse(PLAIN, "mine")
    plain = dataclasses.replace(plain, common=plain.common | flags)
    mine = [run for run in planned(STUDY, typed) if run.architecture == architecture]
    below = lambda path: path.replace("/", f"/{architecture}/", 1)
    for run, alone in zip(mine, planned(plain, typed), strict=True):
        assert run.path == below(alone.path) and run.parent == below(alone.parent)
        assert run.chosen_from == tuple(map(below, alone.chosen_from))
        assert run.variants == tuple(f"{name}-{architecture}" for name in alone.variants)
        assert run.named_stage == f"{alone.stage}-{architecture}"
        for field in ("stage", "kind", "flags", "seed", "fraction", "choice", "metric"):
            assert getattr(run, field) == getattr(alone, field)
        words = command(run, "there", {})
        assert words[0] == f"--mode={run.flags['mode']}"
        assert sorted(words) == sorted(
            word.replace(f"there/seed{run.seed}", f"there/seed{run.seed}/{architecture}")
            for word in command(alone, "there", {})
        )


def test_paths():
    paths = [run.path for run in planned(STUDY, {}) if run.kind != "grid"]
    assert paths[:3] == ["seed0/r18/finetune-0.1", "seed0/r18/finetune-1", "seed0/r18/simclr"]
    assert "seed1/r152x2/simclr/micle/finetune-0.1" in paths
    assert "seed0/r18/simclr/finetune-1/nih" in paths
    order = [path.split("/")[:2] for path in paths]
    assert [one for k, one in enumerate(order) if k == 0 or order[k - 1] != one] == [
        ["seed0", "r18"], ["seed0", "r152x2"], ["seed1", "r18"], ["seed1", "r152x2"],
    ]  # fmt: skip


def test_each_has_a_choice_of_its_own():
    runs = by_path(planned(STUDY, {}))
    values = {path: 0.5 for path in runs} | {
        "seed0/r18/finetune-1-grid/learning_rate_0.01": 0.9,
        "seed0/r152x2/finetune-1-grid/learning_rate_0.001": 0.9,
    }
    rate = lambda path: choose(runs[path], runs, values)["learning_rate"]
    assert rate("seed1/r18/finetune-0.1") == 0.01
    assert rate("seed1/r152x2/finetune-0.1") == 0.001


def test_flags_of_the_encoder_are_of_the_runs_that_read_them():
    runs = by_path(planned(STUDY, {}))
    assert runs["seed0/r152x2/simclr"].flags["width_multiplier"] == 2.0
    assert runs["seed0/r18/simclr/finetune-1"].flags["resnet_depth"] == 18
    assert "resnet_depth" not in runs["seed0/r18/simclr/finetune-1/nih"].flags


def test_another_architecture_leaves_the_runs_that_were_there(tmp_path):
    before, after = planned(parse(PLAIN + SMALL, "mine"), {}), planned(STUDY, {})
    assert all(run in after for run in before)
    directory = StudyDirectory(str(tmp_path / "study"))
    directory.keep(before, "data")
    for run in before:
        finished(directory.run(run))
    directory.check(after)
    assert sum(is_finished(directory.run(run)) for run in after) == len(before) == len(after) / 2
    changed = planned(parse(BOTH.replace("resnet_depth = 18", "resnet_depth = 34"), "mine"), {})
    with pytest.raises(BadInput, match=r"seed0/r18/finetune-1-grid.*: was begun with --resnet_dep"):
        directory.check(changed)


# ---------------------------------------------------------------- what is decided and left


def test_a_machine_decides_for_each(tmp_path):
    """A batch that fits a GPU with one does not with another."""
    directory = StudyDirectory(str(tmp_path / "study"))
    runs = by_path(planned(STUDY, {}))
    small, large = runs["seed0/r18/simclr"], runs["seed0/r152x2/simclr"]
    assert directory.decide(small, ["--train_batch_size=512"]) == ["--train_batch_size=512"]
    assert directory.decided(large) == []
    assert directory.decide(large, ["--train_batch_size=8"]) == ["--train_batch_size=8"]
    assert directory.decided(runs["seed1/r18/simclr"]) == ["--train_batch_size=512"]


def test_seconds_left_are_of_the_same_architecture(tmp_path):
    text = PLAIN.replace("seeds = [0, 1]", "").split("[grid")[0].replace(', "nih"]', "]")
    text = text[: text.index("[stages.nih]")] + text[text.index("[variants]") :] + SMALL + LARGE
    text = text.replace('mode = "finetune"', 'mode = "finetune"\ntrain_steps = 10')
    directory = StudyDirectory(str(tmp_path / "study"))
    runs = planned(parse(text.replace("[0.1, 1.0]", "[1.0]"), "mine"), {})
    directory.keep(runs, "data")
    work = Work(directory, runs, lambda words, decided: None)
    there = lambda path, seconds, steps: finished(
        directory.run(by_path(runs)[path]), seconds=seconds, steps=steps
    )
    there("seed0/r18/simclr", 70.0, 70)
    there("seed0/r18/finetune-1", 10.0, 10)
    assert work.seconds_left() == 0  # nothing is known of the other
    there("seed0/r152x2/simclr", 7000.0, 70)
    there("seed0/r152x2/finetune-1", 2000.0, 10)
    small = 35 * 1.0 + 2 * 10.0  # micle by a step of simclr
    assert work.seconds_left() == pytest.approx(small + 35 * 100.0 + 2 * 2000.0)
