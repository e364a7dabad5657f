"""The runs of a study: each once, in an order that works, where they lie, and their commands."""

import itertools
import json
import math
import os
import random

import pytest

from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.parsing import parse as parse_words
from micle_tf.study.reading import parse
from micle_tf.study.runs import choose, command, lower_is_better, planned, spelled

COMMON = {"image_size": 64}
STAGES = {
    "simclr": {"mode": "pretrain", "method": "simclr", "train_steps": 700, "use_blur": False},
    "micle": {"mode": "pretrain", "train_steps": 350},
    "linear_eval": {"mode": "linear_eval"},
    "finetune": {"mode": "finetune"},
    "nih": {"mode": "evaluate", "dataset": "nih_chest_xray14"},
    "again": {"mode": "evaluate", "eval_split": "validation"},
}
GRID = {"finetune": {"learning_rate": [0.001, 0.01], "weight_decay": [0, 1e-4]}}
VARIANTS = {
    "random": ["linear_eval"],
    "supervised": ["finetune"],
    "micle": ["simclr", "micle", "finetune"],
    "there": ["simclr", "finetune", "nih", "again"],
    "here": ["simclr", "finetune", "again"],
}


def table(header, values):
    """A table of TOML, in which texts, numbers and lists are as in JSON."""
    return "\n".join([header, *(f"{key} = {json.dumps(value)}" for key, value in values.items())])


def study_of(
    variants=VARIANTS, *, seeds=(0, 1), fractions=(0.1, 1), stages=STAGES, grid=GRID, **top
):
    """A study of some variants, with the stages that they use."""
    top = {"dataset": "derm_cases", "seeds": seeds, "label_fractions": fractions} | top
    select = top.pop("select", {})
    used = set(itertools.chain(*variants.values()))
    tables = [table("", top), table("[common]", COMMON), table("[variants]", variants)]
    tables += [table(f"[stages.{name}]", stages[name]) for name in stages if name in used]
    tables += [table(f"[grid.{name}]", grid[name]) for name in grid if name in used]
    return parse("\n".join([*tables, table("[select]", select)]), "four_ways")


def plain(**given):
    """A study of two variants without a grid."""
    variants = {"random": ["linear_eval"], "simclr": ["simclr", "linear_eval"]}
    return study_of(variants, **given)


def by_path(runs):
    return {run.path: run for run in runs}


def test_paths_and_their_order():
    runs = planned(plain(), {})
    assert [(run.path, run.kind, run.parent) for run in runs] == [
        ("seed0/linear_eval-0.1", "judged", ""),
        ("seed0/linear_eval-1", "judged", ""),
        ("seed0/simclr", "stage", ""),
        ("seed0/simclr/linear_eval-0.1", "judged", "seed0/simclr"),
        ("seed0/simclr/linear_eval-1", "judged", "seed0/simclr"),
        ("seed1/linear_eval-0.1", "judged", ""),
        ("seed1/linear_eval-1", "judged", ""),
        ("seed1/simclr", "stage", ""),
        ("seed1/simclr/linear_eval-0.1", "judged", "seed1/simclr"),
        ("seed1/simclr/linear_eval-1", "judged", "seed1/simclr"),
    ]
    assert [run.fraction for run in runs[:4]] == [0.1, 1.0, None, 0.1]
    assert [run.seed for run in runs] == [0] * 5 + [1] * 5
    assert {run.metric for run in runs} == {""} and {run.chosen_from for run in runs} == {()}


