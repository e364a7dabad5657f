"""A run that is killed and typed again ends with the weights of one that was not."""

import dataclasses
import json
import os
import random
import shutil
import signal
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from micle_tf import cli
from micle_tf.config import Config, is_compared
from tests.generated_cases import TINY
from tests.warm_processes import FreshProcess

pytestmark = pytest.mark.pictures

STEPS = 60


@pytest.fixture(scope="module")
def folder(small_set, tmp_path_factory):
    return shutil.copytree(small_set, tmp_path_factory.mktemp("resume") / "set")


def arguments(folder, name, *more):
    return [
        "--mode=pretrain", "--dataset=derm_cases", f"--manifest={folder / 'photos/cases.csv'}",
        f"--data_dir={folder / 'data'}", f"--model_dir={folder / name}", f"--train_steps={STEPS}",
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


@pytest.mark.slow
def test_sigkill_at_three_random_moments(folder, warm, capsys):
    run = folder / "killed"
    argv = arguments(folder, "killed")
    for start in (warm.start, FreshProcess, warm.start):
        process = start("-m", "tests.made_small", *argv)
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
    assert whole.keys() == resumed.keys() and len(whole) > 35
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


def checkpoints_of(run):
    return {int(path.stem[5:]) for path in run.glob("checkpoints/ckpt-*.complete")}


def newest_step(run):
    return max(checkpoints_of(run), default=0)


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


# Flags that may differ when a run goes on, for they say where and how it works, in groups; and what
# to see of each in its directory.
MAY_DIFFER = {
    "saved and logged": (
        ["--checkpoint_every=2steps", "--keep_checkpoints=7", "--log_every=1", "--tensorflow_log",
         "--strategy=one_device", "--global_bn=false"],
        lambda run: checkpoints_of(run) >= {58, 60} and steps_logged(run)[-4:] == [57, 58, 59, 60],
    ),
    "looked at": (
        ["--knn_every=2steps", "--eval_split=test", "--eval_batch_size=5", "--profile=58:59"],
        lambda run: (
            (run / "metrics.jsonl").read_text().count("test/knn_accuracy") == 2
            and len(list(run.glob("plugins/profile/*/*.xplane.pb"))) == 1
        ),
    ),
    "elsewhere, and in a row": (
        ["--manifest={there}/cases.csv", "--image_dir={there}", "--data_dir={there}/data",
         "--ids=literal", "--missing=nan", "--columns=case_id=case_id", "--steps_per_loop=3"],
        lambda run: list((run.parent / "there/data").glob("derm_cases/manifest-*/*")),
    ),
}  # fmt: skip
# Of those that may differ these are not here: it takes a TPU; the values that a preset stands for
# are compared; a plan takes no step; and what says which images there are shows in the name of the
# data, which is compared.
NOT_HERE = {"tpu_name", "tpu_zone", "gcp_project", "preset", "dry_run", "allow_seen"}
NOT_HERE |= {
    "manual_dir", "findings", "findings_column", "group_by", "max_pixels", "max_image_bytes",
    "max_bad_images", "max_image_side", "jpeg_quality", "strip_metadata", "beam_options",
}  # fmt: skip


@pytest.mark.parametrize("group", MAY_DIFFER)
def test_what_cannot_change_the_result_may_differ(folder, tmp_path, group, capsys):
    """The last 4 of 60 steps are taken with other flags, and end at the same weights."""
    whole, run = folder / "whole", tmp_path / "run"
    assert cli.main(arguments(folder, "whole")) == 0  # runs it, if it stands alone
    shutil.copytree(whole, run)
    (run / "result.json").unlink()
    for path in run.glob(f"checkpoints/ckpt-{STEPS}*"):
        path.unlink()
    there = tmp_path / "there"
    shutil.copytree(folder / "photos", there)
    flags, shows = MAY_DIFFER[group]
    capsys.readouterr()
    typed = [flag.format(there=there) for flag in flags]
    assert cli.main([*arguments(folder, "whole"), f"--model_dir={run}", *typed]) == 0
    assert f"resumed at step {STEPS - 4}\n" in capsys.readouterr().out
    assert shows(run)
    expected, found = final_weights(whole), final_weights(run)
    assert found.keys() == expected.keys() and len(expected) > 35
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_every_setting_that_may_differ_is_tried():
    typed = {flag[2:].partition("=")[0] for flags, _ in MAY_DIFFER.values() for flag in flags}
    may = {f.name for f in dataclasses.fields(Config) if not is_compared(f, "pretrain")}
    assert typed | NOT_HERE == may and not typed & NOT_HERE


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
