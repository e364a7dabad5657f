"""Two worker processes on loopback: the arithmetic of one, and one job whatever becomes of them.

The chief of a whole pretraining, and all that are stopped and killed, are fresh ones, with hashes
of strings that differ from those of the other.
"""

import csv
import json
import random
import shutil
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

from micle_tf import cli
from tests.generated_cases import TINY
from tests.training import three_steps
from tests.warm_processes import FreshProcess
from tests.worker_processes import started, wait_until

pytestmark = pytest.mark.slow

STEPS = 40
STOPPING = 30  # seconds in which all workers save and end after a signal
DYING = 60  # seconds in which a worker ends after another one was killed


@pytest.fixture(scope="module")
def folder(small_set, tmp_path_factory):
    return shutil.copytree(small_set, tmp_path_factory.mktemp("workers") / "set")


def data(folder):
    return [f"--manifest={folder / 'photos/cases.csv'}", f"--data_dir={folder / 'data'}"]


def assert_close(found, expected, message=""):
    """Equal to 1e-9 of the largest entry of the tensor."""
    scale = np.abs(expected).max() + 1e-30
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=1e-9, err_msg=message)


# ---------------------------------------------------------------- the arithmetic of a step


@pytest.fixture(scope="module")
def taken(folder, warm):
    """`three_steps.trained` of this process, which is alone, and of each of two workers."""
    source = folder / "photos/cases.csv", folder / "data"
    program = ["-m", "tests.training.three_steps", *source, folder / "three_steps"]
    with started(*program, starts=[warm.start] * 2) as workers:
        alone = three_steps.trained(*source)
        assert [worker.wait() for worker in workers] == [0, 0]
    return alone, [three_steps.load(folder / f"three_steps-{index}.npz") for index in (0, 1)]


@pytest.mark.parametrize("run", three_steps.RUNS)
def test_loss_gradients_and_weights_are_those_of_one_process(taken, run):
    alone, workers = taken
    shared = {name for name in alone if name.startswith(run)} - of_rows(run)
    assert len(set(alone[f"{run}/loss"])) == three_steps.STEPS and len(shared) >= 7
    assert np.linalg.norm(np.concatenate([g.ravel() for g in alone[f"{run}/gradients"]])) > 1e-3
    for worker in workers:
        for name in shared:
            for both in zip(worker[name], alone[name], strict=True):
                if name.endswith("/spectrum"):  # of embeddings, whose order means nothing
                    both = map(np.linalg.eigvalsh, both)
                assert_close(*both, name)


@pytest.mark.parametrize("run", three_steps.RUNS)
def test_a_worker_reads_its_own_rows_alone(taken, run):
    alone, workers = taken
    for name in of_rows(run) - {f"{run}/read"}:
        for both, whole in zip(
            zip(*(worker[name] for worker in workers), strict=True), alone[name], strict=False
        ):
            assert [len(rows) for rows in both] == [three_steps.BATCH // 2] * 2
            np.testing.assert_array_equal(np.concatenate(both), whole)
    read = [worker[f"{run}/read"] for worker in workers]
    assert [len(cases) for cases in read] == [three_steps.STEPS * three_steps.BATCH // 2] * 2
    if run == "micle":  # where the groups are the numbers of the cases
        for worker, cases in zip(workers, read, strict=True):
            assert sorted(cases) == sorted(np.concatenate(worker["micle/group"]))
        assert all(len(set(groups)) == three_steps.BATCH for groups in alone["micle/group"])


def of_rows(run):
    return {f"{run}/{name}" for name in ("group", "view1", "view2", "read")}


def test_negatives_are_masked_across_workers(taken):
    alone, workers = taken
    first, second = (set(worker["masked/group"][0]) for worker in workers)
    assert first & second, "no patient is on both workers"
    assert abs(alone["masked/loss"][0] - alone["micle/loss"][0]) > 1e-6


# ---------------------------------------------------------------- whole commands


def pretraining(folder, name, *more):
    return [
        "--mode=pretrain", "--dataset=derm_cases", *data(folder), f"--model_dir={folder / name}",
        *TINY, "--precision=float64", "--optimizer=momentum", "--learning_rate=0.005",
        "--learning_rate_scaling=none", "--temperature=0.5", f"--train_steps={STEPS}",
        "--checkpoint_every=4steps", "--log_every=1", *more,
    ]  # fmt: skip


def two_workers(arguments, **options):
    return started("-m", "tests.made_small", *arguments, **options)


def steps_logged(run):
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line)["step"] for line in lines if line.endswith("\n")]


def checkpoints_of(run):
    return sorted(int(path.stem[5:]) for path in run.glob("checkpoints/ckpt-*.complete"))


def final_weights(run):
    reader = tf.train.load_checkpoint(str(run / f"checkpoints/ckpt-{checkpoints_of(run)[-1]}"))
    names = reader.get_variable_to_shape_map()
    return {
        name: reader.get_tensor(name)
        for name in names
        if "save_counter" not in name and "OBJECT_GRAPH" not in name
    }


@pytest.fixture(scope="module")
def whole(folder, warm):
    """A run of two workers that nothing happens to, and one of this process."""
    starts = FreshProcess, warm.start
    with two_workers(pretraining(folder, "whole"), starts=starts) as workers:
        assert cli.main(pretraining(folder, "alone")) == 0
        assert [worker.wait() for worker in workers] == [0, 0]
        chief, other = (worker.out for worker in workers)
        assert "2 workers with 1 CPU each" in chief and "next: python run.py" in chief
        assert len(other.splitlines()) <= 3 and "worker 1 of 2" in other
        assert [worker.err for worker in workers] == ["", ""]
    return folder / "whole", folder / "alone"