def test_runs_of_a_chain_with_a_grid():
    variants = {name: VARIANTS[name] for name in ("micle", "random", "there")}
    runs = planned(study_of(variants, seeds=(3, 1), fractions=(0.1,)), {})
    place = "seed3/simclr/micle/finetune-0.1-grid"
    grid = [
        f"{place}/learning_rate_{rate}-weight_decay_{decay}"
        for rate, decay in itertools.product(("0.001", "0.01"), ("0", "0.0001"))
    ]
    assert [run.path for run in runs[:7]] == [
        "seed3/simclr", "seed3/simclr/micle", *grid, "seed3/simclr/micle/finetune-0.1",
    ]  # fmt: skip
    assert [run.kind for run in runs[:7]] == ["stage"] * 2 + ["grid"] * 4 + ["judged"]
    assert {run.parent for run in runs[2:7]} == {"seed3/simclr/micle"}
    assert all(run.seed == 3 for run in runs if run.kind == "grid")
    later = by_path(runs)["seed1/simclr/micle/finetune-0.1"]
    assert later.chosen_from == runs[6].chosen_from == tuple(grid)  # of the first seed alone
    assert later.parent == "seed1/simclr/micle"
    assert by_path(runs)["seed1/simclr/finetune-0.1"].chosen_from[0].startswith("seed3/simclr/fin")


def test_flags_of_runs():
    runs = by_path(planned(study_of(), {}))
    simclr = runs["seed1/simclr"].flags
    assert simclr == {
        "mode": "pretrain", "dataset": "derm_cases", "image_size": 64,
        "method": "simclr", "train_steps": 700, "use_blur": False, "seed": 1,
    }  # fmt: skip
    assert next(iter(simclr)) == "mode"
    few = {"mode": "finetune", "dataset": "derm_cases", "image_size": 64, "label_fraction": 0.1}
    assert runs["seed1/simclr/finetune-0.1"].flags == few | {"seed": 1}
    del few["label_fraction"]  # which is all of them
    assert runs["seed1/simclr/finetune-1"].flags == few | {"seed": 1}
    choice = {"learning_rate": 0.01, "weight_decay": 0.0}
    tried = runs["seed0/finetune-1-grid/learning_rate_0.01-weight_decay_0"]
    assert tried.flags == few | {"seed": 0, "eval_split": "validation"} | choice
    assert tried.choice == choice and runs["seed0/finetune-1"].choice == {}
    nih = runs["seed0/simclr/finetune-0.1/nih"]
    expected = {"mode": "evaluate", "dataset": "nih_chest_xray14", "image_size": 64, "seed": 0}
    assert nih.flags == expected and (nih.kind, nih.fraction) == ("transfer", 0.1)


def test_all_transfers_are_of_the_run_that_is_judged():
    """An evaluation has no weights that another could start from."""
    runs = by_path(planned(study_of(), {}))
    for stage in ("nih", "again"):
        assert runs[f"seed0/simclr/finetune-1/{stage}"].parent == "seed0/simclr/finetune-1"


def test_variants_with_the_same_prefix_share_runs():
    runs = by_path(planned(study_of(), {}))
    assert runs["seed0/simclr"].variants == ("micle", "there", "here")
    assert runs["seed0/simclr/micle"].variants == ("micle",)
    assert runs["seed1/simclr/finetune-1"].variants == ("there", "here")
    assert runs["seed0/simclr/finetune-1/again"].variants == ("there", "here")
    assert runs["seed0/simclr/finetune-1/nih"].variants == ("there",)


def test_a_stage_is_judged_in_one_place_and_only_trained_in_another():
    variants = VARIANTS | {"twice": ["finetune", "linear_eval"]}
    study = study_of(variants, grid={"linear_eval": {"image_size": [32, 48]}})
    runs = by_path(planned(study, {}))
    trained, judged = runs["seed0/finetune"], runs["seed0/finetune-0.1"]
    assert (trained.kind, judged.kind) == ("stage", "judged") and trained.fraction is None
    assert judged.flags == trained.flags | {"label_fraction": 0.1}
    # What the grid decides is not said beside it, and stays what it is in common elsewhere.
    assert "image_size" not in runs["seed0/finetune/linear_eval-1"].flags
    assert trained.flags["image_size"] == 64
    tried = runs["seed0/finetune/linear_eval-1-grid/image_size_32"]
    assert tried.flags["image_size"] == 32


# ---------------------------------------------------------------- properties


def some_study(seed):
    """The parts of a random study: variants, seeds and fractions."""
    draw = random.Random(seed)
    names = draw.sample(list(VARIANTS), draw.randint(1, len(VARIANTS)))
    seeds = draw.sample(range(10), draw.randint(1, 3))
    return names, seeds, sorted(draw.sample([0.01, 0.1, 0.3, 1.0], draw.randint(1, 3)))


