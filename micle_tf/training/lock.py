"""The lock of a run directory: two jobs in one directory would destroy each other's run."""

import contextlib
import errno
import json
import math
import os
import pathlib
import socket
import threading
import time
import uuid

import tensorflow as tf

from micle_tf import console
from micle_tf.errors import Held, Stopped
from micle_tf.files import reason_of

LOCK_FILE = "lock"
# What network file systems answer that were mounted without locks (Lustre, some NFS).
_NO_FLOCK = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


class RunLock:
    """Holds a run directory for this process; a context manager, or `acquire` and `release`.

    In a local directory it is flock(2) on the file "lock", which the kernel frees when its
    holder ends, however it ends. Where there is no flock ("://" in the path, or a file
    system without it), it is a lease (Gray and Cheriton, SOSP 1989): the holder rewrites
    the file every `beat_every` seconds, and counts as dead if its process is gone from this
    machine, or if the file stays the same for `dead_after` seconds of watching. No clock
    of another machine is trusted. Two locks on one directory exclude each other within one
    process, too.

    Args:
      path: the run directory, which exists; local, or a path of `tf.io.gfile`.
      beat_every: seconds between two signs of life of a lease.
      dead_after: seconds without one after which a lease is taken over; several times
        `beat_every`, and the same for all who use the directory.
      look_every: seconds between two looks at the lease of another; longer than a write
        takes, so that of several processes that take one over, one wins.
    """

    def __init__(self, path, beat_every=5.0, dead_after=30.0, look_every=1.0):
        self._path = path = os.fspath(path)
        self._lease = _Lease(path, beat_every, dead_after, look_every)
        self._lock = self._lease if "://" in path else _Flock(path)

    def acquire(self):
        """Takes the lock, or refuses; waits only to see whether the holder of a lease lives.

        Raises:
          Held: another process holds it; names the process, its host and its start.
          Stopped: the directory cannot be written.
        """
        try:
            try:
                self._lock.acquire()
            except OSError as error:
                if error.errno not in _NO_FLOCK:
                    raise
                self._lock = self._lease
                self._lock.acquire()
        except (OSError, tf.errors.OpError) as error:
            reason = getattr(error, "strerror", None) or reason_of(error)
            raise Stopped(f"--model_dir={self._path}: cannot be written: {reason}") from None

    def check(self):
        """Raises Stopped if the lease was taken over while this process or its network slept.

        To be called before anything in the directory is overwritten; costs nothing.
        """
        if self._lock.taken_by is not None:
            raise Stopped(
                f"--model_dir={self._path}: taken over by {_named(self._lock.taken_by)}, "
                "as this process gave no sign of life"
            )

    def release(self):
        """Lets go of the lock and removes its file; does nothing if it is not held."""
        self._lock.release()

    def __enter__(self):
        self.acquire()
        return self

    def __exit__(self, *failure):
        self.release()


class _Flock:
    """flock(2) on a file whose content only serves the message of the one who is refused."""

    taken_by = None  # the kernel takes it from nobody

    def __init__(self, path):
        self._path, self._file = path, os.path.join(path, LOCK_FILE)
        self._descriptor = None

    def acquire(self):
        descriptor = self._open_locked()
        try:
            text = json.dumps(_this_process()).encode()
            os.pwrite(descriptor, text, 0)
            os.ftruncate(descriptor, len(text))
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _open_locked(self):
        import fcntl  # which not every system has

        while True:
            is_new = not os.path.exists(self._file)
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # A holder that ended just now has removed the file that was opened here.
                if os.path.samestat(os.fstat(descriptor), os.stat(self._file)):
                    return descriptor
            except FileNotFoundError:
                pass
            except BlockingIOError:
                holder = _parsed(os.pread(descriptor, 4096, 0))
                os.close(descriptor)
                raise _in_use(self._path, holder) from None
            except OSError:
                if is_new:
                    os.unlink(self._file)  # or it would pass for a lease that is being written
                os.close(descriptor)
                raise
            os.close(descriptor)

    def release(self):
        if self._descriptor is None:
            return
        # It may be gone with its directory, or the disk failed: closing is what frees it.
        with contextlib.suppress(OSError):
            os.unlink(self._file)
        os.close(self._descriptor)
        self._descriptor = None


