"""Looking at files, without TensorFlow where they lie on a disk, elsewhere by `tf.io.gfile`."""

import contextlib
import os
import tempfile
from collections.abc import Iterator

from micle_tf.errors import BadInput


def is_remote(path: str) -> bool:
    """Whether a path is one of `tf.io.gfile` alone, as gs:// and ram://."""
    return "://" in path


def check_reachable(path: str, where: str) -> None:
    """Raises BadInput, beginning with `where`, if TensorFlow has no file system for a path."""
    if not is_remote(path):
        return
    import tensorflow as tf

    try:
        tf.io.gfile.exists(path)
    except tf.errors.OpError as error:
        reason = (error.message or type(error).__name__).splitlines()[0]
        raise BadInput(f"{where}: {reason}") from None


def is_file(path: str) -> bool:
    """Whether there is a file; what cannot be reached is none."""
    if not is_remote(path):
        return os.path.isfile(path)
    import tensorflow as tf

    return tf.io.gfile.exists(path) and not tf.io.gfile.isdir(path)


def is_folder(path: str) -> bool:
    """Whether there is a folder."""
    if not is_remote(path):
        return os.path.isdir(path)
    import tensorflow as tf

    return tf.io.gfile.isdir(path)


def names_in(folder: str) -> list[str]:
    """The names in a folder, sorted; [] if there is none."""
    if not is_remote(folder):
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    import tensorflow as tf

    with contextlib.suppress(tf.errors.NotFoundError):
        return sorted(name.rstrip("/") for name in tf.io.gfile.listdir(folder))
    return []


def size_of(path: str) -> int:
    """The length of a file in bytes."""
    if not is_remote(path):
        return os.path.getsize(path)
    import tensorflow as tf

    return tf.io.gfile.stat(path).length


def read(path: str, count: int = -1) -> bytes:
    """The first bytes of a file; all of them with -1."""
    if not is_remote(path):
        with open(path, "rb") as file:
            return file.read(count)
    import tensorflow as tf

    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read(count)


@contextlib.contextmanager
def on_disk(path: str) -> Iterator[str]:
    """The path of a file on a disk: itself, or a copy that goes away in the end."""
    if not is_remote(path):
        yield path
        return
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, os.path.basename(path))
        tf.io.gfile.copy(path, copy)
        yield copy