def planned_of(names, seeds, fractions):
    chains = {name: VARIANTS[name] for name in names}
    return planned(study_of(chains, seeds=seeds, fractions=fractions), {})


@pytest.mark.parametrize("seed", range(12))
def test_parents_and_what_is_chosen_from_come_before(seed):
    runs = planned_of(*some_study(seed))
    place = {run.path: k for k, run in enumerate(runs)}
    assert len(place) == len(runs)  # paths are unique
    for run in runs:
        for before in (*filter(None, [run.parent]), *run.chosen_from):
            assert place[before] < place[run.path]
        assert all(runs[place[path]].kind == "grid" for path in run.chosen_from)
        assert run.variants and len(set(run.variants)) == len(run.variants)
    assert [run.seed for run in runs] == sorted(
        (r.seed for r in runs), key=some_study(seed)[1].index
    )


@pytest.mark.parametrize("seed", range(12))
def test_what_is_added_leaves_the_runs_that_were_there(seed):
    names, seeds, fractions = some_study(seed)
    before = planned_of(names, seeds, fractions)
    more = [name for name in VARIANTS if name not in names]
    for added in (
        planned_of([*names, *more], seeds, fractions),
        planned_of([*more, *names], seeds, fractions),
        planned_of(names, [*seeds, 17], fractions),
        planned_of(names, seeds, [min(fractions) / 2, *fractions]),
    ):
        after = by_path(added)
        for run in before:
            same = after[run.path]
            assert set(run.variants) <= set(same.variants)
            left = dict(vars(same)) | {"variants": run.variants}
            assert left == vars(run)


@pytest.mark.parametrize("seed", range(4))
def test_a_command_says_the_flags(seed):
    runs = planned_of(*some_study(seed))
    known = by_path(runs)
    for run in runs:
        chosen = choose(run, known, dict.fromkeys(known, 0.5))
        words = command(run, "studies/four ways", chosen)
        assert words[0] == f"--mode={run.flags['mode']}"
        stated = parse_words(words)
        expected = run.flags | chosen | {"model_dir": f"studies/four ways/{run.path}"}
        if run.parent:
            expected["checkpoint"] = f"studies/four ways/{run.parent}"
        assert stated.values == expected
        assert not stated.notes and not stated.flagfiles
        assert all(type(stated.values[name]) is type(expected[name]) for name in expected)
        assert Config.of_mode(**stated.values) == Config.of_mode(**expected)


def test_a_command_as_it_is_typed(tmp_path):
    run = planned(plain(fractions=(0.1,)), {})[2]
    assert command(run, tmp_path, {"use_blur": True}) == [
        "--mode=linear_eval", "--dataset=derm_cases", "--image_size=64", "--seed=0",
        "--label_fraction=0.1", "--use_blur=true", f"--checkpoint={tmp_path}/seed0/simclr",
        f"--model_dir={tmp_path}/seed0/simclr/linear_eval-0.1",
    ]  # fmt: skip


def test_weights_of_others_stay_what_a_chain_begins_with():
    stages = STAGES | {"simclr": STAGES["simclr"] | {"checkpoint": "~/r50"}}
    first, second = planned(plain(stages=stages, fractions=(1,), seeds=(0,)), {})[1:]
    weights = os.path.expanduser("~/r50")
    assert first.flags["checkpoint"] == weights and "checkpoint" not in second.flags
    assert parse_words(command(first, "a", {})).values["checkpoint"] == weights
    assert parse_words(command(second, "a", {})).values["checkpoint"] == "a/seed0/simclr"


# ---------------------------------------------------------------- what is chosen


def with_a_grid(**select):
    """A run that is chosen for, and all runs by their paths."""
    runs = by_path(planned(study_of(select=select, seeds=(0,), primary="case/ece"), {}))
    return runs["seed0/finetune-1"], runs


