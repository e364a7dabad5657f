"""Studies as files state them: what they say, and every fault in a line that names its place."""

import dataclasses
import json
import re
import tomllib

import pytest

from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.study import specification
from micle_tf.study.specification import combinations, from_text, parse, read

FILE = """
dataset = "derm_cases"
label_fractions = [1, 0.1]
seeds = [2, 0]
primary = "case/auc_macro"
reference = "micle"

[common]
image_size = 64
temperature = 1

[stages.simclr]
mode = "pretrain"
method = "simclr"
train_steps = 700
use_blur = false

[stages.micle]
mode = "pretrain"
train_steps = 350

[stages.linear_eval]
mode = "linear_eval"

[stages.finetune]
mode = "finetune"
rotation_degrees = 15

[stages.nih]
mode = "evaluate"
dataset = "nih_chest_xray14"
eval_split = "validation"

[variants]
random = ["linear_eval"]
supervised = ["finetune"]
micle = ["simclr", "micle", "finetune"]
trans-fer = ["simclr", "finetune", "nih"]

[grid.finetune]
learning_rate = [1, 0.01]
optimizer = ["adam", "lars"]

[select]
finetune = "case/auc_macro"
"""
SMALL = """
[stages.first]
mode = "pretrain"
[stages.last]
mode = "finetune"
[variants]
one = ["first", "last"]
"""


def test_what_a_file_says(tmp_path):
    path = tmp_path / "four_ways.toml"
    path.write_text(FILE)
    study = read(path)
    assert study == parse(FILE, "four_ways")
    assert (study.name, study.dataset, study.manifest) == ("four_ways", "derm_cases", "")
    assert study.label_fractions == (0.1, 1.0) and study.seeds == (2, 0)
    assert (study.primary, study.reference) == ("case/auc_macro", "micle")
    assert study.common == {"image_size": 64, "temperature": 1.0}
    assert list(study.stages) == ["simclr", "micle", "linear_eval", "finetune", "nih"]
    assert study.stages["finetune"] == {"mode": "finetune", "rotation_degrees": 15.0}
    assert study.variants["micle"] == ("simclr", "micle", "finetune")
    assert study.grid == {"finetune": {"learning_rate": (1.0, 0.01), "optimizer": ("adam", "lars")}}
    assert study.select == {"finetune": "case/auc_macro"}


def test_numbers_are_of_the_types_of_their_flags():
    """Paths and comparisons would tell 1 from 1.0."""
    study = parse(FILE, "a")
    numbers = [*study.label_fractions, study.common["temperature"]]
    numbers += [
        study.stages["finetune"]["rotation_degrees"],
        *study.grid["finetune"]["learning_rate"],
    ]
    assert all(type(number) is float for number in numbers)
    assert type(study.common["image_size"]) is int


def test_what_a_file_may_leave_out():
    study = parse(SMALL, "a")
    assert (study.dataset, study.manifest, study.primary, study.reference) == ("", "", "", "one")
    assert study.label_fractions == (1.0,) and study.seeds == (0,)
    assert study.common == study.grid == study.select == {}


def test_the_judged_stage_and_what_stands_behind_it():
    study = parse(FILE, "a")
    judged = {variant: study.judged_stage(variant) for variant in study.variants}
    assert judged == {
        "random": "linear_eval", "supervised": "finetune", "micle": "finetune",
        "trans-fer": "finetune",
    }  # fmt: skip
    assert study.transfers("trans-fer") == ("nih",) and study.transfers("micle") == ()


def test_supervised_pretraining_stands_before_the_judged_stage():
    text = SMALL.replace(
        '"pretrain"', '"finetune"\nlabel_fraction = 0.5\neval_split = "validation"'
    )
    assert parse(text, "a").judged_stage("one") == "last"


