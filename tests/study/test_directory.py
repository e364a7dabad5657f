"""What a study keeps beside its runs: read by whoever joins, written by one at a time."""

import dataclasses
import json
import multiprocessing
import os

import pytest

from micle_tf.errors import BadInput
from micle_tf.study.directory import FILE, Machine, StudyDirectory, decided_words
from micle_tf.study.reading import parse
from micle_tf.study.runs import Planned, planned
from micle_tf.training.lock import RunLock

TEXT = """
dataset = "derm_cases"
seeds = [0, 1]
[stages.simclr]
mode = "pretrain"
train_steps = 7
[stages.finetune]
mode = "finetune"
[stages.linear_eval]
mode = "linear_eval"
[stages.nih]
mode = "evaluate"
dataset = "nih_chest_xray14"
[variants]
random = ["linear_eval"]
supervised = ["finetune"]
simclr = ["simclr", "finetune", "nih"]
[grid.finetune]
learning_rate = [0.01, 0.1]
"""
PLACES = multiprocessing.get_context("forkserver")
PLACES.set_forkserver_preload(["tests.study.fake_runs", "micle_tf.study.working"])


def runs_of(text=TEXT, **typed):
    return planned(parse(text, "mine"), typed)


RUNS = runs_of()
BY_PATH = {run.path: run for run in RUNS}
SIMCLR = BY_PATH["seed0/simclr"]


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "study")


def begun(directory, *paths):
    """Those runs of a study, begun."""
    for path in paths:
        folder = os.path.join(directory.path, path)
        os.makedirs(folder)
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            file.write("{}")


def kept_in(place):
    with open(os.path.join(place, FILE), encoding="utf-8") as file:
        return json.load(file)


def write(place, content):
    with open(os.path.join(place, FILE), "w", encoding="utf-8") as file:
        json.dump(content, file)


def refusal(function, *given):
    with pytest.raises(BadInput) as refused:
        function(*given)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# ---------------------------------------------------------------- which folder


def test_nothing_is_written_before_there_is_something_to_keep(place):
    directory = StudyDirectory(place)
    directory.check(RUNS)
    assert directory.decided(SIMCLR) == [] and directory.decide(SIMCLR, []) == []
    assert not os.path.exists(place)
    directory.keep(RUNS, "data")
    assert os.listdir(place) == [FILE]
    assert directory.run(SIMCLR) == os.path.join(place, "seed0/simclr")


def test_what_is_kept_is_there_for_the_next_one(place):
    StudyDirectory(place).keep(RUNS[:3], "data")
    StudyDirectory(place).keep(RUNS[2:], "data")
    StudyDirectory(place).decide(SIMCLR, ["--preset=paper"])
    kept = kept_in(place)
    assert list(kept["runs"]) == [run.path for run in RUNS]
    assert kept["runs"]["seed0/simclr"] == {"flags": SIMCLR.flags, "choice": []}
    assert kept["decided"] == {"simclr": ["--preset=paper"]}


@pytest.mark.parametrize("there", [[], ["lock"], ["lock", f"unfinished-{FILE}"]])
def test_a_folder_that_is_empty_or_just_begun_is_taken(place, there):
    os.makedirs(place)
    for name in there:
        open(os.path.join(place, name), "w").close()
    StudyDirectory(place).keep(RUNS, "data")
    assert os.listdir(place) == [FILE]


def test_a_folder_of_something_else_is_left_alone(place):
    os.makedirs(os.path.join(place, "photos"))
    assert refusal(StudyDirectory, place) == (
        f"--model_dir={place}: not empty, and no study (no {FILE}); choose another"
    )
    assert os.listdir(place) == ["photos"]