class _Lease:
    """A file that its holder rewrites to show that it lives."""

    def __init__(self, path, beat_every, dead_after, look_every):
        self._path, self._file = path, os.path.join(path, LOCK_FILE)
        self._beat_every, self._look_every = beat_every, look_every
        self._dead_after = dead_after
        self._token, self._stop, self._thread = None, None, None
        self.taken_by = None

    def acquire(self):
        self._wait_until_free()
        token = uuid.uuid4().hex
        stated = _this_process() | {"token": token}
        self._write(stated)
        # Of several that found it free, the last to write has it: let all of them write.
        time.sleep(self._look_every)
        holder = _parsed(self._read())
        if holder is None or holder.get("token") != token:
            raise _in_use(self._path, holder)
        self._token, self._stop, self.taken_by = token, threading.Event(), None
        self._thread = threading.Thread(
            target=self._beat, args=(stated, self._stop), name="run lock", daemon=True
        )
        self._thread.start()

    def _wait_until_free(self):
        """Returns when there is no lease or its holder is dead; refuses if it lives.

        A lease that cannot be read is watched like any other: it may be about to be written.
        """
        lease, holder = self._read(), None
        # Looks are counted, not seconds: this process may itself be suspended meanwhile.
        for look in range(math.ceil(self._dead_after / self._look_every)):
            holder = _parsed(lease) or holder
            if lease is None or _is_gone(holder):
                return
            if look == 0:
                console.say(
                    f"--model_dir={self._path}: held by {_named(holder)}; waiting "
                    f"{console.duration(self._dead_after)} for a sign of life"
                )
            time.sleep(self._look_every)
            now = self._read()
            if now is not None and now != lease:
                raise _in_use(self._path, _parsed(now) or holder)
            lease = now

    def _beat(self, stated, stop):
        while not stop.wait(self._beat_every):
            try:
                holder = _parsed(self._read())
                if holder is not None and holder.get("token") != stated["token"]:
                    self.taken_by = holder
                    return
                self._write(stated)
            except tf.errors.OpError:
                pass  # the network or the disk failed; the next beat may get through

    def release(self):
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join(self._dead_after)  # or a beat under way would make the file again
        self._thread = None
        with contextlib.suppress(tf.errors.OpError):  # a lease that stays runs out by itself
            if (_parsed(self._read()) or {}).get("token") == self._token:
                tf.io.gfile.remove(self._file)

    def _read(self):
        """The file's bytes; None if there is none."""
        try:
            with tf.io.gfile.GFile(self._file, "rb") as file:
                return file.read()
        except tf.errors.NotFoundError:
            return None

    def _write(self, stated):
        # A new word of the same length each time: a reader that takes the length of the
        # file from a cache, as on gs://, still gets a whole line. ram:// has no truncation
        # and appends: the last line is the one that counts.
        with tf.io.gfile.GFile(self._file, "wb") as file:
            file.write(json.dumps(stated | {"beat": uuid.uuid4().hex}).encode() + b"\n")


def _this_process():
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "machine": _machine(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }


def _machine():
    """What makes a process id unique: this boot of this machine, and the container's ids."""
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _parsed(content):
    """A lock file's holder as a dict; None if there is no file or it is damaged."""
    try:
        holder = json.loads((content or b"").strip().rpartition(b"\n")[2])
        valid = isinstance(holder["pid"], int) and 0 < holder["pid"] < 2**31
        texts = (holder["host"], holder["since"], holder["machine"])
    except (ValueError, KeyError, TypeError):
        return None
    return holder if valid and all(isinstance(text, str) for text in texts) else None


def _is_gone(holder):
    """Whether a holder's process is known to have ended; of other machines nothing is known."""
    if holder is None or not holder["machine"] or holder["machine"] != _machine():
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it belongs to another user
    return False


def _named(holder):
    if holder is None:
        return "another process"
    return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"


def _in_use(path, holder):
    return Held(
        f"--model_dir={path}: in use by {_named(holder)}; wait for it, stop it, or choose "
        "another directory"
    )
