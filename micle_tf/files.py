"""Small files, written whole or not at all, wherever `tf.io.gfile` reaches."""

import contextlib
import errno
import json
import os
import re

import numpy as np
import tensorflow as tf


@contextlib.contextmanager
def renamed_when_whole(path):
    """Yields the name, with the same ending, to write a file under before it gets its own."""
    folder, name = os.path.split(path)
    unfinished = os.path.join(folder, f"unfinished-{name}")
    if tf.io.gfile.exists(unfinished):  # ram:// would append to it
        tf.io.gfile.remove(unfinished)
    try:
        yield unfinished
        tf.io.gfile.rename(unfinished, path, overwrite=True)
    except Exception:
        with contextlib.suppress(tf.errors.OpError):  # a full disk takes the name, and no more
            tf.io.gfile.remove(unfinished)
        raise


def write_text(path, text):
    """Writes a text file whole or not at all."""
    with renamed_when_whole(path) as unfinished, tf.io.gfile.GFile(unfinished, "w") as file:
        file.write(text)


def write_json(path, value):
    """`write_text` of JSON; a number that is not finite becomes null, as JSON has none."""
    write_text(path, json.dumps(finite(value), indent=1, allow_nan=False) + "\n")


def save_arrays(path, arrays):
    """Writes {name: array} as .npz, whole or not at all, on a local disk; raises OSError.

    Unlike `renamed_when_whole`, for what several processes may find missing, and make, at once.
    """
    unfinished = f"{path}.{os.getpid()}.tmp"
    try:
        with open(unfinished, "wb") as file:
            np.savez_compressed(file, **arrays)
        os.replace(unfinished, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.remove(unfinished)
        raise


def finite(value):
    """A copy of what is to be JSON, with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value


def disk_is_full(error):
    """Whether a disk or quota is full; array_record, TensorFlow and tfds say so in words alone."""
    words = [os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT)]
    return any(text in str(error) for text in (*words, "Not enough disk space"))


def reason_of(error):
    """One short line on what a file operation failed of, without TensorFlow's trimmings."""
    text = str(getattr(error, "message", "") or error).strip() or type(error).__name__
    text = re.sub(r"{{.*?}}|\[Op:\w+\]", "", text.splitlines()[0])
    return " ".join(text.rpartition("; ")[2].split())[-200:]  # of "path; reason"
