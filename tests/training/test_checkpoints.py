"""Checkpoints of a run: when one counts, what damage costs, and what is left behind."""

import json
import os
import subprocess

import keras
import numpy as np
import pytest
import tensorflow as tf

from micle_tf.errors import BadInput, Stopped
from micle_tf.training.checkpoints import Checkpoints, latest_checkpoint, step_of, steps_in

gfile = tf.io.gfile
INDEX, DATA, MARK = ".index", ".data-00000-of-00001", ".complete"


class Saved:
    """A model and its optimizer, whose weights all hold the number of the step."""

    def __init__(self, path, keep=3, width=2):
        layers = [keras.Input((3,)), keras.layers.Dense(width)]
        self.model = keras.Sequential(layers)
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        optimizer.build(self.model.trainable_variables)
        self.folder = f"{path}/checkpoints"
        tracked = {"model": self.model, "optimizer": optimizer}
        self.checkpoints = Checkpoints(self.folder, tracked, keep, "--model_dir=run")
        self._tensors = self.model.weights + optimizer.variables[2:]

    @property
    def values(self):
        return {float(value) for tensor in self._tensors for value in np.ravel(tensor)}

    def fill(self, value):
        for tensor in self._tensors:
            tensor.assign(np.full(tensor.shape, value, np.float32))

    def save(self, *steps):
        for step in steps:
            self.fill(step)
            self.checkpoints.save(step)
        self.fill(-1)

    def file(self, step, suffix):
        return f"{self.folder}/ckpt-{step}{suffix}"

    def names(self):
        return sorted(name.rstrip("/") for name in gfile.listdir(self.folder))


def files_of(*steps):
    return sorted(f"ckpt-{step}{suffix}" for step in steps for suffix in (INDEX, DATA, MARK))


@pytest.fixture(params=["local", "ram"])
def saved(request, tmp_path):
    return Saved(tmp_path if request.param == "local" else f"ram://{tmp_path.name}")


def put(path, content):
    gfile.makedirs(os.path.dirname(path))
    if gfile.exists(path):  # ram:// would append to it
        gfile.remove(path)
    with gfile.GFile(path, "wb") as file:
        file.write(content)


def content(path):
    with gfile.GFile(path, "rb") as file:
        return file.read()


