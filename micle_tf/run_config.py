"""The configuration that a run directory keeps, read without TensorFlow where the run is on a disk.

What a run decides before TensorFlow is loaded (see `cpu_kernels`) can depend on the run that it
starts from, or goes on with.
"""

import json
import os

from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.settings import Tag, tagged

# What a run inherits from the run that it takes its weights from.
ARCHITECTURE = (*tagged(Config, Tag.ENCODER), *tagged(Config, Tag.INPUT))
PROJECTION = tagged(Config, Tag.PROJECTION)


def check_place(path, flag):
    """Raises BadInput, naming the flag, if TensorFlow cannot keep a run at a path."""
    scheme, remote, _ = path.partition("://")
    if remote:
        import tensorflow as tf

        if scheme not in tf.io.gfile.get_registered_schemes():
            raise BadInput(f"{flag}={path}: TensorFlow has no file system for {scheme}://")
    special = sorted(set("[]*?") & set(path))
    if special:  # TensorFlow could write a checkpoint there, and not read it
        raise BadInput(f"{flag}={path}: TensorFlow cannot read where there is a {special[0]}")
    if remote:
        try:
            tf.io.gfile.exists(path)
        except tf.errors.InvalidArgumentError as error:  # gs:// without a bucket
            raise BadInput(f"{flag}={path}: {error.message.splitlines()[0]}") from None


def is_run(path):
    """Whether a directory holds a run: a config.json."""
    return _has(path, "config.json")


def is_finished(run):
    """Whether a run has its result.json."""
    return _has(run, "result.json")


def read_config(run, flag="--checkpoint"):
    """(Config, other facts) of a run directory; raises BadInput naming the flag."""
    if not is_run(run):
        raise BadInput(f"{flag}={run}: not a run directory (no config.json)")
    try:
        text = _read(os.path.join(run, "config.json"))
        config = Config.from_json(text)
        stated = json.loads(text)
        missing = [name for name in ("mode", *ARCHITECTURE) if name not in stated]
        if missing:
            raise ValueError(f"no {missing[0]} in it")
    except (ValueError, TypeError, AttributeError, BadInput, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{flag}={run}: its config.json is damaged ({reason})") from None
    taken = json.loads(config.to_json())
    return config, {name: value for name, value in stated.items() if name not in taken}


def _read(path):
    """The text of a file; raises OSError where it cannot be read."""
    if "://" not in path:
        with open(path, encoding="utf-8") as file:
            return file.read()
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read().decode()
    except tf.errors.OpError as error:
        raise OSError(error.message) from None


def _has(folder, name):
    path = os.path.join(folder, name)
    if "://" not in path:
        return os.path.isfile(path)
    import tensorflow as tf

    return tf.io.gfile.exists(path)
