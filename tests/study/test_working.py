"""The work of a study: in which order, what of it fails, and who does it of several processes."""

import contextlib
import gc
import json
import multiprocessing
import os
import time

import pytest

from micle_tf import exits
from micle_tf.errors import BadInput, Held, Preempted, Stopped
from micle_tf.study import directory, working
from micle_tf.study.directory import Machine, StudyDirectory
from micle_tf.study.reading import parse
from micle_tf.study.runs import planned
from micle_tf.study.working import Work, is_held, metric_of, read_result
from micle_tf.training.lock import LOCK_FILE, RunLock
from tests.study.fake_runs import FakeRuns, add_line, finished, lines, nothing, slow

TEXT = """
dataset = "derm_cases"
seeds = [0, 1]
[stages.simclr]
mode = "pretrain"
[stages.finetune]
mode = "finetune"
[stages.nih]
mode = "evaluate"
dataset = "nih_chest_xray14"
[variants]
supervised = ["finetune"]
simclr = ["simclr", "finetune", "nih"]
"""
GRID = """
[grid.finetune]
learning_rate = [0.01, 0.1, 1.0]
"""
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.study.fake_runs", "micle_tf.study.working"])


def runs_of(text=TEXT):
    return planned(parse(text, "mine"), {})


PATHS = [run.path for run in runs_of()]


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "study")


@pytest.fixture
def begin(place, tmp_path):
    """A function from what befalls runs to (`Work`, `FakeRuns`, what tells the paths made)."""

    def started(during=nothing, text=TEXT, **others):
        runs = FakeRuns(tmp_path / "log", during, **others)
        work = Work(StudyDirectory(place), runs_of(text), runs)
        return work, runs, lambda: [os.path.relpath(path, place) for path in runs.made]

    return started


