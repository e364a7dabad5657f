"""Event files of a killed run and its resume, as TensorBoard's own reader sees them."""

import os
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from micle_tf.training.events import forget_events_after


def write(folder, steps, offset=0.0, image_at=None):
    """Logs "loss" = step + offset, and maybe an image, with a writer of its own."""
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        for step in steps:
            tf.summary.scalar("loss", step + offset, step=step)
            if step == image_at:
                tf.summary.image("pairs", tf.fill((1, 4, 4, 3), 0.5), step=step)
    writer.close()


def files(folder):
    names = [name for name in tf.io.gfile.listdir(str(folder)) if "tfevents" in name]
    return [os.path.join(str(folder), name) for name in sorted(names)]


def read(folder):
    """([(step, loss)], [step of an image]), with nothing hidden that is there twice."""
    events = EventAccumulator(str(folder), {"tensors": 0}, purge_orphaned_data=False).Reload()
    tags = events.Tags()["tensors"]
    losses = [
        (event.step, float(tf.make_ndarray(event.tensor_proto))) for event in events.Tensors("loss")
    ]
    images = [event.step for event in events.Tensors("pairs")] if "pairs" in tags else []
    # Sorted, because names order the files of different seconds only; a test takes less.
    return sorted(losses), images


def content(path):
    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read()


def cut(path, size):
    left = content(path)[:size]
    tf.io.gfile.remove(path)  # on ram://, opening a file does not truncate it
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(left)


@pytest.fixture(params=["local[1]", "ram"])
def folder(request, tmp_path):
    local = str(tmp_path / request.param)  # brackets, which a glob would misread
    path = f"ram://{tmp_path.name}" if request.param == "ram" else local
    tf.io.gfile.makedirs(path)
    return path


def test_a_run_and_its_resume_log_each_step_once(folder):
    write(folder, range(1, 14), image_at=1)
    assert read(folder)[0][-1] == (13, 13.0)
    forget_events_after(folder, 10)
    write(folder, range(11, 21), offset=0.5)
    losses, images = read(folder)
    assert losses == [(s, s + 0.5 * (s > 10)) for s in range(1, 21)] and images == [1]
    assert len(files(folder)) == 2


def test_a_resume_further_back_than_the_one_before(folder):
    """The newest checkpoint was damaged: both files lose their ends."""
    write(folder, range(1, 11), image_at=3)
    write(folder, range(11, 16), image_at=15)
    write(folder, range(16, 18))
    forget_events_after(folder, 8)
    write(folder, range(9, 21))
    assert read(folder) == ([(s, float(s)) for s in range(1, 21)], [3])
    assert len(files(folder)) == 2  # the second and the third had nothing else


def test_kept_events_keep_their_bytes(folder):
    write(folder, range(1, 8), image_at=2)
    (path,) = files(folder)
    whole = content(path)
    forget_events_after(folder, 5)
    after = content(path)
    assert whole.startswith(after) and 0 < len(after) < len(whole)
    write(folder, range(6, 8))
    assert [step for step, _ in read(folder)[0]] == list(range(1, 8))


@pytest.mark.parametrize("lost", [1, 5, 13, 40, 61])
def test_a_cut_tail_hides_nothing(tmp_path, lost):
    write(tmp_path, range(1, 11))
    (path,) = files(tmp_path)
    cut(path, len(content(path)) - lost)
    forget_events_after(str(tmp_path), 10)
    assert read(tmp_path)[0] == [(s, float(s)) for s in range(1, 10)]
    whole = tf.data.TFRecordDataset(path)  # which raises at a record that is not whole
    assert len(list(whole)) == 1 + 9


def test_what_lies_behind_a_damaged_record_goes(folder):
    """No reader comes past it, so that the resumed run could never be seen in this file."""
    write(folder, range(1, 11))
    (path,) = files(folder)
    bytes_of = bytearray(content(path))
    bytes_of[-100] ^= 1  # within the ninth record of ten, of 65 bytes each
    tf.io.gfile.remove(path)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(bytes(bytes_of))
    forget_events_after(folder, 10)
    assert [step for step, _ in read(folder)[0]] == list(range(1, 9))


def test_only_files_that_lose_something_are_touched(tmp_path):
    write(tmp_path, range(1, 6), image_at=5)
    write(tmp_path, range(6, 11))
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    first, second = files(tmp_path)
    for path in (first, second, tmp_path / "metrics.jsonl"):
        os.utime(path, ns=(10**18, 10**18))
    forget_events_after(str(tmp_path), 10)
    assert [os.stat(path).st_mtime_ns for path in (first, second)] == [10**18, 10**18]
    forget_events_after(str(tmp_path), 9)
    assert os.stat(first).st_mtime_ns == 10**18 < os.stat(second).st_mtime_ns
    assert os.stat(tmp_path / "metrics.jsonl").st_mtime_ns == 10**18
    assert [step for step, _ in read(tmp_path)[0]] == list(range(1, 10))


def test_files_without_an_event_go(folder):
    write(folder, [])
    write(folder, [7])
    write(folder, [])
    cut(files(folder)[2], 0)  # killed before the header was on the disk
    assert len(files(folder)) == 3
    forget_events_after(folder, 7)
    assert len(files(folder)) == 1 and read(folder)[0] == [(7, 7.0)]
    forget_events_after(folder, 6)
    assert files(folder) == []


def test_what_a_killed_forgetting_left_behind_goes_unseen(folder):
    write(folder, range(1, 4))
    with tf.io.gfile.GFile(os.path.join(folder, "events.tmp"), "wb") as file:
        file.write(content(files(folder)[0]))
    assert [step for step, _ in read(folder)[0]] == [1, 2, 3]  # TensorBoard does not take it
    forget_events_after(folder, 3)
    assert not tf.io.gfile.exists(os.path.join(folder, "events.tmp"))
    assert [step for step, _ in read(folder)[0]] == [1, 2, 3]


def test_files_are_streamed(tmp_path):
    """Eight records of 8 MB: a few of them are held at a time, not the file."""
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default():
        for step in range(1, 9):
            tf.summary.write("noise", np.full(2**20, step, np.float64), step=step)
    writer.close()
    (large,) = files(tmp_path)
    assert os.path.getsize(large) > 64 * 2**20
    tracemalloc.start()
    forget_events_after(str(tmp_path), 7)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert os.path.getsize(large) > 56 * 2**20 and peak < 40 * 2**20
