"""The work of a study: whatever can be run and nobody else holds, until nothing is left.

Any number of processes, on any machines that share the directory, do it at once: a run belongs to
whoever has the lock of its directory.
"""

import contextlib
import io
import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras

from micle_tf import console, exits
from micle_tf.errors import BadInput, Held, Preempted, Stopped
from micle_tf.evaluation.contrasts import PRIMARY
from micle_tf.run_config import is_finished
from micle_tf.study.directory import Machine, StudyDirectory, decided_words
from micle_tf.study.runs import Planned, choose, command
from micle_tf.training.lock import LOCK_FILE, RunLock

_LOOK_EVERY = 5.0  # seconds, while others hold what is left


class Command(Protocol):
    """A command whose settings are decided."""

    @property
    def machine(self) -> Machine:
        """What it lets this machine decide."""

    def run(self) -> Any:
        """Does it."""


class Work:
    """The runs of a study, as far as this process knows.

    Args:
      directory: `StudyDirectory`.
      runs: `planned`, parents before children.
      prepare: from the words of a command, and those of them that a machine decided, to a
        `Command`.

    Attributes:
      failed: {path: why} of the runs that failed in this process.
    """

    def __init__(
        self,
        directory: StudyDirectory,
        runs: Sequence[Planned],
        prepare: Callable[[list[str], list[str]], Command],
    ) -> None:
        self._directory, self._runs, self._prepare = directory, runs, prepare
        self._by_path = {run.path: run for run in runs}
        self.failed: dict[str, str] = {}

    def do(self) -> None:
        """Makes all runs that are not there; returns when there is none that could be made.

        What fails is in `failed`, and what needs it is left.

        Raises:
          BadInput: a result.json is damaged.
          KeyboardInterrupt, Preempted: this process is to end.
        """
        waits = False
        while any(map(self._can_begin, self._runs)):
            taken = False
            for run in self._runs:
                # In this order: who lets go of a run may have finished it.
                if not is_held(self._directory.run(run)) and self._can_begin(run):
                    self._say_progress(run)
                    taken = self._make(run) or taken
            if not taken:
                if not waits:
                    console.say("study: waits for what other processes are at")
                waits = True
                time.sleep(_LOOK_EVERY)

    def command(self, run: Planned) -> list[str]:
        """The words behind the program's name that make a run, once its grid is done."""
        words = command(run, self._directory.path, self._chosen(run))
        return [words[0], *self._directory.decided(run), *words[1:]]

    def is_done(self, run: Planned) -> bool:
        """Whether a run is finished."""
        return is_finished(self._directory.run(run))

    def _can_begin(self, run: Planned) -> bool:
        """Whether it is not done, did not fail, and what it needs is there."""
        if run.path in self.failed or self.is_done(run):
            return False
        needs = [run.parent] * bool(run.parent) + list(run.chosen_from)
        return all(is_finished(os.path.join(self._directory.path, path)) for path in needs)

    def _make(self, run: Planned) -> bool:
        """Runs it; False where another process was faster."""
        try:
            prepared = self._prepared(run)
            self._say_choice(run)
            prepared.run()
        except Held:
            return False
        except Preempted:
            raise
        except (BadInput, Stopped) as error:
            self._fail(run, str(error))
        except Exception as error:  # the others go on, whatever it was
            if exits.is_ending():  # native code makes other errors of an interrupt
                raise
            traceback.print_exc()
            self._fail(run, f"{type(error).__name__}: {error}".partition("\n")[0])
        keras.utils.clear_session()  # and what the run leaves is collected
        return True

    def _prepared(self, run: Planned) -> Command:
        """Its command, with what was decided for its stage: if nothing was, by this machine."""
        if not self._directory.decided(run):
            with contextlib.redirect_stdout(io.StringIO()):  # its notes come below
                machine = self._prepare(self.command(run), []).machine
            self._directory.decide(run, decided_words(run, machine))
        return self._prepare(self.command(run), self._directory.decided(run))

    def _fail(self, run: Planned, reason: str) -> None:
        self.failed[run.path] = reason
        print(f"error: {run.path}: {reason}", file=sys.stderr)

    def _chosen(self, run: Planned) -> dict[str, Any]:
        values = {
            path: metric_of(os.path.join(self._directory.path, path), run.metric)
            for path in run.chosen_from
        }
        return choose(run, self._by_path, values)

    def _say_choice(self, run: Planned) -> None:
        chosen = self._chosen(run).items()
        if chosen:
            shown = " ".join(f"--{name}={console.flag_value(value)}" for name, value in chosen)
            console.say(f"study: {run.path}: chosen on validation: {shown}")

    def _say_progress(self, run: Planned) -> None:
        done = sum(map(self.is_done, self._runs))
        held = sum(is_held(self._directory.run(one)) for one in self._runs)
        parts = [f"{done:,} of {len(self._runs):,} runs done"]
        parts += [f"{held:,} at work elsewhere"] * bool(held)
        parts += [f"{len(self.failed):,} failed"] * bool(self.failed)
        left = self.seconds_left() / (1 + held)
        parts += [f"some {console.duration(left)} left"] * bool(left)
        console.say(f"\nstudy: {', '.join(parts)}; now {run.path}")

    def seconds_left(self) -> float:
        """What one process needs for the runs that are not done, by those that are.

        By the same stage's, at the same fraction if there are any, or, of a training whose number
        of steps is stated, by a step of others of its mode and architecture. 0 where there are none
        of either, or nothing is left.
        """
        seconds: dict[tuple[str, float | None], list[float]] = {}
        of_steps: dict[tuple[str, str], list[float]] = {}
        for run in filter(self.is_done, self._runs):
            result = read_result(self._directory.run(run))
            took = result.get("seconds") or 0.0
            for fraction in {run.fraction, None}:  # None: whatever the fraction
                seconds.setdefault((run.named_stage, fraction), []).append(took)
            if "train_steps" in run.flags and result.get("steps"):
                of_steps.setdefault(_mode(run), []).append(took / result["steps"])
        left = [run for run in self._runs if not self.is_done(run) and run.path not in self.failed]
        whole = 0.0
        for run in left:
            like = (run.named_stage, run.fraction)
            if (same := seconds.get(like) or seconds.get((run.named_stage, None))) is not None:
                whole += statistics.mean(same)
            elif _mode(run) in of_steps and "train_steps" in run.flags:
                step = statistics.mean(of_steps[_mode(run)])
                whole += run.flags["train_steps"] * step
            else:
                return 0.0
        return whole