@pytest.mark.parametrize(
    "select, values, best",
    [
        ("case/auc_macro", (0.1, 0.9, 0.3, 0.2), 1),
        ("case/auc_macro", (0.1, 0.3, 0.3, 0.2), 1),
        ("case/auc_macro", (math.nan, 0.2, math.nan, 0.3), 3),
        ("case/auc_macro", (-math.inf, math.nan, math.nan, math.nan), 0),
        ("case/brier", (0.1, 0.9, 0.3, 0.2), 0),
        ("case/brier", (0.3, math.nan, 0.1, 0.1), 2),
        ("", (0.4, 0.9, 0.3, 0.2), 3),  # by the primary one, ECE
    ],
)
def test_the_best_of_a_grid(select, values, best):
    run, runs = with_a_grid(**({"finetune": select} if select else {}))
    assert run.metric == (select or "case/ece")
    measured = dict(zip(run.chosen_from, values, strict=True))
    rates = [(0.001, 0.0), (0.001, 1e-4), (0.01, 0.0), (0.01, 1e-4)]
    expected = dict(zip(("learning_rate", "weight_decay"), rates[best], strict=True))
    assert choose(run, runs, measured) == expected


def test_nothing_is_chosen_where_nothing_is_defined():
    run, runs = with_a_grid(finetune="case/auc_macro")
    with pytest.raises(
        BadInput, match=r"^\[grid\.finetune\]: case/auc_macro is not defined in any"
    ):
        choose(run, runs, dict.fromkeys(run.chosen_from, math.nan))
    assert choose(runs["seed0/simclr"], runs, {}) == {}


@pytest.mark.parametrize(
    "metric, lower",
    [
        ("ece", True), ("case/ece_mean", True), ("calibrated/case/findings/ece/Edema", True),
        ("brier/naevus", True), ("image/brier", True), ("loss", True), ("log_loss", True),
        ("case/auc_macro", False), ("", False), ("recall_ece", False), ("briers", False),
        ("case/sensitivity/loss@specificity=0.9", False), ("findings/auc/ece", False),
    ],
)  # fmt: skip
def test_metrics_of_which_low_values_are_good(metric, lower):
    assert lower_is_better(metric) == lower


@pytest.mark.parametrize(
    "value, text",
    [
        (0.0, "0"), (1.0, "1"), (0.1, "0.1"), (1e-5, "1e-05"), (0.12345678, "0.12345678"),
        (-1, "-1"), (3, "3"), (True, "true"), (False, "false"), ("adam", "adam"),
    ],
)  # fmt: skip
def test_values_in_paths(value, text):
    assert spelled(value) == text


# ---------------------------------------------------------------- what is typed


def test_typed_flags_are_of_all_runs_that_read_them():
    typed = {"data_dir": "data", "resnet_depth": 10, "bootstrap_samples": 50}
    runs = by_path(planned(study_of(), typed))
    assert {run.flags["data_dir"] for run in runs.values()} == {"data"}
    assert runs["seed0/simclr"].flags["resnet_depth"] == 10
    assert "bootstrap_samples" not in runs["seed0/simclr"].flags
    nih = runs["seed0/simclr/finetune-1/nih"].flags
    assert nih["bootstrap_samples"] == 50 and "resnet_depth" not in nih


def test_data_that_is_typed_is_of_all_that_name_none():
    study = study_of()
    typed = {"dataset": "derm_cases", "manifest": "cases.csv", "findings": "all"}
    runs = by_path(planned(study, typed))
    assert runs["seed0/simclr"].flags["manifest"] == "cases.csv"
    again, nih = (runs[f"seed0/simclr/finetune-1/{stage}"].flags for stage in ("again", "nih"))
    assert again["manifest"] == "cases.csv" and again["findings"] == "all"
    assert nih["dataset"] == "nih_chest_xray14" and not {"manifest", "findings"} & nih.keys()
    with pytest.raises(BadInput) as refused:
        planned(study, {"dataset": "cifar10"})
    assert str(refused.value) == (
        "--dataset=cifar10: four_ways states dataset as derm_cases; leave one of them out"
    )


