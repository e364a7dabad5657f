"""SIGTERM and SIGINT: exit 75 within 30 s, the step under way finished and saved, one line."""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

from micle_tf import cli
from micle_tf.modes import finetune
from tests.child_processes import wait_for
from tests.generated_cases import TINY
from tests.warm_processes import FreshProcess

STEPS = 100
INTERRUPTED = "interrupted: the same command goes on from the last checkpoint\n"
RESUME = "(SIGTERM|SIGINT) at step (\\d+); the same command goes on from step (\\d+)"


@pytest.fixture(scope="module")
def folder(small_set, tmp_path_factory):
    return shutil.copytree(small_set, tmp_path_factory.mktemp("preemption") / "set")


def arguments(folder, name):
    return [
        "--mode=pretrain", f"--manifest={folder / 'photos/cases.csv'}",
        f"--data_dir={folder / 'data'}",
        f"--model_dir={folder / name}", f"--train_steps={STEPS}", "--checkpoint_every=1000steps",
        "--log_every=1", "--optimizer=adam", "--learning_rate=0.01", *TINY,
    ]  # fmt: skip


def stop(process, number):
    """Sends a signal; (exit code, stderr) of the process, which has 30 s to end."""
    process.send_signal(number)
    sent = time.monotonic()
    code = process.wait(60)
    assert time.monotonic() - sent < 30
    return code, process.err


def logged(run):
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["step"] for line in lines]


def weights(run):
    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    names = [name for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    return {name: reader.get_tensor(name) for name in names}


@pytest.mark.slow
def test_a_stopped_training_goes_on_where_it_stopped(folder, warm, capsys):
    run, done = folder / "stopped", 0
    for number in (signal.SIGTERM, signal.SIGINT):
        process = warm.start("-m", "tests.made_small", *arguments(folder, "stopped"))
        while process.poll() is None and logged_so_far(run) <= done:
            time.sleep(0.02)
        time.sleep(random.uniform(0, 0.3))
        code, err = stop(process, number)
        said = re.fullmatch(f"interrupted: {RESUME}\n", err)
        assert code == 75 and said, err
        assert said[1] == number.name and said[2] == said[3]
        taken = logged(run)
        assert taken == list(range(1, int(said[2]) + 1)) and done < taken[-1] < STEPS
        done = taken[-1]
        assert (run / f"checkpoints/ckpt-{done}.complete").exists()
        assert tf.train.latest_checkpoint(str(run / "checkpoints")).endswith(f"ckpt-{done}")
    capsys.readouterr()
    for name in ("stopped", "whole"):
        assert cli.main(arguments(folder, name)) == 0
    assert f"resumed at step {done}\n" in capsys.readouterr().out
    stopped, whole = weights(run), weights(folder / "whole")
    assert stopped.keys() == whole.keys() and len(whole) > 35
    for name in whole:
        np.testing.assert_array_equal(stopped[name], whole[name], err_msg=name)
    assert logged(run) == logged(folder / "whole") == list(range(1, STEPS + 1))


def logged_so_far(run):
    """The step of the last whole line of a log that is being written; 0 if there is none."""
    path = run / "metrics.jsonl"
    lines = path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def listens(process):
    """Whether a process has a handler of its own for SIGTERM; before that the kernel ends it."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    caught = int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)
    return caught >> (signal.SIGTERM - 1) & 1


@pytest.mark.parametrize("is_warm, after", [(False, 0), (False, 2), (True, 1), (True, 2)])
def test_a_signal_while_a_command_starts(folder, warm, is_warm, after):
    """While it loads TensorFlow, which takes some seconds, and after that."""
    start = warm.start if is_warm else FreshProcess
    with start("-m", "tests.made_small", *arguments(folder, f"{is_warm}-{after}")) as process:
        wait_for(lambda: listens(process))
        time.sleep(after)
        code, err = stop(process, random.choice([signal.SIGTERM, signal.SIGINT]))
    assert code == 75, err
    assert err == INTERRUPTED or re.fullmatch(f"interrupted: {RESUME}\n", err)


def test_a_validation_is_broken_off_and_done_again(folder, monkeypatch, capsys):
    argv = [
        "--mode=finetune", f"--manifest={folder / 'photos/cases.csv'}",
        f"--data_dir={folder / 'data'}",
        f"--model_dir={folder / 'tuned'}", "--train_steps=6", "--validate_every=2steps",
        "--log_every=1", "--bootstrap_samples=10", *TINY,
    ]  # fmt: skip
    predict, calls = finetune.predict_images, []

    def predict_and_be_stopped(*args):
        calls.append("begun")
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        scores = predict(*args)
        calls[-1] = "ended"
        return scores

    monkeypatch.setattr(finetune, "predict_images", predict_and_be_stopped)
    assert cli.main(argv) == 75
    assert capsys.readouterr().err == INTERRUPTED
    assert calls == ["ended", "begun"] and logged(folder / "tuned") == [1, 2, 3]
    assert cli.main(argv) == 0
    assert "resumed at step 3\n" in capsys.readouterr().out  # saved ahead of the validation
    lines = (folder / "tuned/metrics.jsonl").read_text().splitlines()
    validated = [json.loads(line) for line in lines if "validation/loss" in line]
    assert logged(folder / "tuned") == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in validated] == [2, 4, 6]