def test_places_where_no_study_can_lie(tmp_path, place):
    file = tmp_path / "file"
    file.write_text("")
    assert refusal(StudyDirectory, str(file)) == f"--model_dir={file}: is a file"
    for remote in ("gs://bucket/study", "file:///tmp/study"):
        assert refusal(StudyDirectory, remote) == (
            f"--model_dir={remote}: a study lies in a folder that is mounted here"
        )
    assert "TensorFlow cannot read where there is a [" in refusal(StudyDirectory, f"{place}[1]")
    below = StudyDirectory(str(file / "below"))
    assert refusal(below.keep, RUNS, "data").startswith(
        f"--model_dir={file}/below: cannot be written: Not"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"{}", b'{"decided": {}}', b"\xff", b"[" * 100_000,
        b'{"decided": [], "runs": {}}', b'{"decided": {}, "runs": {"seed0/a": 3}}',
        b'{"decided": {}, "runs": {"seed0/a": {"flags": 3, "choice": []}}}',
        b'{"decided": {"a": 3}, "runs": {}}',
        *(
            b'{"format": %s, "decided": {}, "runs": {}}' % number
            for number in (b"0", b'"2"', b"true", b"1.5", b"null")
        ),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(place, content):
    os.makedirs(place)
    with open(os.path.join(place, FILE), "wb") as file:
        file.write(content)
    said = refusal(StudyDirectory, place)
    assert said.startswith(f"--model_dir={place}: its {FILE} is damaged (")
    assert said.endswith("); choose another")


def test_a_file_has_a_format_and_one_without_is_of_the_first(place):
    StudyDirectory(place).keep(RUNS[:2], "data")
    kept = kept_in(place)
    assert next(iter(kept.items())) == ("format", 1)
    del kept["format"]
    write(place, kept)
    directory = StudyDirectory(place)
    begun(directory, "seed0/linear_eval-1")
    assert directory.check(RUNS) is None
    directory.keep(RUNS, "data")
    now = kept_in(place)
    assert now["format"] == 1 and now["runs"].keys() == set(BY_PATH)


def test_a_file_of_a_newer_version_is_refused_and_left(place):
    directory = StudyDirectory(place)
    directory.keep(RUNS, "data")
    newer = {"format": 2, "of_tomorrow": []}
    write(place, newer)
    message = (
        f"--model_dir={place}: its {FILE} was written by a newer version (format 2, and this one "
        "knows 1); go on with that one"
    )
    assert refusal(StudyDirectory, place) == message
    assert refusal(directory.keep, RUNS, "data") == message
    assert kept_in(place) == newer


# ---------------------------------------------------------------- settings that changed


def changed(name, value, stage="simclr"):
    """The runs of the study with another flag of a stage; None for without it."""
    return tuple(
        dataclasses.replace(
            run, flags={k: v for k, v in (run.flags | {name: value}).items() if v is not None}
        )
        if run.stage == stage
        else run
        for run in RUNS
    )


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("train_steps", 8, "--train_steps=7, and the study has --train_steps=8 now"),
        ("train_steps", None, "--train_steps=7, and the study has no train_steps now"),
        ("use_blur", False, "no use_blur, and the study has --use_blur=false now"),
        ("mode", "finetune", "--mode=pretrain, and the study has --mode=finetune now"),
        ("dataset", "scin", "--dataset=derm_cases, and the study has --dataset=scin now"),
    ],
)
def test_a_run_that_was_begun_otherwise_is_named_with_both_values(place, name, value, words):
    directory = StudyDirectory(place)
    directory.keep(RUNS, "data")
    runs = changed(name, value)
    directory.check(runs)  # as long as none of them is there
    begun(directory, "seed0/finetune-1", "seed1/simclr")
    directory.check(RUNS)
    assert refusal(StudyDirectory(place).check, runs) == (
        f"--model_dir={place}/seed1/simclr: was begun with {words}; give the stage another name, "
        "or choose another --model_dir"
    )


def test_where_data_lies_differs_from_machine_to_machine(place):
    text = TEXT.replace('dataset = "derm_cases"', "", 1)
    here, there = ("/here/cases.csv", "/here"), ("/there/cases.csv", "/there")
    runs = [runs_of(text, manifest=manifest, data_dir=data) for manifest, data in (here, there)]
    StudyDirectory(place).keep(runs[0], "data")
    begun(StudyDirectory(place), "seed0/simclr", "seed0/linear_eval-1")
    assert StudyDirectory(place).check(runs[1]) is None


def test_a_flag_of_another_version_is_let_be(place):
    directory = StudyDirectory(place)
    directory.keep(changed("flag_of_tomorrow", 3), "data")
    begun(directory, "seed0/simclr")
    assert directory.check(RUNS) is None