def test_flags_of_a_stage_are_its_own_and_the_common_ones_that_it_reads():
    study = parse(FILE, "a")
    assert study.flags("simclr") == {
        "mode": "pretrain", "dataset": "derm_cases", "image_size": 64, "temperature": 1.0,
        "method": "simclr", "train_steps": 700, "use_blur": False,
    }  # fmt: skip
    assert next(iter(study.flags("simclr"))) == "mode"
    # Of all common ones, it reads the size of images alone.
    expected = {"mode": "linear_eval", "dataset": "derm_cases", "image_size": 64}
    assert study.flags("linear_eval") == expected
    assert study.flags("nih")["dataset"] == "nih_chest_xray14"


def test_its_own_flags_stand_above_the_common_ones():
    text = SMALL.replace('"pretrain"', '"pretrain"\ntrain_steps = 9')
    study = parse(f"[common]\ntrain_steps = 5\n{text}", "a")
    assert study.flags("first")["train_steps"] == 9 and study.flags("last")["train_steps"] == 5


def test_what_is_said_of_some_data_is_not_said_of_other_data():
    """As on a command line: a run that names its data takes no flag of data over."""
    text = f"""
        manifest = "cases.csv"
        [common]
        findings = "all"
        group_by = "study"
        uncertain = "ones"
        {SMALL.replace('"last"]', '"last", "there"]')}
        [stages.there]
        mode = "evaluate"
        dataset = "nih_chest_xray14"
    """
    study = parse(text, "a")
    own = {"mode": "evaluate", "dataset": "nih_chest_xray14", "uncertain": "ones"}
    assert study.flags("there") == own  # no manifest, findings and cases
    assert study.flags("last") == {
        "mode": "finetune", "manifest": "cases.csv", "findings": "all", "group_by": "study",
        "uncertain": "ones",
    }  # fmt: skip


def test_weights_of_others_begin_a_chain():
    text = SMALL.replace('mode = "finetune"', 'mode = "finetune"\ncheckpoint = "~/r50"')
    text = text.replace('["first", "last"]', '["last"]').replace("[stages.first]\nmode = ", "#")
    study = parse(text, "a")
    assert study.flags("last") == {"mode": "finetune", "checkpoint": "~/r50"}


def test_combinations():
    assert list(combinations({"a": (1, 2), "b": "xy"})) == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"},
    ]  # fmt: skip
    assert list(combinations({})) == [{}]


@pytest.mark.parametrize("file", [FILE, SMALL])
def test_the_text_of_a_study_says_all_of_it(file):
    study = parse(file, "a")
    text = specification.text(study)
    assert from_text(text) == study
    assert specification.text(from_text(text)) == text
    layout = file.replace("[variants]", "# which\n[variants]").replace(" = ", "=")
    assert specification.text(parse(layout, "a")) == text
    assert specification.text(dataclasses.replace(study, seeds=(5,))) != text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"seeds": 3}', '{"seeds": [], "extra": 1}'])
def test_another_text_is_no_study(text):
    with pytest.raises(BadInput, match="not the text of a study"):
        from_text(text)
    stated = json.loads(specification.text(parse(SMALL, "a")))
    with pytest.raises(BadInput, match="not the text of a study"):
        from_text(json.dumps(stated | {"more": 1}))


# ---------------------------------------------------------------- faults


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.toml"
    with pytest.raises(BadInput, match=r"^\S+/a\.toml: cannot be read \(.*No such file"):
        read(path)
    path.write_bytes(b"seeds = [\xff]")
    with pytest.raises(BadInput, match=r"^\S+/a\.toml: cannot be read \("):
        read(path)
    path.write_text("seeds = 0\nseeds = = 1\n")
    with pytest.raises(BadInput, match=r"^\S+/a\.toml: no TOML \(.*line 2"):
        read(path)
    path.write_text("seeds = [-1]\n" + SMALL)
    with pytest.raises(BadInput, match=r"^\S+/a\.toml: seeds: --seed=-1: must be at least 0$"):
        read(path)