def test_a_home_is_the_same_however_it_is_spelled():
    text = """
        manifest = "~/cases.csv"
        stages.linear_eval.mode = "linear_eval"
        variants.random = ["linear_eval"]
    """
    study = parse(text, "a")
    path = os.path.expanduser("~/cases.csv")
    for typed in ({}, {"manifest": path}, {"manifest": "~/cases.csv"}):
        (run,) = planned(study, typed)
        assert run.flags == {"mode": "linear_eval", "manifest": path, "seed": 0}


@pytest.mark.parametrize(
    "typed, message",
    [
        ({"image_size": 64}, "--image_size=64: four_ways states image_size in [common]; leave one"),
        (
            {"use_blur": True},
            "--use_blur=true: four_ways states use_blur in [stages.simclr]; leave",
        ),
        ({"weight_decay": 0.1}, "--weight_decay=0.1: four_ways states weight_decay in [grid.finet"),
        ({"seed": 3}, "--seed=3: no flag of a whole study; seeds = [0, 1, 2] at the top of the"),
        (
            {"label_fraction": 1.0},
            "--label_fraction=1.0: no flag of a whole study; label_fractions",
        ),
        ({"checkpoint": "a"}, "--checkpoint=a: no flag of a whole study; a run starts from the st"),
        ({"eval_split": "test"}, "--eval_split=test: no flag of a whole study; runs are judged on"),
        ({"mode": "finetune"}, "--mode=finetune: no flag of a whole study; each stage states its"),
        ({"model_dir": "a"}, "--model_dir=a: no flag of a whole study; the study's directory has"),
        ({"dry_run": True}, "--dry_run=true: no flag of a whole study; it is of a single run"),
        ({"export_name": "a"}, "--export_name=a: no stage of four_ways reads it"),
    ],
)
def test_typed_flags_that_cannot_be(typed, message):
    with pytest.raises(BadInput) as refused:
        planned(study_of(), typed)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_names_that_no_folder_can_have():
    long = {"mode": "linear_eval"}
    assert planned(study_of({"a": ["a" * 251]}, stages={"a" * 251: long}), {})
    with pytest.raises(BadInput) as refused:
        planned(study_of({"a": ["a" * 252]}, stages={"a" * 252: long}), {})
    assert str(refused.value) == (
        f"{'a' * 252}-0.1: no folder has a name of over 255 bytes; shorter names give one"
    )
    flags = ["learning_rate", "weight_decay", "momentum", "warmup_epochs", "rotation_degrees"]
    flags += ["crop_area_min", "color_jitter_strength"]
    grid = {flag: [0.12345678901234567] for flag in flags}
    longest = planned(study_of(grid={"finetune": grid}), {})
    assert max(len(name) for run in longest for name in run.path.split("/")) == 242
    with pytest.raises(
        BadInput, match=r"over 255 bytes; \[grid\.finetune\]: fewer flags give one$"
    ):
        planned(study_of(grid={"finetune": grid | {"use_blur": [True]}}), {})


def test_a_grid_is_of_most_labels_and_what_it_chose_is_taken_with_fewer_too():
    runs = by_path(planned(study_of({"micle": VARIANTS["micle"]}, fractions=(0.1, 0.5)), {}))
    grid = [run for run in runs.values() if run.kind == "grid"]
    assert {run.fraction for run in grid} == {run.flags["label_fraction"] for run in grid} == {0.5}
    judged = [run for run in runs.values() if run.kind == "judged"]
    assert len(judged) == 4 and {run.chosen_from for run in judged} == {tuple(r.path for r in grid)}
    order = list(runs)
    first = min(order.index(run.path) for run in judged)
    assert max(order.index(run.path) for run in grid) < first


def test_a_loss_is_better_where_it_is_lower_and_auto_is_no_preset():
    run, runs = with_a_grid(finetune="validation/loss")
    worst = {path: float(k) for k, path in enumerate(run.chosen_from)}
    assert choose(run, runs, worst) == runs[run.chosen_from[0]].choice
    table = '[stages.f]\nmode = "finetune"\npreset = "{}"\n[variants]\nx = ["f"]'
    flags = [planned(parse(table.format(name), "s"), {})[0].flags for name in ("auto", "laptop")]
    assert "preset" not in flags[0] and flags[1]["preset"] == "laptop"
