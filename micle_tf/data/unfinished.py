"""A folder for data in the making, which nobody takes for whole and which does not pile up."""

import contextlib
import os
import shutil
import tempfile

_PREFIX, _LOCK = "incomplete-", ".lock"


@contextlib.contextmanager
def unfinished_folder(root):
    """Yields a new folder below `root`; afterwards it is gone, with what is still in it.

    A process that is killed leaves its folder. Each is locked while its process lives, so that
    the next one tells what was left, and removes it.
    """
    _remove_left(root)
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX, dir=root) as folder,
        open(os.path.join(folder, _LOCK), "wb") as lock,
    ):
        with contextlib.suppress(OSError):  # a file system without locks: left to its owner
            _lock(lock)
        yield folder


def _remove_left(root):
    for name in os.listdir(root):
        path = os.path.join(root, name)
        # A folder without a lock file may be just being made.
        if name.startswith(_PREFIX) and os.path.exists(os.path.join(path, _LOCK)):
            with contextlib.suppress(OSError), open(os.path.join(path, _LOCK), "rb+") as lock:
                _lock(lock, at_once=True)  # raises while its process lives
                shutil.rmtree(path, ignore_errors=True)


def _lock(file, at_once=False):
    import fcntl  # which not every system has

    fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if at_once else 0))
