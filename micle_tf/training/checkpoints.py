"""Checkpoints of a run: committed by a mark that is written last, kept by number.

    checkpoints/ckpt-500.index, ckpt-500.data-00000-of-00001    TensorFlow's
    checkpoints/ckpt-500.complete                               the mark: {file: size in bytes}
    checkpoints/checkpoint                                      TensorFlow's list, for other tools

What has no mark was never finished and counts as nothing, on file systems that cannot rename
too. A mark whose files are missing, or not as long as it says, is a damaged checkpoint.
"""

import contextlib
import json
import os
import re

import tensorflow as tf

from micle_tf import console
from micle_tf.errors import BadInput, Stopped
from micle_tf.files import reason_of, write_text

_PREFIX, _MARK = "ckpt-", ".complete"
_DAMAGE = (
    tf.errors.OpError,  # itself: the reader's own for what it cannot make sense of
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.OutOfRangeError,
)


class Checkpoints:
    """The checkpoints of some objects in a folder.

    Args:
      folder: made with the first checkpoint; local, or any path of `tf.io.gfile`.
      tracked: {name: Keras model, optimizer or tf.Variable}.
      keep: how many to keep, the newest ones.
      where: what an error message starts with, as "--model_dir=runs/a".
    """

    def __init__(self, folder, tracked, keep, where):
        self._folder, self._keep, self._where = folder, keep, where
        self._checkpoint = tf.train.Checkpoint(**tracked)

    @property
    def steps(self):
        """The steps of the committed ones, ascending."""
        return steps_in(self._folder)

    def save(self, step):
        """Writes a checkpoint, then its mark, then removes those that are one too many.

        Raises:
          Stopped: it cannot be written. What was there before is untouched.
        """
        path = os.path.join(self._folder, f"{_PREFIX}{step}")
        before = self.steps
        try:
            self._remove(step)  # a run that was judged anew comes by again
            self._checkpoint.write(path)
            write_text(f"{path}{_MARK}", json.dumps(_sizes(path)) + "\n")
            self._list()
        except (tf.errors.OpError, OSError) as error:
            with contextlib.suppress(tf.errors.OpError, OSError):
                self.forget_after(before[-1] if before else -1)
            last = f"the last one is of step {before[-1]}" if before else "there is none yet"
            raise Stopped(
                f"the checkpoint of step {step} cannot be written, {last}: {reason_of(error)}"
            ) from None
        for old in self.steps[: -self._keep]:
            self._remove(old)

    def restore_newest(self):
        """Restores the newest checkpoint that is whole; says so when it is not the newest.

        Returns:
          Its step; None where nothing was ever saved.

        Raises:
          BadInput: there are checkpoints, and none is whole.
        """
        reason = None
        for step in reversed(self.steps):
            try:
                self.restore(step)
            except BadInput as error:
                reason = reason or error
                name = f"{_PREFIX}{step}"
                console.say(f"warning: {name} is damaged; going back to the one before")
                continue
            return step
        if reason:
            raise BadInput(f"{reason}; no older one is whole")
        return None

    def check(self, step):
        """Raises BadInput if a checkpoint is not there or not whole, as far as files can tell."""
        if step not in self.steps:
            raise BadInput(f"{self._where}: {_PREFIX}{step} is gone")
        check_whole(os.path.join(self._folder, f"{_PREFIX}{step}"), self._where)

    def restore(self, step):
        """Restores a checkpoint; raises BadInput if it is damaged or not there."""
        self.check(step)
        path = os.path.join(self._folder, f"{_PREFIX}{step}")
        with damage_named(path, self._where):
            self._checkpoint.read(path).assert_consumed()

    def forget_after(self, step):
        """Removes the checkpoints after a step, and what unfinished ones left behind."""
        kept = [number for number in self.steps if number <= step]
        names = {f"{_PREFIX}{number}" for number in kept}
        ours = (_PREFIX, f"unfinished-{_PREFIX}")
        for name in _listed(self._folder):
            if name.startswith(ours) and name.partition(".")[0] not in names:
                _remove_any(os.path.join(self._folder, name))
        self._list()

    def _list(self):
        """Brings TensorFlow's own list of checkpoints up to date."""
        names = [f"{_PREFIX}{step}" for step in self.steps[-self._keep :]]
        lines = [f'all_model_checkpoint_paths: "{name}"\n' for name in names]
        path = os.path.join(self._folder, "checkpoint")
        if names:
            write_text(path, f'model_checkpoint_path: "{names[-1]}"\n' + "".join(lines))
        elif tf.io.gfile.exists(path):
            tf.io.gfile.remove(path)

    def _remove(self, step):
        path = os.path.join(self._folder, f"{_PREFIX}{step}")
        # The mark goes first: what a kill leaves of the rest then counts as nothing.
        for name in sorted(_files_of(path), key=lambda name: not name.endswith(_MARK)):
            tf.io.gfile.remove(os.path.join(self._folder, name))