def _mode(run: Planned) -> tuple[str, str]:
    """What the runs have in common whose steps take alike."""
    return run.flags["mode"], run.architecture


def is_held(path: str) -> bool:
    """Whether another process is at work in a run directory; raises Stopped as `RunLock` does."""
    if not os.path.exists(os.path.join(path, LOCK_FILE)):
        return False
    lock = RunLock(path)
    try:
        lock.acquire()
    except Held:
        return True
    lock.release()
    return False


def read_result(path: str) -> dict[str, Any]:
    """result.json of a finished run.

    Raises:
      BadInput: it is damaged.
    """
    try:
        with open(os.path.join(path, "result.json"), encoding="utf-8") as file:
            result = json.load(file)
        if not all(isinstance(result.get(name, {}), dict) for name in ("metrics", "intervals")):
            raise ValueError("metrics or intervals are no table")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise BadInput(
            f"{path}: its result.json is damaged ({error}); remove it, and the run is done again"
        ) from None
    return dict(result)


def metric_of(path: str, name: str) -> float:
    """A metric of a finished run, "" for the AUC of its highest level; nan where it has none."""
    metrics = read_result(path).get("metrics", {})
    if not name:
        name = next((one for one in PRIMARY if one in metrics), "")
    value = metrics.get(name)
    return float("nan") if value is None else float(value)
