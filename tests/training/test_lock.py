"""Who gets a run directory: real processes that are killed or put to sleep, and real disks."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import pytest
import tensorflow as tf

from micle_tf.errors import BadInput, Stopped
from micle_tf.training.lock import LOCK_FILE, RunLock
from tests.child_processes import wait_for

QUICK = {"beat_every": 0.05, "dead_after": 0.6, "look_every": 0.2}
# For those that must find out that another one lives, on a machine that may be busy.
PATIENT = QUICK | {"dead_after": 60.0}
# Holds the directories it is given until it is killed, and tells if it learns that it lost one.
HOLDER = f"""
import sys, time
from micle_tf.errors import Stopped
from micle_tf.training.lock import RunLock
locks = [RunLock(path, **{QUICK | {"beat_every": 0.5}}) for path in sys.argv[1:]]
for lock in locks:
    lock.acquire()
print("held", flush=True)
try:
    while True:
        time.sleep(0.02)
        for lock in locks:
            lock.check()
except Stopped as error:
    print(error, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def hold(warm):
    """A function from paths to the process that holds them."""
    with contextlib.ExitStack() as started:

        def start(*paths):
            process = started.enter_context(warm.start("-c", HOLDER, *paths))
            wait_for(lambda: process.out == "held\n")
            return process

        yield start


@pytest.fixture(params=["local", "lease"])
def folder(request, tmp_path):
    if request.param == "local":
        return str(tmp_path)
    path = f"ram://{tmp_path.name}"
    tf.io.gfile.makedirs(path)
    return path


@pytest.fixture
def lease_folder(tmp_path):
    path = f"ram://{tmp_path.name}"
    tf.io.gfile.makedirs(path)
    return path


@pytest.fixture
def mount(tmp_path):
    """A function that mounts a small file system in memory and gives its path."""
    path = tmp_path / "disk"
    path.mkdir()

    def mounted(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
        return path

    yield mounted
    if path.is_mount():
        subprocess.run(["umount", str(path)], check=True)


def content(folder):
    """The last line of the lock file, once its holder has finished writing it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with tf.io.gfile.GFile(f"{folder}/{LOCK_FILE}", "rb") as file:
            text = file.read()
        if text.endswith((b"}", b"}\n")):
            break
    return text.strip().rpartition(b"\n")[2]


def put(folder, text):
    """Adds a line on ram://, where no file is truncated, and replaces the file elsewhere."""
    with tf.io.gfile.GFile(f"{folder}/{LOCK_FILE}", "w") as file:
        file.write(text + "\n")


def is_locked(folder):
    return tf.io.gfile.exists(f"{folder}/{LOCK_FILE}")


def of_elsewhere(pid, beat="0"):
    """What the holder of a lease on another machine writes."""
    return json.dumps(
        dict(pid=pid, host="far", machine="m", since="yesterday", token="t", beat=beat)
    )


def refusal(folder):
    with pytest.raises(BadInput) as refused:
        RunLock(folder, **PATIENT).acquire()
    return str(refused.value)


@pytest.mark.slow
def test_a_living_holder_is_respected_and_a_killed_one_is_not(hold, tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    local, remote = str(tmp_path / "a"), f"file://{tmp_path / 'b'}"
    process = hold(local, remote)
    for path in (local, remote):
        assert re.fullmatch(
            rf"--model_dir={re.escape(path)}: in use by process {process.pid} on "
            rf"{re.escape(os.uname().nodename)}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC; "
            r"wait for it, stop it, or choose another directory",
            refusal(path),
        )
    process.send_signal(signal.SIGKILL)
    process.wait()
    # The lease, too, is free at once: the process is known to be gone from this machine.
    for path in (local, remote):
        began = time.monotonic()
        assert json.loads(content(path))["pid"] == process.pid
        with RunLock(path, **PATIENT) as lock:
            assert json.loads(content(path))["pid"] == os.getpid()
            lock.check()
        assert not is_locked(path) and time.monotonic() - began < 30


def test_a_holder_that_slept_learns_that_it_lost_its_lease(hold, tmp_path, capsys):
    path = f"file://{tmp_path}"
    process = hold(path)
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: all(is_stopped(thread) for thread in threads_of(process)))
    with RunLock(path, **QUICK):
        assert f"held by process {process.pid} on " in capsys.readouterr().out
        process.send_signal(signal.SIGCONT)
        wait_for(lambda: process.out.count("\n") == 2)
        told = process.out.removeprefix("held\n")
        assert told.startswith(f"--model_dir={path}: taken over by process {os.getpid()} on ")
        time.sleep(4 * QUICK["beat_every"])  # and it does not take it back
        assert json.loads(content(path))["pid"] == os.getpid()
    assert not is_locked(path)


def threads_of(process):
    return pathlib.Path(f"/proc/{process.pid}/task").iterdir()


def is_stopped(thread):
    return "\nState:\tT" in (thread / "status").read_text()


def test_two_locks_of_one_process_exclude_each_other(folder):
    first, second = RunLock(folder, **PATIENT), RunLock(folder, **PATIENT)
    for _ in range(2):
        with first:
            with pytest.raises(BadInput):
                second.acquire()
            second.release()  # which has nothing to let go of
            assert f"in use by process {os.getpid()} on " in refusal(folder)
        assert not is_locked(folder)
        second.acquire()
        second.release()
        second.release()


def test_a_failure_inside_frees_the_directory(folder):
    with pytest.raises(ZeroDivisionError), RunLock(folder, **QUICK):
        raise ZeroDivisionError
    with RunLock(folder, **QUICK):
        pass


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"pid": 1}', "\x00" * 200])
def test_a_damaged_file_belongs_to_nobody(folder, damage):
    put(folder, damage)
    with RunLock(folder, **QUICK):
        assert json.loads(content(folder))["pid"] == os.getpid()


def test_a_directory_that_vanishes_can_be_released(tmp_path):
    (tmp_path / "run").mkdir()
    with RunLock(str(tmp_path / "run")):
        (tmp_path / "run" / LOCK_FILE).unlink()
        (tmp_path / "run").rmdir()
    assert list(tmp_path.iterdir()) == []


def test_a_lease_is_renewed(lease_folder):
    with RunLock(lease_folder, **QUICK):
        seen = set()
        deadline = time.monotonic() + 30
        while len(seen) < 4 and time.monotonic() < deadline:
            seen.add(content(lease_folder))
            time.sleep(0.02)
        stated = [json.loads(text) for text in seen]
    assert len({holder["beat"] for holder in stated}) == len(stated) >= 4
    assert len({holder["token"] for holder in stated}) == 1
    assert len({len(text) for text in seen}) == 1


def test_a_silent_lease_of_another_machine_is_watched_then_taken(lease_folder, capsys):
    put(lease_folder, of_elsewhere(os.getpid()))  # its process id lives here, which means nothing
    began = time.monotonic()
    with RunLock(lease_folder, **QUICK):
        assert time.monotonic() - began >= QUICK["dead_after"]
        assert json.loads(content(lease_folder))["host"] != "far"
    assert capsys.readouterr().out == (
        f"--model_dir={lease_folder}: held by process {os.getpid()} on far, since yesterday; "
        "waiting 1 s for a sign of life\n"
    )


def test_a_process_gone_from_another_machine_is_not_known_to_be_gone(lease_folder):
    gone = subprocess.Popen(["true"])
    gone.wait()
    put(lease_folder, of_elsewhere(gone.pid))
    began = time.monotonic()
    with RunLock(lease_folder, **QUICK):
        assert time.monotonic() - began >= QUICK["dead_after"]


def test_a_lease_that_changes_is_alive_and_one_that_goes_is_free(lease_folder):
    put(lease_folder, of_elsewhere(os.getpid(), beat="1"))
    renewal = threading.Timer(0.5, put, (lease_folder, of_elsewhere(os.getpid(), beat="2")))
    renewal.start()
    assert "in use by process" in refusal(lease_folder)
    renewal.join()
    assert json.loads(content(lease_folder))["beat"] == "2"
    end = threading.Timer(0.5, tf.io.gfile.remove, (f"{lease_folder}/{LOCK_FILE}",))
    end.start()
    began = time.monotonic()
    with RunLock(lease_folder, **PATIENT):
        assert 0.4 < time.monotonic() - began < 30


def test_of_many_that_come_at_once_one_wins(folder):
    results, ready = [], threading.Barrier(4)
    locks = [RunLock(folder, beat_every=0.2, dead_after=60.0, look_every=0.5) for _ in range(4)]

    def contend(lock):
        ready.wait()
        try:
            lock.acquire()
            results.append("won")
        except BadInput:
            results.append("refused")

    threads = [threading.Thread(target=contend, args=(lock,)) for lock in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["refused"] * 3 + ["won"]
    for lock in locks:
        lock.check()
        lock.release()
    assert not is_locked(folder)


def test_never_two_at_a_time(tmp_path):
    """Three threads take and release for a while, so that each meets files just removed."""
    inside, most, turns = [], [], []
    end = time.monotonic() + 0.5

    def work(name):
        lock = RunLock(str(tmp_path))
        while time.monotonic() < end:
            with contextlib.suppress(BadInput), lock:
                inside.append(name)
                time.sleep(0)
                most.append(len(inside))
                turns.append(name)
                inside.remove(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(turns) > 10


def test_a_lost_lease_is_not_removed(lease_folder):
    with RunLock(lease_folder, look_every=0.1):
        put(lease_folder, of_elsewhere(os.getpid()))
    assert json.loads(content(lease_folder))["host"] == "far"


def test_a_file_system_without_flock_gets_a_lease(tmp_path, monkeypatch):
    def refuses(descriptor, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuses)
    began = time.monotonic()
    with RunLock(str(tmp_path), **PATIENT):
        assert time.monotonic() - began < 30
        assert "token" in json.loads(content(tmp_path))
        assert f"in use by process {os.getpid()}" in refusal(str(tmp_path))
    assert not is_locked(tmp_path)


@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize(
    "options, reason", [("ro", "Read-only file system"), ("size=16k", "No space left on device")]
)
def test_a_disk_that_cannot_be_written(mount, scheme, options, reason):
    path = mount(options)
    if options != "ro":
        with pytest.raises(OSError), open(path / "ballast", "wb", buffering=0) as file:
            while True:
                file.write(bytes(1024))
    with pytest.raises(Stopped) as stopped:
        RunLock(f"{scheme}{path}", **QUICK).acquire()
    assert str(stopped.value) == f"--model_dir={scheme}{path}: cannot be written: {reason}"
