"""What befalls a run under way: damaged files, a disk that fails, a nan, a second job, a kill."""

import json
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import tensorflow as tf

from micle_tf import cli
from micle_tf.modes import pretrain
from tests.generated_cases import TINY

STEPS = 12


@pytest.fixture(scope="module")
def folder(small_set, tmp_path_factory):
    """Photos, prepared data, and "whole", a finished run with a checkpoint each 2 steps."""
    folder = shutil.copytree(small_set, tmp_path_factory.mktemp("damage") / "set")
    assert cli.main(arguments(folder, folder / "whole")) == 0
    return folder


def arguments(folder, run, *more):
    return [
        "--mode=pretrain", f"--manifest={folder / 'photos/cases.csv'}",
        f"--data_dir={folder / 'data'}",
        f"--model_dir={run}", f"--train_steps={STEPS}", "--checkpoint_every=2steps",
        "--keep_checkpoints=20", "--log_every=1", "--optimizer=adam", *TINY, *more,
    ]  # fmt: skip


def weights(path):
    """{name: array} of a checkpoint, or of the newest one of a folder."""
    reader = tf.train.load_checkpoint(str(path))
    names = [name for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    return {name: reader.get_tensor(name) for name in names}


def steps_logged(run):
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def steps_saved(run):
    return sorted(int(path.stem[5:]) for path in run.glob("checkpoints/ckpt-*.complete"))


def assert_as_whole(folder, run):
    """A run ended as the one that nothing befell."""
    found, expected = weights(run / "checkpoints"), weights(folder / "whole/checkpoints")
    assert found.keys() == expected.keys() and len(expected) > 35
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert steps_logged(run) == list(range(1, STEPS + 1))
    assert json.loads((run / "result.json").read_text())["steps"] == STEPS


def only_line(capsys):
    """What a command wrote to stderr, which is one line."""
    error = capsys.readouterr().err
    assert error.endswith("\n") and error.count("\n") == 1, error
    return error.removesuffix("\n")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_damaged_checkpoints_of_an_unfinished_run(folder, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(folder / "whole", run)
    (run / "result.json").unlink()
    cut(run / "checkpoints/ckpt-12.data-00000-of-00001")
    (run / "checkpoints/ckpt-10.index").unlink()
    cut(run / "checkpoints/ckpt-8.complete")
    capsys.readouterr()
    assert cli.main(arguments(folder, run)) == 0
    said = capsys.readouterr().out
    damaged = (f"warning: ckpt-{n} is damaged; going back to the one before" for n in (12, 10, 8))
    assert "\n".join([*damaged, "resumed at step 6\n"]) in said
    assert_as_whole(folder, run)
    assert steps_saved(run) == [0, 2, 4, 6, 8, 10, 12]


def test_no_checkpoint_is_whole(folder, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(folder / "whole", run)
    (run / "result.json").unlink()
    for path in run.glob("checkpoints/*.index"):
        path.unlink()
    before = sorted(run.rglob("*"))
    capsys.readouterr()
    assert cli.main(arguments(folder, run)) == 2
    assert only_line(capsys) == (
        f"error: --model_dir={run}: ckpt-12.index is gone; no older one is whole"
    )
    assert sorted(run.rglob("*")) == before


@pytest.fixture
def mount(tmp_path):
    """A function that (re)mounts a file system in memory and gives its path."""
    path = tmp_path / "disk"
    path.mkdir()

    def mounted(options):
        again = "remount," if path.is_mount() else ""
        command = ["mount", "-t", "tmpfs", "-o", again + options, "tmpfs", str(path)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
        return path

    yield mounted
    if path.is_mount():
        subprocess.run(["umount", str(path)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_and_one_that_is_read_only(folder, mount, capsys):
    sizes = [path.stat().st_size for path in (folder / "whole/checkpoints").glob("ckpt-6.*")]
    run = mount(f"size={int(3.7 * sum(sizes))}") / "run"  # room for three: of steps 0, 2 and 4
    capsys.readouterr()
    assert cli.main(arguments(folder, run)) == 1
    assert only_line(capsys) == (
        "stopped: the checkpoint of step 6 cannot be written, the last one is of step 4: "
        "No space left on device"
    )
    assert steps_saved(run) == [0, 2, 4] and not list(run.rglob("*temp*"))
    for name, value in weights(folder / "whole/checkpoints/ckpt-4").items():
        np.testing.assert_array_equal(weights(run / "checkpoints/ckpt-4")[name], value)

    mount("ro")
    assert cli.main(arguments(folder, run)) == 1
    reason = "cannot be written: Read-only file system"
    assert only_line(capsys) == f"stopped: --model_dir={run}: {reason}"

    mount("rw,size=64m")
    assert cli.main(arguments(folder, run)) == 0
    assert "resumed at step 4\n" in capsys.readouterr().out
    assert_as_whole(folder, run)


def test_a_nan_in_the_data(folder, tmp_path, capsys, monkeypatch):
    pairs, run = pretrain.pairs, tmp_path / "run"

    def with_nan(config, reader, replicas, steps, shard=(0, 1), **others):
        def spoil(step, batch):
            pixel = tf.scatter_nd([[1, 2, 3, 0]], [np.nan], batch["view1"].shape)
            fourth = tf.where(step == 3, pixel, tf.zeros_like(pixel))
            return batch | {"view1": batch["view1"] + fourth}

        return (
            pairs(config, reader, replicas, steps, shard, **others).enumerate(steps[0]).map(spoil)
        )

    monkeypatch.setattr(pretrain, "pairs", with_nan)
    capsys.readouterr()
    assert cli.main(arguments(folder, run)) == 1
    rate = json.loads((folder / "whole/metrics.jsonl").read_text().splitlines()[3])["learning_rate"]
    # A ReLU makes zeros of nans, so that the loss need not show what the gradient does.
    assert re.fullmatch(
        r"stopped: the loss is \S+, its gradient's norm nan at step 4, learning rate "
        rf"{rate:.3g}; the last good checkpoint is of step 2. A lower --learning_rate often helps",
        only_line(capsys),
    )
    assert rate > 0 and steps_saved(run) == [0, 2] and steps_logged(run) == [1, 2, 3]
    for name, value in weights(run / "checkpoints").items():
        assert np.isfinite(value).all(), name
        expected = weights(folder / "whole/checkpoints/ckpt-2")[name]
        np.testing.assert_array_equal(value, expected, err_msg=name)


@pytest.mark.slow
def test_a_second_job_and_a_killed_first_one(folder, warm, tmp_path, capsys):
    run = tmp_path / "run"
    argv = arguments(folder, run, "--train_steps=40")
    with warm.start("-m", "tests.made_small", *argv) as process:
        while process.poll() is None and not (run / "checkpoints/ckpt-2.complete").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)  # it holds the run and gets no further
        reached = steps_saved(run)[-1]
        capsys.readouterr()
        assert cli.main(argv) == 2
        assert re.fullmatch(
            rf"error: --model_dir={run}: in use by process {process.pid} on \S+, since .* UTC; "
            "wait for it, stop it, or choose another directory", only_line(capsys),
        )  # fmt: skip
        assert process.poll() is None and steps_saved(run)[-1] == reached < 40
    assert (run / "lock").exists()
    assert cli.main(argv) == 0
    assert f"resumed at step {reached}\n" in capsys.readouterr().out
    assert steps_logged(run) == list(range(1, 41)) and not (run / "lock").exists()
