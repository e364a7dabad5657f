"""Opens a dataset as cases by split, preparing it first when that has not been done."""

import contextlib
import dataclasses
import errno
import os
import tempfile

import numpy as np
import tensorflow_datasets as tfds

from data_builders import case_builder
from data_builders.derm_cases import derm_cases_dataset_builder as derm_cases
from data_builders.derm_cases import manifest as manifests
from micle_tf import console
from micle_tf.data.names import dataset_and_config
from micle_tf.data.reader import CaseIndex, CaseReader, build_index
from micle_tf.data.targets import is_labelled
from micle_tf.errors import BadInput, Stopped


@dataclasses.dataclass(frozen=True)
class CaseData:
    """A prepared dataset.

    Attributes:
      name: "derm_cases/synthetic"; for a manifest the hash of its sources is in it.
      class_names: in the order of the labels; empty if nothing is labelled, or with findings.
      finding_names: of several findings per image; empty where each has one class.
      labels_shared_by_case: the images of a case carry one label.
      notes: one line each on what was decided for the user.
      index: {split: CaseIndex}.
    """

    name: str
    class_names: tuple
    finding_names: tuple
    labels_shared_by_case: bool
    notes: tuple
    index: dict
    _files: dict

    def open(self, split, flag="--train_split"):
        """The reader of a split, or of several joined by "+"; raises BadInput naming `flag`."""
        names = split.split("+")
        for name in names:
            if name not in self.index:
                raise BadInput(f"{flag}={split}: {self.name} has {', '.join(self.index)}")
        if len(set(names)) < len(names):
            raise BadInput(f"{flag}={split}: a split is named twice")
        files = [file for name in names for file in self._files[name]]
        return CaseReader(files, CaseIndex.join([self.index[name] for name in names]))


def open_cases(config):
    """Opens the dataset of a config; prepares it when it is not there yet.

    Args:
      config: `Config`; its fields from `dataset` to `max_pixels` say what and where.

    Returns:
      `CaseData`.

    Raises:
      BadInput: the dataset is unknown, its source has a fault, or data_dir cannot be
        written. No part of the data stays behind then.
      Stopped: the disk is full.
    """
    if "://" in config.data_dir:
        raise BadInput(f"--data_dir={config.data_dir}: prepared data lies on a local disk")
    try:
        source = _source(config)
        builder = _builder(config.data_dir, source)
        if not builder.info.splits:
            _prepare(builder, source)
            builder = _builder(config.data_dir, source)
    except case_builder.BadData as error:
        raise BadInput(" ".join(str(error).splitlines())) from error
    index = _index(builder)
    metadata = builder.info.metadata
    return CaseData(
        name=f"{builder.name}/{builder.builder_config.name}",
        class_names=tuple(metadata["class_names"]),
        finding_names=tuple(metadata["finding_names"]),
        labels_shared_by_case=metadata["labels_shared_by_case"],
        notes=tuple(metadata["notes"]),
        index=index,
        _files={split: _files(builder, split) for split in index},
    )


def describe(data):
    """Lines for a person: patients, cases, images, how many cases have several, per split."""
    lines = [_describe_split(data.name, list(data.index.values()))]
    lines += [_describe_split(f"  {split}", [index]) for split, index in data.index.items()]
    return lines + [f"  note: {note}" for note in data.notes]


def _describe_split(label, indices):
    index = CaseIndex.join(indices)
    known = index.patient_id[index.patient_id != ""]
    parts = [
        console.count(len(np.unique(known)), "patient") if len(known) else "patients not known",
        console.count(index.num_cases, "case"),
        console.count(index.num_images, "image"),
        console.count(int((index.images_per_case > 1).sum()), "case") + " with several",
    ]
    labels = index.findings if index.findings.size else index.class_label
    parts.append(f"{console.count(int(is_labelled(labels).sum()), 'image')} labelled")
    return f"{label}: {', '.join(parts)}"


# ---------------------------------------------------------------- prepared data


def _source(config):
    """What tfds calls the configuration of the builder: a name, or an object for a manifest."""
    _, name = dataset_and_config(config)
    if name != "manifest":
        return name
    manifest = manifests.read_manifest(
        config.manifest,
        config.image_dir,
        config.columns,
        config.labels_shared_by_case,
        config.findings,
        config.findings_column,
    )
    return derm_cases.manifest_config(manifest, config.max_pixels)


def _builder(data_dir, source):
    data_dir = os.path.expanduser(data_dir) or None
    return derm_cases.Builder(data_dir=data_dir, config=source, file_format="array_record")


def _files(builder, split):
    return tuple(str(path) for path in builder.info.splits[split].filepaths)


def _index(builder):
    """{split: CaseIndex}, read from beside the data, or made and put there."""
    index = {}
    for split in case_builder.SPLITS:
        if split in builder.info.splits:
            path = os.path.join(builder.data_dir, f"case_index-{split}.npz")
            if not os.path.exists(path):
                num_findings = len(builder.info.metadata["finding_names"])
                build_index(_files(builder, split), num_findings).save(path)
            index[split] = CaseIndex.load(path)
    return index


def _prepare(builder, source):
    """Makes the data and its index in a folder of their own, and moves them in place in one go.

    So data that is there is whole, whenever this is interrupted, and of two processes that
    prepare the same data one comes first and the other finds it done.
    """
    console.say(f"preparing {builder.name}/{builder.builder_config.name} in {builder.data_dir}")
    tfds.disable_progress_bar()
    place = os.path.abspath(builder.data_dir)
    root = os.path.dirname(os.path.dirname(os.path.dirname(place)))  # name/config/version
    existed = os.path.exists(root)
    try:
        os.makedirs(root, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="incomplete-", dir=root) as unfinished:
            unplaced = _builder(unfinished, source)
            total = sum(len(cases) for cases in unplaced.cases.values())
            with console.Progress("preparing", total, "case") as progress:
                unplaced.on_case = progress.update
                with contextlib.redirect_stdout(None):  # tfds speaks of downloads; there are none
                    unplaced.download_and_prepare()
            _index(unplaced)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            _move(unplaced.data_dir, place)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Stopped(f"the disk is full: {root}") from error
        raise BadInput(f"--data_dir={root}: cannot be written: {error.strerror}") from error
    finally:
        if not existed:  # and still holds nothing
            with contextlib.suppress(OSError):
                os.rmdir(root)


def _move(folder, place):
    try:
        os.rename(folder, place)
    except OSError as error:
        there = os.path.exists(os.path.join(place, "dataset_info.json"))
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not there:
            raise