def cut(path):
    put(path, content(path)[: gfile.stat(path).length // 2])


def test_save_and_restore(saved):
    assert saved.checkpoints.restore_newest() is None and saved.checkpoints.steps == []
    saved.save(0, 5, 10, 100)
    assert saved.checkpoints.steps == steps_in(saved.folder) == [5, 10, 100]
    assert saved.values == {-1.0}
    assert saved.checkpoints.restore_newest() == 100 and saved.values == {100.0}
    saved.checkpoints.restore(10)
    assert saved.values == {10.0}
    assert saved.names() == sorted(["checkpoint", *files_of(5, 10, 100)])
    stated = json.loads(content(saved.file(10, MARK)))
    assert stated == {
        f"ckpt-10{suffix}": gfile.stat(saved.file(10, suffix)).length for suffix in (DATA, INDEX)
    }


def test_tensorflow_finds_the_newest_one(saved):
    saved.save(90, 100)
    assert tf.train.latest_checkpoint(saved.folder) == saved.file(100, "")
    assert latest_checkpoint(saved.folder, "") == saved.file(100, "")
    assert step_of(saved.file(100, "")) == 100
    state = tf.train.get_checkpoint_state(saved.folder)
    assert list(state.all_model_checkpoint_paths) == [saved.file(90, ""), saved.file(100, "")]
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(model=saved.model), saved.folder, max_to_keep=3
    )
    tf.train.Checkpoint(model=saved.model).read(manager.latest_checkpoint).expect_partial()
    np.testing.assert_array_equal(saved.model.weights[0], np.full((3, 2), 100))
    saved.checkpoints.forget_after(-1)
    assert tf.train.latest_checkpoint(saved.folder) is None and saved.names() == []


def test_the_list_may_be_moved(tmp_path):
    Saved(tmp_path / "a").save(7)
    (tmp_path / "a").rename(tmp_path / "b")
    assert tf.train.latest_checkpoint(f"{tmp_path}/b/checkpoints").endswith("b/checkpoints/ckpt-7")


def test_the_same_step_again(saved):
    saved.save(1, 2)
    saved.fill(7)
    saved.checkpoints.save(2)
    saved.fill(-1)
    assert saved.checkpoints.restore_newest() == 2 and saved.values == {7.0}
    assert saved.names() == sorted(["checkpoint", *files_of(1, 2)])


def test_the_mark_is_written_last(tmp_path):
    """What a process killed at any moment of a save leaves behind counts as nothing."""
    saved = Saved(tmp_path)
    saved.save(1, 2)
    written = [os.stat(saved.file(2, suffix)).st_mtime_ns for suffix in (DATA, INDEX, MARK)]
    assert max(written) == written[-1]
    os.rename(saved.file(2, MARK), f"{saved.folder}/unfinished-ckpt-2{MARK}")
    assert saved.checkpoints.steps == [1]
    assert latest_checkpoint(saved.folder, "") == saved.file(1, "")
    assert saved.checkpoints.restore_newest() == 1 and saved.values == {1.0}
    saved.checkpoints.forget_after(1)
    assert saved.names() == sorted(["checkpoint", *files_of(1)])


def test_forget_after(saved):
    saved.save(1, 2, 3)
    put(saved.file(4, INDEX), b"of a process that was killed")
    put(f"{saved.file(5, '')}_temp/part-00000-of-00001.data-00000-of-00001", b"too")
    put(f"{saved.folder}/unfinished-ckpt-4{MARK}", b"{")
    put(f"{saved.folder}/best/ckpt-3{MARK}", b"of somebody else")
    put(f"{saved.folder}/notes.txt", b"mine")
    saved.checkpoints.forget_after(2)
    assert saved.names() == sorted(["best", "checkpoint", "notes.txt", *files_of(1, 2)])
    assert tf.train.latest_checkpoint(saved.folder) == saved.file(2, "")
    assert content(f"{saved.folder}/best/ckpt-3{MARK}") == b"of somebody else"
    assert saved.checkpoints.restore_newest() == 2 and saved.values == {2.0}


DAMAGES = {
    "data cut": (lambda saved: cut(saved.file(3, DATA)), "ckpt-3.data-00000-of-00001 is damaged: "),
    "index cut": (lambda saved: cut(saved.file(3, INDEX)), "ckpt-3.index is damaged: "),
    "data deleted": (
        lambda saved: gfile.remove(saved.file(3, DATA)), "ckpt-3.data-00000-of-00001 is gone"
    ),
    "index deleted": (lambda saved: gfile.remove(saved.file(3, INDEX)), "ckpt-3.index is gone"),
    "mark cut": (lambda saved: cut(saved.file(3, MARK)), "ckpt-3.complete is damaged"),
    "mark empty": (lambda saved: put(saved.file(3, MARK), b""), "ckpt-3.complete is damaged"),
    "mark binary": (lambda saved: put(saved.file(3, MARK), b"\xff"), "ckpt-3.complete is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_passed_over_and_said(saved, damage, capsys):
    spoil, message = DAMAGES[damage]
    saved.save(1, 2, 3)
    spoil(saved)
    capsys.readouterr()
    assert saved.checkpoints.restore_newest() == 2 and saved.values == {2.0}
    captured = capsys.readouterr()
    assert captured.out == "warning: ckpt-3 is damaged; going back to the one before\n"
    assert captured.err == ""
    for step in (1, 2):
        gfile.remove(saved.file(step, INDEX))
    with pytest.raises(BadInput) as error:
        saved.checkpoints.restore_newest()
    text = str(error.value)
    assert text.startswith(f"--model_dir=run: {message}") and "\n" not in text
    assert text.endswith("; no older one is whole")
    assert saved.checkpoints.steps == [1, 2, 3]  # nothing is thrown away


def test_flipped_bits_are_damage(tmp_path, capsys):
    """The sizes are right; TensorFlow's checksums are not."""
    for suffix in (INDEX, DATA):
        saved = Saved(tmp_path / suffix, width=500)
        saved.save(1, 2)
        spoilt = bytearray(content(saved.file(2, suffix)))
        spoilt[len(spoilt) // 2] ^= 1
        put(saved.file(2, suffix), bytes(spoilt))
        assert saved.checkpoints.restore_newest() == 1 and saved.values == {1.0}
        assert "warning: ckpt-2 is damaged" in capsys.readouterr().out


@pytest.fixture
def disk(tmp_path):
    """A file system of 400 kB in memory."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("room", [0, 8, 40, 72])  # kB; a checkpoint takes some 80
def test_a_full_disk_leaves_the_one_before(disk, room):
    saved = Saved(disk, width=2500)
    saved.save(1, 2)
    before = {name: content(f"{saved.folder}/{name}") for name in saved.names()}
    assert sum(map(len, before.values())) > 2 * 75_000
    free = os.statvfs(disk)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(free.f_bavail * free.f_bsize - room * 1024))
    saved.fill(3)
    with pytest.raises(Stopped) as stopped:
        saved.checkpoints.save(3)
    text = str(stopped.value)
    assert text.startswith(
        "the checkpoint of step 3 cannot be written, the last one is of step 2: "
    )
    assert text.endswith("No space left on device") and "\n" not in text
    assert {name: content(f"{saved.folder}/{name}") for name in saved.names()} == before
    assert saved.checkpoints.restore_newest() == 2 and saved.values == {2.0}
    ballast.unlink()
    saved.save(3)
    assert saved.checkpoints.restore_newest() == 3 and saved.values == {3.0}


def test_a_disk_that_is_read_only_by_now(disk):
    saved = Saved(disk)
    saved.save(1)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(Stopped) as stopped:
        saved.checkpoints.save(2)
    assert str(stopped.value) == (
        "the checkpoint of step 2 cannot be written, the last one is of step 1: "
        "Read-only file system"
    )
    assert saved.names() == sorted(["checkpoint", *files_of(1)])
    assert saved.checkpoints.restore_newest() == 1 and saved.values == {1.0}


def test_a_first_checkpoint_without_room(disk):
    saved = Saved(disk, width=30_000)
    with pytest.raises(
        Stopped, match=r"of step 0 cannot be written, there is none yet: .*No space"
    ):
        saved.checkpoints.save(0)
    assert saved.names() == [] and saved.checkpoints.restore_newest() is None