def test_whole_run_is_that_of_one_process(whole):
    run, alone = whole
    assert steps_logged(run) == steps_logged(alone) == list(range(1, STEPS + 1))
    assert checkpoints_of(run) == checkpoints_of(alone)
    results = [json.loads((path / "result.json").read_text()) for path in (run, alone)]
    for result in results:
        del result["seconds"]
    values = [result.pop("metrics") for result in results]
    assert results[0] == results[1]
    assert values[0] == pytest.approx(values[1], rel=1e-9)
    ours, theirs = final_weights(run), final_weights(alone)
    assert ours.keys() == theirs.keys() and len(ours) > 35
    for name in ours:
        assert_close(ours[name], theirs[name], name)


@pytest.mark.long
def test_stopped_and_killed_and_killed_it_ends_as_if_nothing_had_been(folder, whole):
    run, arguments = folder / "stopped", pretraining(folder, "stopped")

    def strike(workers, index, number):
        """Sends a signal to one worker at a random moment, some steps on; returns when."""
        before = len(steps_logged(run))
        goal = before + random.randint(2, 6)
        wait_until(lambda: len(steps_logged(run)) >= goal, workers)
        time.sleep(random.uniform(0, 0.03))
        workers[index].send_signal(number)
        return time.monotonic()

    # SIGTERM to worker 1: both save the same step and end.
    with two_workers(arguments) as workers:
        end = strike(workers, 1, signal.SIGTERM) + STOPPING
        assert [worker.wait(end - time.monotonic()) for worker in workers] == [75, 75]
        step = checkpoints_of(run)[-1]
        assert step == steps_logged(run)[-1] < STEPS
        same = f" at step {step}; the same command goes on from step {step}\n"
        assert workers[0].err == f"interrupted: a signal to another worker{same}"
        assert workers[1].err == f"interrupted: SIGTERM{same}"

    # Killed, first one and then the other: the one that is left names it and ends.
    for victim in (1, 0):
        with two_workers(arguments) as workers:
            end = strike(workers, victim, signal.SIGKILL) + DYING
            left = workers[1 - victim]
            assert left.wait(end - time.monotonic()) == 1
            assert left.err == (
                f"stopped: worker {victim} ({workers[victim].address}) is gone; the same command "
                "on all workers goes on from the last checkpoint\n"
            )
            assert f"resumed at step {step}\n" in workers[0].out
        step = checkpoints_of(run)[-1]
        assert 0 < step <= steps_logged(run)[-1] < STEPS

    with two_workers(arguments) as workers:
        assert [worker.wait() for worker in workers] == [0, 0]
        assert f"resumed at step {step}\n" in workers[0].out
    assert steps_logged(run) == list(range(1, STEPS + 1))
    ours, theirs = final_weights(run), final_weights(whole[0])
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


BAD_INPUT = {  # the first is found by both, the second by the chief alone
    "--train_batch_size=9": "needs the same number of pairs, at least two, on each of 2 devices",
    "--manifest=nowhere.csv": "no such file or folder",
}


@pytest.mark.parametrize("flag", BAD_INPUT)
def test_bad_input_ends_both_workers_with_the_same_line(folder, warm, flag):
    with two_workers(pretraining(folder, "bad", flag), starts=[warm.start] * 2) as workers:
        assert [worker.wait() for worker in workers] == [2, 2]
        assert [worker.err for worker in workers] == [f"error: {flag}: {BAD_INPUT[flag]}\n"] * 2
    assert not (folder / "bad").exists()


# ---------------------------------------------------------------- fine-tuning


def test_finetune_is_that_of_one_process(folder, warm):
    def arguments(name):
        return [
            "--mode=finetune", "--dataset=derm_cases", *data(folder), *TINY,
            f"--model_dir={folder / name}", "--precision=float64", "--train_steps=40",
            "--learning_rate_scaling=none", "--learning_rate=0.02", "--validate_every=4steps",
            "--patience=2", "--best_metric=loss", "--bootstrap_samples=30",
        ]  # fmt: skip

    with two_workers(arguments("tuned"), starts=[warm.start] * 2) as workers:
        assert cli.main(arguments("tuned-alone")) == 0
        assert [worker.wait() for worker in workers] == [0, 0]
        assert [worker.err for worker in workers] == ["", ""]
    results, tables = [], []
    for name in ("tuned", "tuned-alone"):
        results.append(json.loads((folder / name / "result.json").read_text()))
        with open(folder / name / "predictions.csv", encoding="utf-8") as file:
            tables.append(list(csv.DictReader(file)))
    assert results[0]["steps"] == results[1]["steps"] < 40  # patience was over
    assert results[0]["metrics"] == pytest.approx(results[1]["metrics"], rel=1e-6, nan_ok=True)
    assert len(tables[0]) == len(tables[1]) > 10
    for ours, theirs in zip(*tables, strict=True):
        for column, text in ours.items():
            if column.startswith("p_"):
                assert float(text) == pytest.approx(float(theirs[column]), abs=1e-7)
            else:
                assert text == theirs[column]
