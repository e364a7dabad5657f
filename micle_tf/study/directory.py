"""What a study's directory keeps beside its runs: their settings, and what was decided with them.

What depends on the machine (a preset, a batch that fits a GPU) is decided when the first run of a
stage begins and holds for all who join the study.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from micle_tf import console, presets
from micle_tf.config import Config, is_compared
from micle_tf.config.modes import TRAIN
from micle_tf.errors import BadInput, Held
from micle_tf.run_config import is_run
from micle_tf.settings import Tag, tagged
from micle_tf.study.runs import Planned
from micle_tf.study.specification import FLAGS

FILE = "study.json"
_LOOK_EVERY = 0.5  # seconds, while another process writes it


class StudyDirectory:
    """What a study keeps beside its runs: study.json.

    Args:
      path: of the directory; it need not be there.

    Raises:
      BadInput: the directory holds something else, or its study.json is damaged.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        if "://" in path:
            raise BadInput(f"--model_dir={path}: a study lies in a folder that is mounted here")
        if os.path.exists(path) and not os.path.isdir(path):
            raise BadInput(f"--model_dir={path}: is a file")
        self._kept = self._read()

    def _read(self) -> dict[str, dict[str, Any]]:
        file = os.path.join(self.path, FILE)
        if not os.path.exists(file):
            there = set(os.listdir(self.path)) if os.path.isdir(self.path) else set()
            if there - {"lock", f"unfinished-{FILE}"}:  # as of one that is beginning
                raise BadInput(f"--model_dir={self.path}: not empty, and no study (no {FILE})")
            return {"decided": {}, "runs": {}}
        try:
            with open(file, encoding="utf-8") as opened:
                kept = json.load(opened)
            return {name: dict(kept[name]) for name in ("decided", "runs")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"--model_dir={self.path}: its {FILE} is damaged ({error})") from None

    def run(self, planned: Planned) -> str:
        """The directory of a run."""
        return os.path.join(self.path, planned.path)

    def check(self, runs: Sequence[Planned]) -> None:
        """Raises BadInput, naming it, for a run that was begun with other settings."""
        for run in runs:
            kept = self._kept["runs"].get(run.path)
            if kept is None or kept == run.flags or not is_run(self.run(run)):
                continue
            for name in sorted({*kept, *run.flags}):
                there, here = kept.get(name), run.flags.get(name)
                if there != here and not _is_free(name, run.flags["mode"]):
                    raise BadInput(
                        f"--model_dir={self.run(run)}: was begun with {_shown(name, there)}, and "
                        f"the study has {_shown(name, here)} now; give the stage another name, or "
                        "choose another --model_dir"
                    )

    def keep(self, runs: Sequence[Planned]) -> None:
        """Notes which runs the study takes, and with which settings."""
        os.makedirs(self.path, exist_ok=True)
        with self._changed():
            self._kept["runs"] |= {run.path: run.flags for run in runs}

    def decided(self, run: Planned) -> list[str]:
        """Words that stand for what was decided for the stage of a run; [] where nothing was."""
        return list(self._kept["decided"].get(_kind(run), ()))

    def decide(self, run: Planned, words: Sequence[str]) -> list[str]:
        """Notes, for all runs of a stage, what a machine decided for the first of them.

        Args:
          run: that is about to begin.
          words: of `decided_words`.

        Returns:
          The words that hold: of the machine that was first.
        """
        if not words:
            return []
        with self._changed():
            return list(self._kept["decided"].setdefault(_kind(run), list(words)))

    @contextlib.contextmanager
    def _changed(self) -> Iterator[None]:
        """Inside, `_kept` is as in the file, and others wait; then it is written."""
        from micle_tf.files import write_text
        from micle_tf.training.lock import RunLock

        lock = RunLock(self.path)
        while True:
            try:
                lock.acquire()
                break
            except Held:
                time.sleep(_LOOK_EVERY)
        try:
            self._kept = self._read()
            yield
            write_text(os.path.join(self.path, FILE), json.dumps(self._kept, indent=1) + "\n")
        finally:
            lock.release()


class Machine(NamedTuple):
    """What a command lets this machine decide.

    Attributes:
      preset: that it goes by.
      train_batch_size: likewise.
      recipe: the flagfile that it goes by; "" for none.
    """

    preset: str
    train_batch_size: int
    recipe: str


def decided_words(run: Planned, machine: Machine) -> list[str]:
    """Flags that make any machine decide as this one did.

    Args:
      run: `Planned`. One that starts from another takes its preset over, on any machine.
      machine: what its command lets this machine decide.
    """
    mode = run.flags["mode"]
    if mode not in presets.MODES:
        return []
    words = []
    if machine.preset == "gpu" and mode in TRAIN and "train_batch_size" not in run.flags:
        words = [f"--train_batch_size={machine.train_batch_size}"]
    if run.parent or "preset" in run.flags:
        return words
    if machine.preset in ("laptop", "gpu"):
        return [f"--preset={machine.preset}", *words]
    return [f"--flagfile={machine.recipe}"] if machine.recipe else ["--preset=paper"]


def _kind(run: Planned) -> str:
    """The runs of a stage that decide alike: those that start from another, and the others."""
    return f"{run.stage}, from another" if run.parent else run.stage


def _is_free(name: str, mode: str) -> bool:
    """Whether a flag may differ from machine to machine."""
    places = tagged(Config, Tag.DATA_PLACE | Tag.RUN_PLACE)
    return name in places or not is_compared(FLAGS[name], mode)


def _shown(name: str, value: Any) -> str:
    return f"no {name}" if value is None else f"--{name}={console.flag_value(value)}"
