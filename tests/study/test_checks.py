"""Every fault of a study in a line that names its place."""

import pytest

from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.study.reading import parse
from tests.study.study_files import SMALL, changed

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


def test_a_common_flag_that_all_who_read_it_state_themselves():
    text = changed(
        ("[common]", "[common]\nlearning_rate = 1"),
        ("steps = 700", "steps = 700\nlearning_rate = 2"),
        ("steps = 350", "steps = 350\nlearning_rate = 2"),
    )
    with pytest.raises(BadInput, match=r"^a\.toml: \[common\] learning_rate: does nothing in any"):
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
