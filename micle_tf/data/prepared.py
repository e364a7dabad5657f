"""Prepared data: where it lies, whether it is whole and current, and what is in it."""

import dataclasses
import importlib
import os
import zipfile

import tensorflow_datasets as tfds
from google.protobuf import json_format

from data_builders.splits import SPLITS
from micle_tf import files
from micle_tf.data import places, report
from micle_tf.data.reader import CaseIndex, build_index
from micle_tf.data.records import ArrayRecords
from micle_tf.errors import BadInput


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A dataset as it was prepared, or as `check` found that it would be.

    Attributes:
      name: "derm_cases/ham10000-0123456789ab", the hash of its sources in it.
      metadata: as in `case_builder.case_metadata`.
      index: {split: CaseIndex}.
      records: {split: ArrayRecords}; empty after `check`.
      report: what was left out, which images are there twice, and bytes before and after.
      folder: where it lies; "" after `check`.
      superseded: name of the data that was prepared from the same files by a version that saw
        some pictures otherwise (see `data_builders.seen_otherwise`), if it is there; else "".
    """

    name: str
    metadata: dict
    index: dict
    records: dict
    report: dict
    folder: str
    superseded: str = ""

    @property
    def turned(self):
        """Whether a photo has a mark that says how to turn it; True where that is not known."""
        return bool(self.report.get("turned", not self.report.get(report.SUPERSEDED)))


def name_of(builder):
    """ "derm_cases/ham10000-0123456789ab" of a tfds builder."""
    return f"{builder.name}/{builder.builder_config.name}"


def checked_builder(data_dir, name, configuration):
    """The builder of what is, or will be, prepared; raises BadInput if it is there but damaged."""
    try:
        builder = builder_of(data_dir, name, configuration)
    except (OSError, ValueError, AssertionError, json_format.ParseError) as error:
        variant = configuration if isinstance(configuration, str) else configuration.name
        place = os.path.join(places.root(data_dir), name.partition("/")[0], variant)
        raise BadInput(
            f"{place}: holds damaged data ({files.reason_of(error)}); delete it"
        ) from error
    if not builder.info.splits and os.path.isdir(builder.data_dir):
        raise BadInput(f"{builder.data_dir}: is damaged; delete it to prepare it again")
    return builder


def is_outdated(builder):
    """Whether images were written since they were prepared, and can be prepared again.

    Another size gives the data another name; this is for images that kept theirs.
    """
    source = builder.builder_config.source
    if source is None or report.read(builder.data_dir).get("stamp", "") == source.stamp:
        return False
    return os.access(builder.data_dir, os.W_OK)


def open_folder(folder, keep=True):
    """The `Prepared` of a folder; without `keep`, a lost index is made and not written."""
    try:
        builder = tfds.builder_from_directory(folder)
        splits = [split for split in SPLITS if split in builder.info.splits]
        records = {split: _records(builder, split) for split in splits}
        metadata = dict(builder.info.metadata)
    except (OSError, ValueError, json_format.ParseError, tfds.core.DatasetNotFoundError) as error:
        raise BadInput(f"{folder}: is damaged; delete it to prepare it again") from error
    return Prepared(
        name=name_of(builder),
        metadata=metadata,
        index={split: _kept_index(builder, split, keep) for split in splits},
        records=records,
        report=report.read(folder),
        folder=str(folder),
    )


def _kept_index(builder, split, keep):
    """The index beside the data; made again if it was lost or damaged, or knows no attributes."""
    path = os.path.join(builder.data_dir, f"case_index-{split}.npz")
    try:
        index = CaseIndex.load(path)
        if index.attributes or not keep or not os.access(builder.data_dir, os.W_OK):
            return index
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile):
        if not keep:
            return _made_index(builder, split)[0]
    write_index(builder)
    return CaseIndex.load(path)


def _records(builder, split):
    return ArrayRecords([str(path) for path in builder.info.splits[split].filepaths])


def _made_index(builder, split):
    """(`CaseIndex`, bytes of images) of a split, by reading all of it."""
    return build_index(_records(builder, split), len(builder.info.metadata["finding_names"]))


def write_index(builder):
    """Reads the data once and puts its index beside it; returns {split: CaseIndex}, bytes."""
    index, stored = {}, 0
    for split in builder.info.splits:
        index[split], size = _made_index(builder, split)
        index[split].save(os.path.join(builder.data_dir, f"case_index-{split}.npz"))
        stored += size
    return index, stored


def builder_of(data_dir, name, configuration):
    """The tfds builder of one of our datasets; opens what lies prepared, checks nothing of it."""
    data_dir = os.path.expanduser(data_dir) or None
    return module_of(name).Builder(
        data_dir=data_dir, config=configuration, file_format="array_record"
    )


def module_of(name):
    """The module that has the `Builder` and `read_source` of "derm_cases/ham10000"."""
    dataset = name.partition("/")[0]
    return importlib.import_module(f"data_builders.{dataset}.{dataset}_dataset_builder")