@pytest.fixture(autouse=True, scope="module")
def nothing_to_collect():
    """Fake runs leave nothing, and what is there already is long to look through after each."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch):
    monkeypatch.setattr(working, "_LOOK_EVERY", 0.05)


def befalls(what, *paths):
    """`during` of `FakeRuns`, in which that error befalls those runs."""

    def during(flags):
        if any(flags["model_dir"].endswith(path) for path in paths):
            raise what
        return {}

    return during


# ---------------------------------------------------------------- alone


def test_all_runs_are_made_once_and_in_their_order(begin):
    work, _, made = begin()
    assert not any(map(work.is_done, runs_of()))
    work.do()
    assert made() == PATHS and work.failed == {}
    assert all(map(work.is_done, runs_of()))
    work.do()
    begin()[0].do()
    assert made() == PATHS


def test_what_is_done_is_not_done_again(begin, place):
    StudyDirectory(place).keep(runs_of(), "data")
    finished(os.path.join(place, "seed0/simclr"))
    finished(os.path.join(place, "seed0/finetune-1"))
    work, _, made = begin()
    work.do()
    assert made() == [path for path in PATHS if path not in ("seed0/simclr", "seed0/finetune-1")]


def test_a_command_is_the_run_of_the_plan_with_what_was_decided(begin, place):
    work, runs, _ = begin(machine=Machine("gpu", 512, ""))
    work.do()
    by_path = {run.path: run for run in runs_of()}
    words = {run.path: work.command(run) for run in runs_of()}
    assert words["seed1/simclr/finetune-1"] == [
        "--mode=finetune", "--train_batch_size=512", "--dataset=derm_cases", "--seed=1",
        f"--checkpoint={place}/seed1/simclr", f"--model_dir={place}/seed1/simclr/finetune-1",
    ]  # fmt: skip
    assert words["seed1/simclr"][:3] == [
        "--mode=pretrain", "--preset=gpu", "--train_batch_size=512",
    ]  # fmt: skip
    assert by_path["seed1/simclr/finetune-1/nih"].kind == "transfer"
    assert words["seed1/simclr/finetune-1/nih"][:2] == [
        "--mode=evaluate", "--dataset=nih_chest_xray14",
    ]  # fmt: skip
    assert all(one in runs.prepared for one in words.values())


def test_what_another_machine_decided_holds(begin, place):
    begin(machine=Machine("laptop", 96, ""))[0].do()
    StudyDirectory(place)
    for run in runs_of():
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(place, run.path, "result.json"))
    work, runs, _ = begin(machine=Machine("gpu", 512, ""))
    work.do()
    of_seed_0 = [words for words in runs.prepared if f"--model_dir={place}/seed0/simclr" in words]
    assert all("--preset=laptop" in words for words in of_seed_0) and of_seed_0
    assert not any("--preset=gpu" in words for words in runs.prepared)


def test_notes_of_a_command_are_said_once(begin, capsys):
    work, runs, _ = begin()

    def with_note(words, decided):
        print(f"note of {words[-1]}")
        return runs(words)

    work._prepare = with_note
    work.do()
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note of")]
    assert len(said) == len(set(said)) == len(PATHS)


# ---------------------------------------------------------------- what fails


@pytest.mark.parametrize(
    "error, reason",
    [
        (BadInput("--a=b: no"), "--a=b: no"),
        (Stopped("the loss is nan"), "the loss is nan"),
        (ZeroDivisionError("one line\nand another"), "ZeroDivisionError: one line"),
        (MemoryError(), "MemoryError: "),
    ],
)
def test_what_fails_leaves_what_needs_it_and_nothing_else(begin, capsys, error, reason):
    work, _, made = begin(befalls(error, "seed0/simclr"))
    work.do()
    left = ["seed0/simclr/finetune-1", "seed0/simclr/finetune-1/nih"]
    assert made() == [path for path in PATHS if path not in left]
    assert work.failed == {"seed0/simclr": reason}
    assert f"error: seed0/simclr: {reason}\n" in capsys.readouterr().err
    again, _, made = begin()
    again.do()
    assert made()[-3:] == ["seed0/simclr", *left] and again.failed == {}
    assert all(map(again.is_done, runs_of()))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Preempted("step 7 is saved")])
def test_an_interrupt_ends_the_work_at_once(begin, error):
    work, _, made = begin(befalls(error, "seed0/simclr"))
    with pytest.raises(type(error)):
        work.do()
    assert made() == ["seed0/finetune-1", "seed0/simclr"] and work.failed == {}
    begin()[0].do()
    assert made()[2:] == PATHS[1:]


def test_an_interrupt_that_native_code_made_an_error_of_ends_it_too(begin, monkeypatch):
    monkeypatch.setattr(exits, "is_ending", lambda: True)
    work, _, made = begin(befalls(AttributeError("no '_type_spec'"), "seed0/simclr"))
    with pytest.raises(AttributeError):
        work.do()
    assert made() == ["seed0/finetune-1", "seed0/simclr"]


def test_a_command_that_cannot_be_prepared_fails_alone(begin):
    work, runs, made = begin()

    def refuses(words, decided):
        if "--seed=0" in words and words[0] == "--mode=pretrain":
            raise BadInput("no such weights")
        return runs(words)

    work._prepare = refuses
    work.do()
    assert work.failed == {"seed0/simclr": "no such weights"}
    assert "seed1/simclr/finetune-1/nih" in made() and "seed0/simclr" not in made()


# ---------------------------------------------------------------- grids


def on_validation(metrics):
    """`during` in which runs of a grid have, of each metric, the value of their learning rate."""

    def during(flags):
        if flags.get("eval_split") != "validation":
            return {}
        return {name: values[flags["learning_rate"]] for name, values in metrics.items()}

    return during


@pytest.mark.parametrize(
    "metrics, select, best",
    [
        ({"image/auc_macro": {"0.01": 0.7, "0.1": 0.9, "1.0": 0.8}}, "", "0.1"),
        ({"image/auc_macro": {"0.01": 0.9, "0.1": 0.9, "1.0": None}}, "", "0.01"),
        (
            {
                "image/auc_macro": {"0.01": 0.9, "0.1": 0.8, "1.0": 0.7},
                "case/auc_macro": {"0.01": 0.7, "0.1": 0.8, "1.0": 0.9},
            },
            "", "1.0",
        ),
        (
            {
                "case/auc_macro": {"0.01": 0.9, "0.1": 0.8, "1.0": 0.7},
                "case/brier": {"0.01": 0.3, "0.1": 0.1, "1.0": 0.2},
            },
            "case/brier", "0.1",
        ),
    ],
)  # fmt: skip
def test_the_best_of_a_grid_is_in_the_command(begin, capsys, metrics, select, best):
    text = TEXT + GRID + f'[select]\nfinetune = "{select}"' * bool(select)
    work, _, made = begin(on_validation(metrics), text)
    work.do()
    said, runs = capsys.readouterr().out, runs_of(text)
    judged = [run for run in runs if run.kind == "judged"]
    assert made() == [run.path for run in runs] and len(judged) == 4
    for run in judged:
        tried = [word for word in work.command(run) if word.startswith("--learning_rate=")]
        assert tried == [f"--learning_rate={best}"]
        line = f"study: {run.path}: chosen on validation: --learning_rate={best}\n"
        assert said.count(line) == 1


def test_a_grid_without_the_metric_fails_where_it_is_needed(begin):
    work, _, made = begin(text=TEXT + GRID)
    work.do()
    judged = [path for path in PATHS if path.endswith("finetune-1")]
    assert list(work.failed) == judged and not set(judged) & set(made())
    assert work.failed["seed0/finetune-1"].startswith("[grid.finetune]: the AUC is not defined")


def test_one_run_of_a_grid_that_fails_is_waited_for(begin):
    fails = befalls(Stopped("nan"), "seed0/finetune-1-grid/learning_rate_1")
    work, _, made = begin(lambda flags: fails(flags) or {"image/auc_macro": 0.5}, TEXT + GRID)
    work.do()
    assert list(work.failed) == ["seed0/finetune-1-grid/learning_rate_1"]
    assert not {"seed0/finetune-1", "seed1/finetune-1"} & set(made())
    assert "seed1/simclr/finetune-1/nih" in made()


# ---------------------------------------------------------------- what is said of it


def test_seconds_left_are_those_of_the_same_stage(begin, place):
    StudyDirectory(place).keep(runs_of(), "data")
    work, _, _ = begin()
    assert work.seconds_left() == 0
    for path, seconds in [
        ("seed0/finetune-1", 10.0), ("seed1/finetune-1", 20.0), ("seed0/simclr", 100.0),
    ]:  # fmt: skip
        finished(os.path.join(place, path), seconds=seconds)
    assert work.seconds_left() == 0  # of an evaluation nothing is known
    finished(os.path.join(place, "seed0/simclr/finetune-1/nih"), seconds=None)
    assert work.seconds_left() == 100 + 2 * 15 + 0
    work.failed["seed1/simclr"] = "nan"
    assert work.seconds_left() == 2 * 15
    work.failed.clear()
    begin()[0].do()
    assert work.seconds_left() == 0


def test_progress_says_what_is_done_held_failed_and_left(begin, place, capsys):
    text = """