@pytest.mark.parametrize(
    "more", ["weight_decay = [0, 1e-4]", "[select]\nfinetune = \"image/top1\""]
)  # fmt: skip
def test_a_run_stays_what_its_grid_chose(place, more):
    """Who adds to a grid would else have tables of what the smaller one chose."""
    directory = StudyDirectory(place)
    directory.keep(RUNS, "data")
    runs = runs_of(TEXT + more)
    begun(directory, "seed0/linear_eval-1")
    directory.check(runs)
    begun(directory, "seed0/simclr/finetune-1")
    assert refusal(directory.check, runs) == (
        f"--model_dir={place}/seed0/simclr/finetune-1: was begun with what another grid, or "
        "another metric, chose; give the stage another name, or choose another --model_dir"
    )


@pytest.mark.parametrize(
    "seeds, fractions, grid",
    [([0, 1], [1.0, 0.5], ""), ([1, 0], [0.5, 1.0], "seed1/simclr/finetune-1-grid"),
     ([1], [0.5, 1.0], "seed1/simclr/finetune-1-grid"),
     ([0, 1], [0.5], "seed0/simclr/finetune-0.5-grid")],
)  # fmt: skip
def test_a_grid_keeps_its_seed_and_its_fraction(place, seeds, fractions, grid):
    """Fractions may come in any order."""
    given = lambda seeds, fractions: runs_of(
        TEXT.replace("seeds = [0, 1]", f"seeds = {seeds}\nlabel_fractions = {fractions}")
    )
    directory = StudyDirectory(place)
    directory.keep(given([0, 1], [0.5, 1.0]), "data")
    begun(directory, "seed1/simclr/finetune-0.5")
    if not grid:
        assert directory.check(given(seeds, fractions)) is None
        return
    assert refusal(directory.check, given(seeds, fractions)) == (
        f"--model_dir={place}/seed1/simclr/finetune-0.5: was begun with what "
        "seed0/simclr/finetune-1-grid chose, and by the first seed and the largest fraction it is "
        f"{grid} now; give the stage another name, or choose another --model_dir"
    )


def test_more_variants_seeds_and_fractions_change_no_run(place):
    directory = StudyDirectory(place)
    directory.keep(RUNS, "data")
    begun(directory, *BY_PATH)
    more = TEXT.replace("seeds = [0, 1]", "seeds = [0, 1, 2]\nlabel_fractions = [0.1, 1.0]")
    more = more.replace("[grid", 'again = ["simclr", "linear_eval"]\n[grid')
    assert directory.check(runs_of(more)) is None


# ---------------------------------------------------------------- what a machine decided


def test_runs_of_a_stage_decide_alike_and_those_from_another_by_themselves(place):
    directory = StudyDirectory(place)
    first, second = BY_PATH["seed0/finetune-1"], BY_PATH["seed1/finetune-1"]
    behind = BY_PATH["seed0/simclr/finetune-1"]
    assert directory.decide(first, ["--preset=laptop"]) == ["--preset=laptop"]
    assert directory.decide(second, ["--preset=gpu"]) == ["--preset=laptop"]
    assert directory.decided(first) == directory.decided(second) == ["--preset=laptop"]
    assert directory.decided(behind) == []
    assert directory.decide(behind, ["--train_batch_size=8"]) == ["--train_batch_size=8"]
    assert StudyDirectory(place).decided(second) == ["--preset=laptop"]


@pytest.mark.parametrize("path", ["seed0/simclr", "seed0/finetune-1", "seed0/linear_eval-1"])
@pytest.mark.parametrize(
    "machine, words",
    [
        (Machine("laptop", 96, ""), ["--preset=laptop"]),
        (Machine("gpu", 512, ""), ["--preset=gpu", "--train_batch_size=512"]),
        (Machine("paper", 512, ""), ["--preset=paper"]),
        (Machine("paper", 512, "flags/a.flags"), ["--flagfile=flags/a.flags"]),
        (Machine("laptop", 96, "flags/a.flags"), ["--preset=laptop"]),
    ],
)
def test_words_that_make_another_machine_decide_alike(path, machine, words):
    trains = not path.endswith("linear_eval-1")
    assert decided_words(BY_PATH[path], machine) == words[: 2 if trains else 1]


