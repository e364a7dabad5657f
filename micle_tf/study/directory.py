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
from micle_tf.run_config import check_place, is_run
from micle_tf.settings import Tag, tagged
from micle_tf.study.entries import FLAGS
from micle_tf.study.runs import Planned

FILE = "study.json"
FORMAT = 1  # of it; one without a number is of the first
_LOOK_EVERY = 0.5  # seconds, while another process writes it


class StudyDirectory:
    """What a study keeps beside its runs: study.json.

    Args:
      path: of the directory; it need not be there.

    Raises:
      BadInput: the directory holds something else, its study.json is damaged or of a newer version,
        or runs cannot lie there.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        if "://" in path:
            raise BadInput(f"--model_dir={path}: a study lies in a folder that is mounted here")
        check_place(path, "--model_dir")
        if os.path.exists(path) and not os.path.isdir(path):
            raise BadInput(f"--model_dir={path}: is a file")
        self._kept = self._read()

    def _read(self) -> dict[str, dict[str, Any]]:
        there = set(os.listdir(self.path)) if os.path.isdir(self.path) else set()
        if FILE not in there:
            if there - {"lock", f"unfinished-{FILE}"}:  # as of one that is beginning
                raise BadInput(
                    f"--model_dir={self.path}: not empty, and no study (no {FILE}); choose another"
                )
            return {"decided": {}, "runs": {}, "data": {}}
        try:
            with open(os.path.join(self.path, FILE), encoding="utf-8") as file:
                kept = json.load(file)
            if _format_of(kept) <= FORMAT:
                return _checked(kept)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadInput(
                f"--model_dir={self.path}: its {FILE} is damaged ({error}); choose another"
            ) from None
        raise BadInput(
            f"--model_dir={self.path}: its {FILE} was written by a newer version (format "
            f"{_format_of(kept)}, and this one knows {FORMAT}); go on with that one"
        )

    def run(self, planned: Planned) -> str:
        """The directory of a run."""
        return os.path.join(self.path, planned.path)

    def check(self, runs: Sequence[Planned]) -> None:
        """Raises BadInput, naming it, for a run that was begun with other settings."""
        for run in runs:
            kept, now = self._kept["runs"].get(run.path), _settings(run)
            if kept is None or kept == now or not is_run(self.run(run)):
                continue
            changed = _what_changed(kept, now)
            if changed:
                raise BadInput(
                    f"--model_dir={self.run(run)}: was begun with {changed}; give the stage "
                    "another name, or choose another --model_dir"
                )

    def check_data(self, name: str) -> None:
        """Raises BadInput if the runs that are there were judged on other data."""
        there = self._kept["data"].get("judged", name)
        if there != name:
            raise BadInput(
                f"--model_dir={self.path}: its runs are judged on {there}, and the data is {name} "
                "now; choose another --model_dir"
            )

    def keep(self, runs: Sequence[Planned], data: str) -> None:
        """Notes which runs the study takes, with which settings, and on which data.

        Args:
          runs: of the study.
          data: the name of the prepared data that they are judged on, which says its content.
        """
        with self._changed():
            self.check_data(data)
            self._kept["runs"] |= {run.path: _settings(run) for run in runs}
            self._kept["data"] = {"judged": data}

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

        with self.locked():
            self._kept = self._read()
            yield
            text = json.dumps({"format": FORMAT, **self._kept}, indent=1)
            write_text(os.path.join(self.path, FILE), text + "\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Inside, no other process writes to the directory itself, of which this makes one.

        Raises:
          BadInput: it cannot be made.
        """
        from micle_tf.training.lock import RunLock

        try:
            os.makedirs(self.path, exist_ok=True)
        except OSError as error:
            reason = error.strerror
            raise BadInput(f"--model_dir={self.path}: cannot be written: {reason}") from None
        lock = RunLock(self.path)
        while True:
            try:
                lock.acquire()
                break
            except Held:
                time.sleep(_LOOK_EVERY)
        try:
            yield
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
      run: `Planned`. One that starts from another, of the study or not, takes its preset over, on
        any machine.
      machine: what its command lets this machine decide.
    """
    mode = run.flags["mode"]
    if mode not in presets.MODES:
        return []
    words = []
    if machine.preset == "gpu" and mode in TRAIN and "train_batch_size" not in run.flags:
        words = [f"--train_batch_size={machine.train_batch_size}"]
    if run.parent or "preset" in run.flags or is_run(run.flags.get("checkpoint", "")):
        return words
    if machine.preset in ("laptop", "gpu"):
        return [f"--preset={machine.preset}", *words]
    return [f"--flagfile={machine.recipe}"] if machine.recipe else ["--preset=paper"]


def _settings(run: Planned) -> dict[str, Any]:
    """What is kept of a run: its flags and, with a grid, between what and by what is chosen."""
    choice = [run.metric, *run.chosen_from] if run.chosen_from else []
    return {"flags": run.flags, "choice": choice}


def _what_changed(kept: dict[str, Any], now: dict[str, Any]) -> str:
    """What differs between `_settings`, before and behind "and the study has"; "" for nothing."""
    before, flags = kept["flags"], now["flags"]
    for name in sorted({*before, *flags}):
        there, here = before.get(name), flags.get(name)
        if there != here and not _is_free(name, flags["mode"]):
            return f"{_shown(name, there)}, and the study has {_shown(name, here)} now"
    there, here = (
        os.path.dirname(one["choice"][-1]) if one["choice"] else "" for one in (kept, now)
    )
    if there and here and there != here:
        return (
            f"what {there} chose, and by the first seed and the largest fraction it is {here} now"
        )
    is_same = kept["choice"] == now["choice"]
    return "" if is_same else "what another grid, or another metric, chose"


def _format_of(kept: Any) -> int:
    """The format of what study.json holds; raises what `_read` catches if it says none that is."""
    number = kept.get("format", 1)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"format {number}")
    return number


def _checked(kept: Any) -> dict[str, dict[str, Any]]:
    """The content of study.json; raises what `_read` catches if it is something else."""
    decided = {kind: [str(word) for word in words] for kind, words in kept["decided"].items()}
    runs = {
        path: {"flags": dict(one["flags"]), "choice": list(one["choice"])}
        for path, one in kept["runs"].items()
    }
    return {"decided": decided, "runs": runs, "data": dict(kept.get("data", {}))}


def _kind(run: Planned) -> str:
    """The runs of a stage that decide alike: those that start from another, and the others."""
    return f"{run.named_stage}, from another" if run.parent else run.named_stage


def _is_free(name: str, mode: str) -> bool:
    """Whether a flag may differ from machine to machine, or is of another version."""
    places = tagged(Config, Tag.DATA_PLACE | Tag.RUN_PLACE)
    return name in places or name not in FLAGS or not is_compared(FLAGS[name], mode)


def _shown(name: str, value: Any) -> str:
    return f"no {name}" if value is None else f"--{name}={console.flag_value(value)}"