def test_a_mark_of_utf_8_is_no_part_of_the_text(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(FILE, encoding="utf-8-sig")
    assert read(path) == parse(FILE, "a")


@pytest.mark.parametrize(
    "file, name", [("a.toml", "a"), ("a.b.toml", "a.b"), ("mine1.5", "mine1.5")]
)
def test_a_study_has_the_name_of_its_file(tmp_path, file, name):
    """What another study would be called too, mine1.4, would lie in the same place."""
    (tmp_path / file).write_text(SMALL)
    assert read(tmp_path / file).name == name


def test_no_toml():
    hexadecimal = "seeds = [0x" + "f" * 5000 + "]"
    deep = "common.image_size" + ".a" * 5000 + " = 1"
    for text in ("seeds", "a = " + "[" * 10_000, "a = 1" + "0" * 5000, hexadecimal, deep):
        with pytest.raises(BadInput, match=r"^a\.toml: no TOML \("):
            parse(text, "a")


def changed(*changes, file=FILE):
    """The text of a file with some pieces replaced, each of which is there."""
    for before, after in changes:
        assert before in file, before
        file = file.replace(before, after, 1)
    tomllib.loads(file)
    return file


NO_STAGES = '[variants]\na = ["b"]\n'
# What stands in FILE, what in its place, and what is said of that.
MESSAGES = [
    (
        "seeds",
        "seedz",
        "seedz: no such key; did you mean seeds?",
    ),
    (
        "seeds",
        "image_size = 8\nseeds",
        "image_size: no such key; flags stand in [common] or in a stage",
    ),
    (
        "seeds",
        "name = 'b'\nseeds",
        "name: no such key",
    ),
    (
        '"derm_cases"',
        '""',
        "dataset: expected a text that is not empty, or leave it out",
    ),
    (
        '"case/auc_macro"',
        "' '",
        "primary: expected a text that is not empty, or leave it out",
    ),
    (
        '"derm_cases"',
        "3",
        "dataset: expected a text that is not empty, or leave it out",
    ),
    (
        "[common]",
        "[[common]]",
        "[common]: expected a table",
    ),
    (
        "[select]",
        "[[select]]",
        "[select]: expected a table",
    ),
    (
        "[1, 0.1]",
        "[0.1, 0]",
        "label_fractions: --label_fraction=0: must be at least 0.0001",
    ),
    (
        "[1, 0.1]",
        "[0.1, 1.5]",
        "label_fractions: --label_fraction=1.5: must be at most 1",
    ),
    (
        "[1, 0.1]",
        "[0.1, true]",
        "label_fractions: --label_fraction=True: not of type float",
    ),
    (
        "[1, 0.1]",
        "[1, 0.1, 1.0]",
        "label_fractions: 1.0 is there twice",
    ),
    (
        "[1, 0.1]",
        "[nan]",
        "label_fractions: --label_fraction=nan: not a finite number",
    ),
    (
        "[1, 0.1]",
        "[]",
        "label_fractions: expected a list of at least one value",
    ),
    (
        "[1, 0.1]",
        "0.1",
        "label_fractions: expected a list of at least one value",
    ),
    (
        "[2, 0]",
        "[0, -1]",
        "seeds: --seed=-1: must be at least 0",
    ),
    (
        "[2, 0]",
        "[0, 1.0]",
        "seeds: --seed=1.0: not of type int",
    ),
    (
        "[2, 0]",
        "[true]",
        "seeds: --seed=True: not of type int",
    ),
    (
        "[2, 0]",
        "[0, 1, 0]",
        "seeds: 0 is there twice",
    ),
    (
        "[2, 0]",
        "[]",
        "seeds: expected a list of at least one value",
    ),
    (
        "[stages.nih]",
        "[stages]\nnih = 3\n[grid.a]",
        "[stages.nih]: expected a table",
    ),
    (
        "[stages.nih]",
        "[stages.nih-14]",
        "[stages.nih-14]: name it by letters, digits and underscores",
    ),
    (
        "[stages.nih]",
        "[stages.export]",
        "[stages.export]: runs have a file or folder of that name; choose another",
    ),
    (
        "[stages.nih]",
        "[stages.plugins]",
        "[stages.plugins]: runs have a file or folder of that name; choose another",
    ),
    (
        "[stages.nih]",
        "[stages.Lock]",
        "[stages.Lock]: runs have a file or folder of that name; choose another",
    ),
    (
        "[stages.nih]",
        "[stages.Micle]",
        "[stages.Micle]: differs from [stages.micle] in capitals alone; choose another name",
    ),
    (
        'random = ["linear_eval"]',
        'random = ["linear_eval"]\nagain = ["linear_eval"]',
        "[variants] again: is random again; remove one of them",
    ),
    (
        'mode = "linear_eval"',
        "",
        "[stages.linear_eval] no mode; add one of pretrain, linear_eval, finetune, evaluate",
    ),
    (
        '"linear_eval"',
        '"linear-eval"',
        "[stages.linear_eval] mode=linear-eval: not one of pretrain, linear_eval, finetune, "
        "evaluate; did you mean linear_eval?",
    ),
    (
        '"evaluate"',
        '"export"',
        "[stages.nih] mode=export: not one of pretrain, linear_eval, finetune, evaluate",
    ),
    (
        '"evaluate"',
        "['evaluate']",
        "[stages.nih] mode=['evaluate']: not one of pretrain, linear_eval, finetune, "
        "evaluate; did you mean evaluate?",
    ),
    (
        '"finetune", "nih"',
        '"finetune"',
        "[stages.nih]: no variant uses it; add it to one, or remove it",
    ),
    (
        "random",
        '"ran dom"',
        "[variants] ran dom: name it by letters, digits, dashes and underscores",
    ),
    (
        "random",
        "-random",
        "[variants] -random: name it by letters, digits, dashes and underscores",
    ),
    (
        '["linear_eval"]',
        '["linear_evil"]',
        "[variants] random: there is no stage linear_evil; did you mean linear_eval?",
    ),
    (
        '["linear_eval"]',
        '"linear_eval"',
        "[variants] random: expected a list of at least one value",
    ),
    (
        '["linear_eval"]',
        "[]",
        "[variants] random: expected a list of at least one value",
    ),
    (
        '["linear_eval"]',
        "[['a']]",
        "[variants] random: expected a list of stages by their names",
    ),
    (
        '"micle", "fin',
        '"simclr", "fin',
        "[variants] micle: simclr is there twice",
    ),
    (
        '["linear_eval"]',
        '["simclr"]',
        "[variants] random: nothing is judged; add a stage of mode linear_eval or finetune",
    ),
    (
        '"micle", "finetune"]',
        '"linear_eval", "finetune"]',
        "[variants] micle: linear_eval stands before finetune, which is judged, and trains "
        "no encoder; before it go stages of mode pretrain or finetune",
    ),
    (
        '"simclr", "finetune", "nih"]',
        '"nih", "finetune"]',
        "[variants] trans-fer: nih stands before finetune, which is judged, and trains no "
        "encoder; before it go stages of mode pretrain or finetune",
    ),
    (
        '"finetune", "nih"]',
        '"finetune", "micle", "nih"]',
        "[variants] trans-fer: micle stands behind finetune, which is judged; behind it go "
        "stages of mode evaluate",
    ),
    (
        '= "micle"',
        '= "mickle"',
        "reference: there is no variant mickle; did you mean micle?",
    ),
    (
        "method =",
        "methot =",
        "[stages.simclr] methot: no such flag; did you mean method?",
    ),
    (
        "image_size",
        "imagesize",
        "[common] imagesize: no such flag; did you mean image_size?",
    ),
    (
        '"simclr"\ntrain',
        '"simcrl"\ntrain',
        "[stages.simclr] --method=simcrl: not one of simclr, micle; did you mean simclr?",
    ),
    (
        '"simclr"\ntrain',
        '"a\\nb"\ntrain',
        "[stages.simclr] --method=a b: not one of simclr, micle",
    ),
    (
        "size = 64",
        "size = 4",
        "[common] --image_size=4: must be at least 8",
    ),
    (
        "size = 64",
        "size = 64.5",
        "[common] --image_size=64.5: not of type int",
    ),
    (
        "_steps = 700",
        "_steps = [7]",
        "[stages.simclr] --train_steps=[7]: not of type int",
    ),
    (
        "degrees = 15",
        "degrees = true",
        "[stages.finetune] --rotation_degrees=True: not of type float",
    ),
    (
        "use_blur = false",
        "use_blur = {}",
        "[stages.simclr] --use_blur={}: not of type bool",
    ),
    (
        "use_blur = false",
        "model_dir = 'a'",
        "[stages.simclr] model_dir: the study's directory has a place for each run",
    ),
    (
        "use_blur = false",
        "seed = 1",
        "[stages.simclr] seed: seeds = [0, 1, 2] at the top of the file decides",
    ),
    (
        "use_blur = false",
        "dry_run = true",
        "[stages.simclr] dry_run: it is of a single run",
    ),
    (
        "rotation_degrees = 15",
        "label_fraction = 0.1",
        "[stages.finetune] label_fraction: label_fractions = [0.1, 1.0] at the top of the "
        "file decides",
    ),
    (
        "rotation_degrees = 15",
        "eval_split = 'test'",
        "[stages.finetune] eval_split: runs are judged on test, and those of a grid on validation",
    ),
    (
        "rotation_degrees = 15",
        "checkpoint = 'r50'",
        "[stages.finetune] checkpoint: a run starts from the stage before it; the first one "
        "may name weights",
    ),
    (
        "image_size = 64",
        "mode = 'finetune'",
        "[common] mode: each stage states its own",
    ),
    (
        "image_size = 64",
        "eval_split = 'test'",
        "[common] eval_split: runs are judged on test, and those of a grid on validation",
    ),
    (
        "image_size = 64",
        "checkpoint = 'a'",
        "[common] checkpoint: a run starts from the stage before it; the first one may name "
        "weights",
    ),
    (
        "image_size = 64",
        "manifest = 'a'",
        "[common] manifest: state it at the top of the file, or in a stage",
    ),
    (
        "rotation_degrees",
        "temperature",
        "[stages.finetune] temperature: does nothing in --mode=finetune; remove it",
    ),
    (
        "use_blur = false",
        "distinct_probability = 0",
        "[stages.simclr] distinct_probability: does nothing with --method=simclr; remove it",
    ),
    (
        "use_blur = false",
        "eval_split = 'test'",
        "[stages.simclr] eval_split: does nothing without --knn_every; remove it",
    ),
    (
        "use_blur = false",
        "rescale_kernels = true",
        "[stages.simclr] rescale_kernels: does nothing without --checkpoint; remove it",
    ),
    (
        "use_blur = false",
        "jpeg_quality = 90",
        "[stages.simclr] jpeg_quality: does nothing without --max_image_side; remove it",
    ),
    (
        "image_size = 64",
        "export_name = 'a'",
        "[common] export_name: does nothing in any of the stages; remove it",
    ),
    (
        "[grid.finetune]",
        "[grid.finetuned]",
        "[grid.finetuned]: there is no such stage; did you mean finetune?",
    ),
    (
        "[grid.finetune]",
        "[grid.simclr]",
        "[grid.simclr]: no variant is judged by simclr; a grid is of a stage that is",
    ),
    (
        '["simclr", "micle", "finetune"]',
        '["finetune", "micle", "linear_eval"]',
        "[grid.finetune]: micle is not judged by finetune, so that nothing is chosen there; "
        "give it a stage of another name",
    ),
    (
        "learning_rate",
        "learning_rat",
        "[grid.finetune] learning_rat: no such flag; did you mean learning_rate?",
    ),
    (
        "[1, 0.01]",
        "[]",
        "[grid.finetune] learning_rate: expected a list of at least one value",
    ),
    (
        "[1, 0.01]",
        "0.1",
        "[grid.finetune] learning_rate: expected a list of at least one value",
    ),
    (
        "[1, 0.01]",
        "[1, 1.0]",
        "[grid.finetune] learning_rate: 1.0 is there twice",
    ),
    (
        "[1, 0.01]",
        "[1, -1]",
        "[grid.finetune] --learning_rate=-1.0: must be at least 0",
    ),
    (
        '["adam", "lars"]',
        '["adm"]',
        "[grid.finetune] --optimizer=adm: not one of lars, momentum, adam; did you mean adam?",
    ),
    (
        "learning_rate = [1, 0.01]",
        "seed = [1]",
        "[grid.finetune] seed: seeds = [0, 1, 2] at the top of the file decides",
    ),
    (
        "learning_rate = [1, 0.01]",
        "eval_split = ['a']",
        "[grid.finetune] eval_split: runs are judged on test, and those of a grid on validation",
    ),
    (
        "learning_rate = [1, 0.01]",
        "dataset = ['a']",
        "[grid.finetune] dataset: all of a grid are judged on the same data",
    ),
    (
        "learning_rate = [1, 0.01]",
        "preset = ['laptop', 'paper']",
        "[grid.finetune] preset: is decided once for all runs of a stage; try its flags by their "
        "names",
    ),
    (
        "learning_rate = [1, 0.01]",
        "top_classes = [2, 3]",
        "[grid.finetune] top_classes: all of a grid are judged on the same data",
    ),
    (
        "learning_rate = [1, 0.01]",
        "uncertain = ['ones']",
        "[grid.finetune] uncertain: all of a grid are judged on the same data",
    ),
    (
        "learning_rate = [1, 0.01]",
        "rotation_degrees = [1, 0.01]",
        "[grid.finetune] rotation_degrees: [stages.finetune] states it too; remove one of them",
    ),
    (
        "learning_rate = [1, 0.01]",
        "best_metric = ['case/auc_macro']",
        "[grid.finetune] best_metric=case/auc_macro: names a run directory; letters, digits, "
        "dots and underscores alone",
    ),
    (
        "learning_rate = [1, 0.01]",
        "temperature = [1, 0.01]",
        "[grid.finetune] temperature: does nothing in --mode=finetune; remove it",
    ),
    (
        'learning_rate = [1, 0.01]\noptimizer = ["adam", "lars"]',
        "",
        "[grid.finetune]: nothing to try; add FLAG = [VALUE, VALUE]",
    ),
    (
        "[select]\nfinetune",
        "[select]\nfinetun",
        "[select] finetun: there is no [grid.finetun] to choose from; did you mean finetune?",
    ),
    (
        'finetune = "case/auc_macro"',
        'finetune = ""',
        "[select] finetune: expected a text that is not empty, or leave it out",
    ),
]


@pytest.mark.parametrize("before, after, message", MESSAGES)
def test_faults(before, after, message):
    with pytest.raises(BadInput) as refused:
        parse(changed((before, after)), "four_ways")
    assert str(refused.value) == f"four_ways.toml: {message}"


def test_a_number_beyond_all_bounds():
    with pytest.raises(
        BadInput, match=r"^a\.toml: \[stages\.finetune\] --rota.*: must be at most 180$"
    ):
        parse(changed(("degrees = 15", f"degrees = {10**400}")), "a")


def test_a_common_flag_that_all_who_read_it_state_themselves():
    text = changed(
        ("[common]", "[common]\nlearning_rate = 1"),
        ("steps = 700", "steps = 700\nlearning_rate = 2"),
        ("steps = 350", "steps = 350\nlearning_rate = 2"),
    )
    with pytest.raises(BadInput, match=r"^a\.toml: \[common\] learning_rate: does nothing in any"):
        parse(text, "a")


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no stages; add [stages.NAME] with mode = "),
        (NO_STAGES, "no stages; add [stages.NAME] with mode = "),
        ('[stages.a]\nmode = "finetune"', "no variants; add [variants] with NAME = "),
        ('[stages.a]\nmode = "finetune"\n[variants]', "no variants; add [variants] with NAME = "),
    ],
)
def test_nothing_to_study(text, message):
    with pytest.raises(BadInput, match=f"^{re.escape(f'a.toml: {message}')}"):
        parse(text, "a")


