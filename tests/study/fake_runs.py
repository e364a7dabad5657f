"""Runs of a study that train nothing: directories, claimed as ever, with what runs leave there."""

import csv
import json
import os
import time

import numpy as np

from micle_tf.files import write_text
from micle_tf.run_config import is_finished
from micle_tf.study.directory import Machine
from micle_tf.training.lock import RunLock

LAPTOP = Machine("laptop", 96, "")


def nothing(flags):
    """The metrics of a run that has none."""
    return {}


class FakeRuns:
    """What a `Work` prepares commands by; `made` are the runs in the order in which they began.

    Args:
      log: path of a file to which any number of processes add a line for each run.
      during: {flag: text} to metrics, while the run is held; or raises what befalls it.
      seconds: that a run says it took.
      machine: what the commands let this machine decide.
    """

    def __init__(self, log, during=nothing, seconds=1.0, machine=LAPTOP):
        self.log, self.during, self.seconds, self.machine = str(log), during, seconds, machine
        self.prepared = []

    def __call__(self, words, decided=()):
        self.prepared.append(words)
        return _FakeCommand(self, words)

    @property
    def made(self):
        return lines(self.log)


class _FakeCommand:
    def __init__(self, runs, words):
        self._runs, self.machine = runs, runs.machine
        self._flags = dict(word.removeprefix("--").split("=", 1) for word in words)

    def run(self):
        place = self._flags["model_dir"]
        os.makedirs(place, exist_ok=True)
        with RunLock(place):
            if is_finished(place):
                return
            write_text(os.path.join(place, "config.json"), "{}\n")
            add_line(self._runs.log, place)
            metrics = self._runs.during(self._flags)
            result = {"metrics": metrics, "intervals": {}, "seconds": self._runs.seconds}
            write_text(os.path.join(place, "result.json"), json.dumps(result))


def add_line(path, text):
    """Adds a line to a file, whole whoever else does so too."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{text}\n".encode())
    os.close(descriptor)


def lines(path):
    """The lines of a file; none where there is no file."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def slow(flags):
    """Takes as long as another process needs to come by."""
    time.sleep(0.1)
    return {}


def finished(folder, metrics=None, seconds=1.0, **others):
    """A finished run: its config.json and result.json."""
    os.makedirs(folder, exist_ok=True)
    write_text(os.path.join(folder, "config.json"), "{}\n")
    result = {"metrics": metrics or {}, "intervals": {}, "seconds": seconds, **others}
    write_text(os.path.join(folder, "result.json"), json.dumps(result))


# ---------------------------------------------------------------- what was predicted

CASES, PATIENTS = 40, 17
CLASSES, FINDINGS = ("a", "b", "c"), ("x", "y")


def judged(folder, scores, *, multilabel=False, level="case", metrics=None):
    """A finished run with predictions of 40 cases, an image each, of 17 patients.

    Args:
      folder: its directory.
      scores: float [40, K].
      multilabel: of `FINDINGS` instead of `CLASSES`.
      level: "image" for rows of images alone, "case" for those of cases too.
      metrics: of its result.json.
    """
    seen = {"learned": {"images": 0}, "judged": {"images": CASES}}
    finished(folder, metrics, seen=seen)
    names = FINDINGS if multilabel else CLASSES
    stated = [f"label_{name}" for name in FINDINGS] if multilabel else ["label"]
    with open(os.path.join(folder, "predictions.csv"), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        ids = ["level", "case_id", "patient_id", "image_id"]
        writer.writerow([*ids, *stated, *(f"p_{name}" for name in names)])
        for one in ("image", "case")[: 1 + (level == "case")]:
            for k, (label, row) in enumerate(zip(labels(multilabel), scores, strict=True)):
                shown = label.tolist() if multilabel else [CLASSES[label]]
                image = f"i{k}" if one == "image" else ""
                writer.writerow([one, f"c{k}", f"p{k % PATIENTS}", image, *shown, *row.tolist()])


def labels(multilabel=False):
    """int [40], or [40, 2] of which some are not known."""
    rng = np.random.default_rng(7)
    return rng.integers(-1, 2, (CASES, 2)) if multilabel else rng.integers(0, 3, CASES)


def scores(seed, quality, multilabel=False):
    """Probabilities [40, K] that tell more with higher quality, in [0, 1]."""
    rng, of = np.random.default_rng(seed), labels(multilabel)
    truth = (of == 1).astype(float) if multilabel else np.eye(3)[of]
    noise = rng.random(truth.shape) if multilabel else rng.dirichlet(np.ones(3), CASES)
    return quality * truth + (1 - quality) * noise
