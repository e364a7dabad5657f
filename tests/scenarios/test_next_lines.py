"""Every "next:" line that a command prints, typed as it was printed, with small flags appended.

And of each of these commands: which settings it read, and whether those that it did not read are
the ones of which a note says that they do nothing.
"""

import collections
import csv
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_builders.derm_cases import synthetic
from micle_tf import cli
from micle_tf.config import Config
from micle_tf.dataset_names import dataset_names
from micle_tf.errors import BadInput
from micle_tf.modes import export
from tests.data_builders import trees_nih
from tests.generated_cases import write_cases
from tests.small_commands import SMALL, folder_alone


class EightyTiles(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A set of tensorflow_datasets with train and test."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(9, 9, 3)),
            "label": tfds.features.ClassLabel(names=["azure", "brown"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 60), "test": self._generate_examples(60, 80)}

    def _generate_examples(self, start, end):
        for i in range(start, end):
            pixels = np.random.default_rng(i).integers(0, 256, (9, 9, 3))
            yield i, {"image": pixels.astype(np.uint8), "label": i % 2}


def with_findings(folder):
    """The cases of `write_cases` with two findings in place of the label."""
    manifest = write_cases(folder)
    with open(manifest, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with open(manifest, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case_id", "patient_id", "image", "Edema", "Effusion"])
        for row in rows:
            oval = {"oval": 1, "ring": 0}.get(row["label"], "")
            odd = oval if oval == "" else int(row["case_id"][1:]) // 2 % 2
            writer.writerow([row["case_id"], row["patient_id"], row["image"], oval, odd])
    return manifest


def as_folder(folder, photos):
    """The photos of `write_cases` in a sub-folder per case."""
    for photo in sorted(photos.iterdir()):
        case = folder / photo.name.partition("_")[0]
        case.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, case)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Where all kinds of data lie, each in its owner's form."""
    root = tmp_path_factory.mktemp("next lines")
    write_cases(root / "my photos")
    with_findings(root / "findings")
    as_folder(root / "folder", root / "my photos/images")
    trees_nih.write_tree(root / "nih", patients=60, side=24)
    tfds.disable_progress_bar()
    EightyTiles(data_dir=str(root / "data")).download_and_prepare()
    return root


# Who looks at settings without doing anything by them: it prints, compares or notes them.
LOOKERS = (
    "dataclasses",
    "micle_tf.run_names",
    "micle_tf.cli",
    "micle_tf.next_steps",
    "micle_tf.dataset_names",
    "micle_tf.data.places",
    "micle_tf.training.state",
    "micle_tf.model_card",
    __name__,
)
# What is read before a mode begins, or in a case of its own that has a test of its own.
ELSEWHERE = {
    "mode": "to choose the function",
    "dry_run": "to choose the function",
    "dataset": "by names.dataset_names",
    "manifest": "likewise",
    "checkpoint": "for what is taken over",
    "tensorflow_log": "before TensorFlow is loaded",
    "preset": "for what suits the machine",
    "beam_options": "if there is something to prepare",
    "jpeg_quality": "for names of data that was prepared before",
    "labels_shared_by_case": "while files are read, of sets too whose images have their own labels",
    "uncertain": "of findings; noted of classes, before the mode begins or when the data is open",
    "unmentioned": "likewise",
}


class Recording(Config):
    """A configuration that notes which of its fields somebody reads."""

    reads, last = set(), None

    @classmethod
    def of(cls, config):
        cls.last = cls(**{name: getattr(config, name) for name in Config.__dataclass_fields__})
        return cls.last

    def __getattribute__(self, name):
        return read(self, name)

    def part(self, group):
        """A group, of which is noted what is read in its turn."""
        recording = type(group.__name__, (group,), {"__getattribute__": read})
        names = group.__dataclass_fields__
        return recording(**{name: object.__getattribute__(self, name) for name in names})


def read(settings, name):
    reader = sys._getframe(1).f_globals["__name__"]
    if reader == __name__:
        reader = sys._getframe(2).f_globals["__name__"]
    checks = issubclass(type(settings), Config) and reader.startswith("micle_tf.config.")
    if name in Config.__dataclass_fields__ and reader not in LOOKERS and not checks:
        Recording.reads.add(name)
    return object.__getattribute__(settings, name)


def check_reads(config, line):
    """What is never read is what a note says that it does nothing, or cannot be typed here."""
    silent = {
        name
        for name in config.__dataclass_fields__
        if name not in Recording.reads | ELSEWHERE.keys() and not config.otherwise(name)
    }
    silent = {name for name in silent if not is_refused(config, name)}
    noted = {name for name in Recording.reads - ELSEWHERE.keys() if config.otherwise(name)}
    faults = [f"{line}: reads none of {sorted(silent)}, and no note says so"] if silent else []
    if noted:
        faults.append(f"{line}: reads {sorted(noted)}, of which a note says that they do nothing")
    return faults


def is_refused(config, name):
    field = config.__dataclass_fields__[name]
    others = {str: "other", int: 7, float: 0.5, bool: not field.default}
    choices = [value for value in field.metadata["choices"] or () if value != field.default]
    try:
        dataset_names(config.replace(**{name: choices[-1] if choices else others[field.type]}))
    except BadInput as error:
        return str(error).startswith(f"--{name}=")
    return False


FIRST = {
    "synthetic": ["--mode=prepare", "--dataset=derm_cases"],
    "classes": ["--mode=prepare", "--manifest=my photos/cases.csv", "--dry_run"],
    "findings": ["--mode=prepare", "--manifest=findings/cases.csv", "--findings=Edema,Effusion"],
    "folder": ["--mode=prepare", "--manifest=folder"],
    "nih": ["--mode=prepare", "--dataset=nih_chest_xray14", "--manual_dir=nih"],
    "joined": ["--mode=prepare", "--dataset=eighty_tiles+derm_cases/manifest",
               "--manifest=my photos/cases.csv"],
    "tfds": ["--mode=prepare", "--dataset=eighty_tiles"],
}  # fmt: skip
MODES = ["prepare", "pretrain", "linear_eval", "finetune", "evaluate", "export"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FIRST)
def test_lines_run_as_they_are_printed(kind, sources, monkeypatch, capsys):
    """A line is typed unless one of the same mode and flags was, with other values."""
    monkeypatch.chdir(sources)
    shutil.rmtree("runs", ignore_errors=True)
    run_mode = cli._run_mode
    monkeypatch.setattr(cli, "_run_mode", lambda config: run_mode(Recording.of(config)))
    few = {"train": 60, "validation": 25, "test": 25}
    monkeypatch.setattr(synthetic, "PATIENTS_PER_SPLIT", few)
    if kind != "folder":
        monkeypatch.setattr(export, "write_export", folder_alone)
    waiting = collections.deque([shlex.join(["python", "run.py", *FIRST[kind], "--data_dir=data"])])
    modes, shapes, faults = [], set(), []
    while waiting:
        line = waiting.popleft()
        words = shlex.split(line)
        if words[0] == "saved_model_cli":
            check_saved_model(words, run=kind == "folder")
            continue
        assert words[:2] == ["python", "run.py"], line
        mode = next(word for word in words if word.startswith("--mode=")).removeprefix("--mode=")
        shape = (mode, *sorted(word.partition("=")[0] for word in words[2:]))
        if shape in shapes:
            continue
        shapes.add(shape)
        modes.append(mode)
        Recording.reads = set()
        assert cli.main([*words[2:], *SMALL[mode]]) == 0, (line, capsys.readouterr().err)
        shown = capsys.readouterr().out
        if "finished before" not in shown:
            faults += check_reads(Recording.last, line)
        following = re.findall(r"^next: (.*)$", shown, re.MULTILINE)
        assert following, line
        waiting += following
    assert not faults, "\n".join(faults)
    without_labels = ["prepare", "pretrain", "export"]
    assert list(dict.fromkeys(modes)) == (without_labels if kind == "folder" else MODES)


def check_saved_model(words, run):
    assert pathlib.Path(words[words.index("--dir") + 1], "saved_model.pb").exists()
    if run:
        program = pathlib.Path(sys.executable).with_name(words[0])
        done = subprocess.run([program, *words[1:]], capture_output=True, text=True)
        assert done.returncode == 0 and "signature_def['embed']" in done.stdout, done.stderr