@pytest.mark.parametrize("preset", ["laptop", "gpu", "paper"])
def test_a_run_from_another_has_its_preset_and_a_batch_of_its_own(preset):
    batch = ["--train_batch_size=512"] * (preset == "gpu")
    machine = Machine(preset, 512, "flags/a.flags")
    assert decided_words(BY_PATH["seed0/simclr/finetune-1"], machine) == batch
    assert decided_words(BY_PATH["seed0/simclr/finetune-1/nih"], machine) == []


def test_what_is_stated_is_not_decided():
    run = lambda **flags: dataclasses.replace(SIMCLR, flags=SIMCLR.flags | flags)
    gpu = Machine("gpu", 512, "")
    assert decided_words(run(train_batch_size=8), gpu) == ["--preset=gpu"]
    assert decided_words(run(preset="gpu"), gpu) == ["--train_batch_size=512"]
    assert decided_words(run(preset="gpu", train_batch_size=8), gpu) == []
    assert decided_words(run(preset="laptop"), Machine("laptop", 96, "")) == []


# ---------------------------------------------------------------- several processes


def join(place, name, ready, answers):
    """As a process that joins a study: keeps runs of its own, and wants a word of its own."""
    ready.wait(180)
    directory = StudyDirectory(place)
    mine = [
        Planned(path=f"{name}/{k}", stage="a", kind="stage", parent="", flags={}, seed=0)
        for k in range(5)
    ]
    for run in mine:
        directory.keep([run], "data")
    answers.put((name, directory.decide(mine[0], [f"--preset={name}"]), directory.decided(mine[1])))


def test_of_many_that_decide_one_is_first_and_nothing_is_lost(place):
    """And whoever reads meanwhile, without a lock, finds the file whole."""
    ready, answers = PLACES.Barrier(4), PLACES.Queue()
    others = [PLACES.Process(target=join, args=(place, f"p{k}", ready, answers)) for k in range(3)]
    for one in others:
        one.start()
    ready.wait(180)
    while any(one.is_alive() for one in others):
        StudyDirectory(place)
    found = [answers.get(timeout=10) for _ in others]
    for one in others:
        one.join()
    kept = kept_in(place)
    assert kept["runs"].keys() == {f"p{k}/{run}" for k in range(3) for run in range(5)}
    words = kept["decided"]["a"]
    assert words[0] in {f"--preset=p{k}" for k in range(3)}
    assert [of[1:] for of in sorted(found)] == [(words, words)] * 3
    assert os.listdir(place) == [FILE]


def test_the_lock_is_let_go_whatever_happens(place):
    directory = StudyDirectory(place)
    with pytest.raises(ZeroDivisionError), directory.locked():
        raise ZeroDivisionError
    with open(os.path.join(place, FILE), "w", encoding="utf-8") as file:
        file.write("[]")  # as if somebody damaged it since
    assert "is damaged" in refusal(directory.keep, RUNS, "data")
    with RunLock(place):
        pass


def test_a_study_keeps_to_its_data(place):
    StudyDirectory(place).keep(RUNS, "derm_cases/manifest-1")
    StudyDirectory(place).check_data("derm_cases/manifest-1")
    message = r"its runs are judged on derm_cases/manifest-1, and the data is derm_cases/manifest-2"
    with pytest.raises(BadInput, match=message):
        StudyDirectory(place).check_data("derm_cases/manifest-2")
    with pytest.raises(BadInput, match=message):
        StudyDirectory(place).keep(RUNS, "derm_cases/manifest-2")


def test_a_run_from_another_outside_the_study_takes_its_preset_over(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    run = dataclasses.replace(RUNS[0], flags=RUNS[0].flags | {"checkpoint": str(tmp_path)})
    assert decided_words(run, Machine("laptop", 96, "")) == []
    weights = dataclasses.replace(RUNS[0], flags=RUNS[0].flags | {"checkpoint": "r50.keras"})
    assert decided_words(weights, Machine("laptop", 96, "")) == ["--preset=laptop"]
