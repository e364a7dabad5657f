"""A run that is killed and typed again ends with the weights of one that was not."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from micle_tf import cli
from tests.generated_cases import TINY, write_cases

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    write_cases(folder / "photos")
    return folder


def arguments(folder, name, *more):
    return [
        "--mode=pretrain", "--dataset=derm_cases", f"--manifest={folder / 'photos/cases.csv'}",
        f"--data_dir={folder}", f"--model_dir={folder / name}", f"--train_steps={STEPS}",
        "--checkpoint_every=4steps", "--log_every=7", "--optimizer=adam", "--learning_rate=0.01",
        *TINY, *more,
    ]  # fmt: skip


def final_weights(run):
    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if "save_counter" not in name and "OBJECT_GRAPH" not in name
    }


def steps_logged(run):
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_sigkill_at_three_random_moments(folder, capsys):
    run = folder / "killed"
    argv = arguments(folder, "killed")
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), *argv], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        # Wait until this process has saved, then strike at a random moment.
        before = newest_step(run)
        while process.poll() is None and newest_step(run) == before:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.2))
        process.kill()
        assert process.wait() == -signal.SIGKILL
    capsys.readouterr()
    for name in ("killed", "whole"):
        assert cli.main(arguments(folder, name)) == 0
        assert ("resumed at step " in capsys.readouterr().out) == (name == "killed")
    whole, resumed = final_weights(folder / "whole"), final_weights(run)
    assert whole.keys() == resumed.keys() and len(whole) > 50
    for name in whole:
        np.testing.assert_array_equal(resumed[name], whole[name], err_msg=name)
    assert steps_logged(run) == steps_logged(folder / "whole")
    assert losses_in_tensorboard(run) == losses_in_tensorboard(folder / "whole")
    for part in (run, run / "checkpoints"):
        assert names_in(part) == names_in(folder / "whole" / part.relative_to(run))


def losses_in_tensorboard(run):
    """[(step, loss)], with nothing hidden that is there twice."""
    events = EventAccumulator(str(run), {"tensors": 0}, purge_orphaned_data=False).Reload()
    return sorted((e.step, float(tf.make_ndarray(e.tensor_proto))) for e in events.Tensors("loss"))


def names_in(folder):
    """What lies in a folder; of TensorBoard's files only that there are some."""
    return {path.name.partition("tfevents")[0] for path in folder.iterdir()}


def newest_step(run):
    return max((int(path.stem[5:]) for path in run.glob("checkpoints/*.complete")), default=0)


def test_finished_run_says_so_and_keeps_its_files(folder, capsys):
    assert cli.main(arguments(folder, "whole")) == 0  # runs it, if it stands alone
    stamp = os.stat(folder / "whole/result.json").st_mtime_ns
    capsys.readouterr()
    assert cli.main(arguments(folder, "whole")) == 0
    assert "finished before" in capsys.readouterr().out
    assert os.stat(folder / "whole/result.json").st_mtime_ns == stamp


def test_other_settings_are_refused_by_name(folder, capsys):
    assert cli.main(arguments(folder, "whole")) == 0
    capsys.readouterr()
    assert cli.main(arguments(folder, "whole", "--temperature=0.2", "--seed=3")) == 2
    error = capsys.readouterr().err
    assert error == (
        f"error: --model_dir={folder / 'whole'}: holds a run with another seed (0 there), "
        "temperature (0.1 there); choose another directory\n"
    )


def test_what_cannot_change_the_result_may_differ(folder):
    assert cli.main(arguments(folder, "whole", "--keep_checkpoints=7", "--log_every=5")) == 0


def test_result_and_files_of_a_run(folder):
    assert cli.main(arguments(folder, "whole")) == 0
    run = folder / "whole"
    result = json.loads((run / "result.json").read_text())
    assert list(result) == ["mode", "dataset", "method", "steps", "seconds", "metrics", "intervals"]
    assert (result["mode"], result["method"], result["steps"]) == ("pretrain", "micle", STEPS)
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["loss"] == result["metrics"]["loss"]
    assert last["chance"] == 1 / 15 and abs(last["loss_of_chance"] - np.log(15)) < 1e-12
    pixels = tf.io.decode_png((run / "positive_pairs.png").read_bytes()).numpy()
    assert pixels.std() > 10
    assert (run / f"checkpoints/ckpt-{STEPS}.index").exists()