def test_data_that_every_stage_names_itself_is_not_stated_for_all():
    text = "dataset = 'derm_cases'\n" + SMALL.replace("mode", "dataset = 'cifar10'\nmode")
    with pytest.raises(BadInput, match=r"^a\.toml: dataset: does nothing in any of the stages"):
        parse(text, "a")


@pytest.mark.parametrize(
    "stages, message",
    [
        (("resnet_depth = 18", "resnet_depth = 18"), ""),
        (("", "resnet_depth = 18"), ""),  # which may be what the first one has anyway
        (("resnet_depth = 18\nse_ratio = 0.1", "image_size = 32"), ""),
        (
            ("resnet_depth = 18", "resnet_depth = 34"),
            "[stages.last] resnet_depth: in one weights come from first, where it is 18; "
            "leave it out",
        ),
        (
            (
                "",
                "image_size = 32\n[common]\nsk_ratio = 0.1\n[grid.last]\nwidth_multiplier = [1, 2]",
            ),
            "[grid.last] width_multiplier: in one weights come from first, and are of one "
            "encoder; [architectures] compares several",
        ),
    ],
)
def test_weights_are_of_one_encoder(stages, message):
    text = SMALL.replace('mode = "pretrain"', f'mode = "pretrain"\n{stages[0]}')
    text = text.replace('mode = "finetune"', f'mode = "finetune"\n{stages[1]}')
    text = text.replace("[variants]", "[stages.between]\nmode = 'pretrain'\n[variants]")
    text = text.replace('["first", "last"]', '["first", "between", "last"]')
    if not message:
        assert parse(text, "a").variants["one"] == ("first", "between", "last")
        return
    with pytest.raises(BadInput) as refused:
        parse(text, "a")
    assert str(refused.value) == f"a.toml: {message}"