dataset = "derm_cases"
seeds = [0, 1, 2]
[stages.finetune]
mode = "finetune"
[variants]
supervised = ["finetune"]
"""
    StudyDirectory(place).keep(runs_of(text), "data")
    finished(os.path.join(place, "seed0/finetune-1"), seconds=50)
    work, _, _ = begin(befalls(BadInput("no"), "seed2/finetune-1"), text)
    work.do()
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("study: ")]
    assert said == [
        "study: 1 of 3 runs done, some 1 min 40 s left; now seed1/finetune-1",
        "study: 2 of 3 runs done, some 26 s left; now seed2/finetune-1",
    ]
    os.remove(os.path.join(place, "seed1/finetune-1/result.json"))
    with RunLock(os.path.join(place, "seed1/finetune-1")):
        work._say_progress(runs_of(text)[2])
    assert capsys.readouterr().out == (
        "\nstudy: 1 of 3 runs done, 1 at work elsewhere, 1 failed, some 25 s left; "
        "now seed2/finetune-1\n"
    )


def test_whether_somebody_is_at_a_run(tmp_path):
    place = str(tmp_path)
    assert not is_held(place) and not is_held(str(tmp_path / "nowhere"))
    with RunLock(place):
        assert is_held(place) and is_held(place)
    (tmp_path / LOCK_FILE).write_text("")  # of one that was killed
    assert not is_held(place)
    with RunLock(place):
        assert is_held(place)
    assert not list(tmp_path.iterdir())


def test_metrics_of_a_run(tmp_path):
    place = str(tmp_path / "run")
    finished(place, metrics={"image/auc_macro": 0.7, "case/auc_macro": None, "x": 1})
    assert metric_of(place, "x") == 1.0 and metric_of(place, "image/auc_macro") == 0.7
    assert all(value != value for value in (metric_of(place, ""), metric_of(place, "y")))
    finished(place, metrics={"findings/auc_mean": 0.5, "image/top1": 0.7})
    assert metric_of(place, "") == 0.5
    (tmp_path / "run/result.json").write_text("{}")
    assert metric_of(place, "") != metric_of(place, "")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"3", b"\xff", None, b"[]", b"[" * 100_000, b'{"metrics": null}',
        b'{"intervals": 3}',
    ],
)  # fmt: skip
def test_a_damaged_result_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(
        BadInput, match=r"its result\.json is damaged \(.*\); remove it, and"
    ) as error:
        read_result(str(tmp_path))
    assert str(error.value).startswith(f"{tmp_path}: ") and "\n" not in str(error.value)


# ---------------------------------------------------------------- several at once


def test_a_run_that_another_process_takes_first_is_left_to_it(begin, place):
    """It is no failure, and what needs it is made when the other one has finished it."""
    work, runs, made = begin()
    turns = []

    def too_late(words, decided):
        command = runs(words)
        if words[-1].endswith("seed0/simclr") and len(turns) < 3:
            turns.append(words)
            command.run = lambda: (_ for _ in ()).throw(Held("in use"))
        return command

    work._prepare = too_late
    work.do()
    assert sorted(made()) == sorted(PATHS) and work.failed == {}


def test_who_waits_says_so_once(begin, place, capsys):
    StudyDirectory(place).keep(runs_of(), "data")
    held, looks = os.path.join(place, "seed0/simclr"), []
    os.makedirs(held)
    lock = RunLock(held)
    lock.acquire()

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 3:
            finished(held)
            lock.release()

    work, _, made = begin()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", sleep)
        work.do()
    assert len(looks) == 3 and work.failed == {}
    assert made()[-2:] == ["seed0/simclr/finetune-1", "seed0/simclr/finetune-1/nih"]
    assert capsys.readouterr().out.count("study: waits for what other processes are at") == 1


def take_part(place, log, ready, text, holds):
    """As a process that works on a study; one that `holds` a run never ends with it."""
    gc.freeze()  # as in conftest.py
    working._LOOK_EVERY = directory._LOOK_EVERY = 0.02

    def during(flags):
        add_line(f"{log}-begun", f"{os.getpid()} {flags['model_dir']}")
        if holds and flags["model_dir"].endswith(holds):
            time.sleep(600)
        slow(flags)
        assert "checkpoint" not in flags or os.path.exists(f"{flags['checkpoint']}/result.json")
        return {"image/auc_macro": float(flags.get("learning_rate", 0))}

    ready.wait(180)
    work = Work(StudyDirectory(place), runs_of(text), FakeRuns(log, during))
    work.do()
    add_line(f"{log}-ended", json.dumps(work.failed))


@pytest.fixture
def at_once(place, tmp_path):
    """A function that begins processes at the same moment, which are gone after the test."""
    started, barriers = [], []

    def begin(count, holds=""):
        barriers.append(PROCESSES.Barrier(count))
        given = (place, str(tmp_path / "log"), barriers[-1], TEXT + GRID, holds)
        started.extend(PROCESSES.Process(target=take_part, args=given) for _ in range(count))
        for process in started[-count:]:
            process.start()
        return started[-count:]

    yield begin
    for process in started:
        process.kill()
        process.join()


@pytest.mark.parametrize("count", [2, 3])
def test_of_several_processes_each_run_is_made_once(at_once, place, tmp_path, count):
    for process in at_once(count):
        process.join(120)
        assert process.exitcode == 0
    log = tmp_path / "log"
    runs = runs_of(TEXT + GRID)
    assert sorted(lines(log)) == sorted(os.path.join(place, run.path) for run in runs)
    assert lines(f"{log}-ended") == ["{}"] * count
    workers = {line.split()[0] for line in lines(f"{log}-begun")}
    assert len(workers) > 1
    for run in runs:
        assert not is_held(os.path.join(place, run.path))
        if run.chosen_from:
            made = lines(log)
            index = made.index(os.path.join(place, run.path))
            assert all(made.index(os.path.join(place, one)) < index for one in run.chosen_from)


def test_the_run_of_a_killed_process_is_taken_over(at_once, place, tmp_path):
    (killed,) = at_once(1, holds="seed0/simclr")
    log = tmp_path / "log"
    deadline = time.monotonic() + 60
    while not any(line.endswith("seed0/simclr") for line in lines(log)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (other,) = at_once(1)
    while not any(line.endswith("seed1/finetune-1") for line in lines(log)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert is_held(os.path.join(place, "seed0/simclr"))
    assert not any("seed0/simclr/" in line for line in lines(log))
    killed.kill()
    other.join(60)
    assert other.exitcode == 0 and lines(f"{log}-ended") == ["{}"]
    made = [os.path.relpath(line, place) for line in lines(log)]
    assert made.count("seed0/simclr") == 2
    assert len(set(made)) == len(made) - 1 == len(runs_of(TEXT + GRID))


def test_a_stage_of_which_nothing_is_done_takes_as_long_a_step_as_others_of_its_mode(place):
    text = """
dataset = "derm_cases"
[stages.long]
mode = "pretrain"
train_steps = 100
[stages.short]
mode = "pretrain"
train_steps = 30
[stages.finetune]
mode = "finetune"
[variants]
a = ["long", "finetune"]
b = ["short", "finetune"]
"""
    runs = planned(parse(text, "steps"), {})
    work = Work(StudyDirectory(place), runs, lambda words, decided: None)
    finished(os.path.join(place, "seed0/long"), seconds=50.0, steps=100)
    assert work.seconds_left() == 0  # nothing is known of a finetuning
    finished(os.path.join(place, "seed0/long/finetune-1"), seconds=7.0, steps=5)
    assert work.seconds_left() == pytest.approx(30 * 0.5 + 7)