def steps_in(folder):
    """The steps of the committed checkpoints of a folder, ascending."""
    matches = [re.fullmatch(rf"{_PREFIX}(\d+){re.escape(_MARK)}", name) for name in _listed(folder)]
    return sorted(int(match[1]) for match in matches if match)


def latest_checkpoint(folder, where):
    """Path prefix of the newest checkpoint in a folder; None if there is none.

    Raises:
      BadInput, starting with `where`: it is not whole.
    """
    steps = steps_in(folder)
    if not steps:
        return None
    path = os.path.join(folder, f"{_PREFIX}{steps[-1]}")
    check_whole(path, where)
    return path


def step_of(path):
    """The step in the name of a checkpoint: 500 of "runs/a/checkpoints/ckpt-500"."""
    return int(path.rpartition("-")[2])


def check_whole(path, where):
    """Raises BadInput unless the files of a committed checkpoint are as its mark says."""
    name = os.path.basename(path)
    try:
        with tf.io.gfile.GFile(f"{path}{_MARK}") as file:
            stated = dict(json.loads(file.read()))
        sizes = _sizes(path)
    except (ValueError, TypeError, tf.errors.NotFoundError):
        raise BadInput(f"{where}: {name}{_MARK} is damaged") from None
    for file, size in stated.items():
        if file not in sizes:
            raise BadInput(f"{where}: {file} is gone")
        if sizes[file] != size:
            raise BadInput(f"{where}: {file} is damaged: {sizes[file]:,} bytes of {size:,}")


@contextlib.contextmanager
def damage_named(path, where):
    """Makes a BadInput, starting with `where`, of what TensorFlow raises on a damaged checkpoint.

    What a network or a disk may fail of for a while is no damage, and is not caught.
    """
    try:
        yield
    except (tf.errors.OpError, IndexError, AssertionError, ValueError) as error:
        if isinstance(error, tf.errors.OpError) and type(error) not in _DAMAGE:
            raise
        raise BadInput(
            f"{where}: {os.path.basename(path)} is damaged: {reason_of(error)}"
        ) from None


def _sizes(path):
    """{name: bytes} of TensorFlow's files of a checkpoint."""
    folder = os.path.dirname(path)
    names = [name for name in _files_of(path) if not name.endswith(_MARK)]
    return {name: tf.io.gfile.stat(os.path.join(folder, name)).length for name in names}


def _files_of(path):
    """The names of a checkpoint's files, sorted; by no glob, which would misread "run[1]"."""
    folder, name = os.path.split(path)
    return sorted(file for file in _listed(folder) if file.startswith(f"{name}."))


def _listed(folder):
    """The names in a folder; [] only if there is none: what is not reached is not empty."""
    try:
        return [name.rstrip("/") for name in tf.io.gfile.listdir(folder)]
    except tf.errors.NotFoundError:
        return []


def _remove_any(path):
    try:
        tf.io.gfile.remove(path)
    except tf.errors.OpError:  # a folder
        tf.io.gfile.rmtree(path)