def test_an_encoder_is_chosen_where_nothing_comes_before():
    grid = "\n[grid.last]\nwidth_multiplier = [1, 2]\n"
    text = SMALL.replace('["first", "last"]', '["last"]').replace(
        '[stages.first]\nmode = "pretrain"\n', ""
    )
    assert parse(text + grid, "a").grid["last"]["width_multiplier"] == (1.0, 2.0)


def test_weights_are_named_by_what_is_first_in_all_its_variants():
    text = SMALL.replace('mode = "finetune"', 'mode = "finetune"\ncheckpoint = "r50"')
    for variants in ('["first", "last"]', '["last"]\ntwo = ["first", "last"]'):
        with pytest.raises(BadInput, match=r"^a\.toml: \[stages\.last\] checkpoint: a run starts"):
            parse(text.replace('["first", "last"]', variants), "a")


@pytest.mark.parametrize(
    "stage, flags",
    [
        ("first", 'max_image_side = 128\njpeg_quality = 90\nfindings = "all"'),
        ("first", "labels_shared_by_case = false\nstrip_metadata = true\nbeam_options = 'a'"),
        ("first", "manual_dir = 'files'\nids = 'literal'\nmissing = '-'\ncolumns = 'a=b'"),
        ("first", "knn_every = '5epochs'\neval_split = 'test'\nprofile = '1:2'"),
        ("last", "rescale_kernels = true\nft_proj_selector = 1\nnum_proj_layers = 2"),
        ("last", "allow_seen = true\npreset = 'laptop'\ntop_classes = 4\nbest_metric = 'loss'"),
    ],
)
def test_flags_that_may_do_something_are_taken(stage, flags):
    """Of data, which is to be said on the command line; of a start, which is the stage before."""
    mode = "pretrain" if stage == "first" else "finetune"
    study = parse(SMALL.replace(f'mode = "{mode}"', f'mode = "{mode}"\n{flags}'), "a")
    assert Config.of_mode(**study.flags(stage)).mode == mode
    assert len(study.stages[stage]) == 1 + flags.count("\n") + 1


def test_a_flag_may_do_something_with_some_of_a_grid():
    """Momentum does nothing with Adam alone."""
    grid = "\n[grid.last]\noptimizer = {}\nmomentum = [0.5, 0.9]\n"
    assert parse(SMALL + grid.format(["adam", "lars"]), "a").grid["last"]["momentum"] == (0.5, 0.9)
    with pytest.raises(
        BadInput, match=r"\[grid\.last\] momentum: does nothing with --optimizer=ad"
    ):
        parse(SMALL + grid.format(["adam"]), "a")
