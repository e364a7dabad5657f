"""Image classification sets of tensorflow_datasets, opened as cases of one image."""

import contextlib
import dataclasses
import difflib
import hashlib
import io
import json
import os
import re
import typing
import zipfile

import numpy as np
import requests
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging
from google.protobuf.message import DecodeError

from data_builders.reading import jpeg, png
from data_builders.splits import complete_splits, patient_key
from micle_tf import console
from micle_tf.data.reader import CaseIndex
from micle_tf.data.records import ArrayRecords, TFRecords, tfrecord_offsets
from micle_tf.errors import BadInput, Stopped
from micle_tf.files import disk_is_full, save_arrays

_READ_AT_ONCE = 64  # records
_VALIDATION = ("validation", "val", "valid", "dev")  # names in use for it
_keeping = True  # what was found out about a set, beside it


class ImageSplit(typing.NamedTuple):
    """A split: its cases are the records `numbers` of a source, or all of them if None."""

    records: object
    index: CaseIndex  # type: ignore[assignment]  # instead of tuple.index, which nobody asks for
    numbers: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """A prepared set.

    Attributes:
      name: as tfds writes it, without a version ("imagenet2012_subset/1pct").
      class_names: in the order of the labels; empty if nothing is labelled.
      splits: {split: `ImageSplit`}: train, validation, test, then others by their own names.
      image_feature: name of the feature of a record that holds the encoded image.
      notes: one line each on what was decided for the user.
      judged: {a name of the set's own: the split that it is here}, where a name means another
        split to those who judge than to those who train.
    """

    name: str
    class_names: tuple
    splits: dict
    image_feature: str
    notes: tuple
    judged: dict


def open_image_set(
    name, data_dir, manual_dir="", ours=(), whole_train=False, splits_as_before=False
):
    """Opens a set that tfds knows, or that lies prepared in data_dir; prepares it when needed.

    What is prepared, by whomever, is used as it is, TFRecord or array_record. Labels, and
    where TFRecords lie, are found once and kept beside the data in an .npz file that is named
    after the names and sizes of the files; where that folder cannot be written, in
    `$XDG_CACHE_HOME/micle_tf` (~/.cache/micle_tf).

    A record is a case of one image, and case_id and image_id are its split and place there
    ("train-0000017"). A validation or test split that the set has not got is taken out of train
    by the hash of the case_id, as for any other dataset here. But where a set has a validation
    split and no test split, as ImageNet, its validation is the test split, and a tenth of train
    is taken for validation, unless train is to be whole.

    Args:
      name: as tfds writes it: "cifar10", "imagenet2012_subset/1pct", "cifar10:3.0.2".
      data_dir: where prepared sets lie; "" for the default of tfds.
      manual_dir: files that must be fetched by hand lie here; "" for the default of tfds.
      ours: other names that --dataset takes, for the message.
      whole_train: of a set with train and validation but no test, nothing is taken out of train.
      splits_as_before: such a set's validation is validation, and test is taken out of train, as
        for runs of versions before.

    Returns:
      `ImageSet`.

    Raises:
      BadInput: there is no such set, it is no image classification set, or it cannot be
        prepared or read.
      Stopped: the disk is full, or the network is down.
    """
    data_dir = os.path.expanduser(data_dir) or None
    builder = _builder(name, data_dir, ours)
    image, label = _image_and_label(name, builder.info)
    if not builder.info.splits:
        _prepare(name, builder, manual_dir)
        builder = _builder(name, data_dir, ours)
    whole = _splits(name, builder, image, label)
    if splits_as_before or not _judges_on_validation(whole):
        (splits, notes), judged = _our_splits(name, whole), {}
    else:
        splits, notes = _with_validation_for_test(name, whole, whole_train)
        judged = dict.fromkeys(_VALIDATION, "test")
    config = builder.builder_config
    return ImageSet(
        name=f"{builder.name}/{config.name}" if config else builder.name,
        class_names=tuple(builder.info.features[label].names) if label else (),
        splits=splits,
        image_feature=image,
        notes=notes,
        judged=judged,
    )


def is_prepared(name, data_dir):
    """Whether a tensorflow_datasets set lies prepared in data_dir; BadInput if there is none."""
    return bool(_builder(name, os.path.expanduser(data_dir) or None, ()).info.splits)


@contextlib.contextmanager
def nothing_kept():
    """What is found out about a set meanwhile is not written beside it."""
    global _keeping
    _keeping = False
    try:
        yield
    finally:
        _keeping = True


# ---------------------------------------------------------------- tfds


@contextlib.contextmanager
def _quiet():
    """Silences tfds: what matters of what it prints and logs is in its exceptions as well."""
    tfds.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.FATAL)
    nowhere = io.StringIO()
    try:
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            yield
    finally:
        logging.set_verbosity(verbosity)


def _builder(name, data_dir, ours):
    try:
        with _quiet():
            return tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # whatever the code of the set raises
        unknown = isinstance(error, tfds.core.DatasetNotFoundError)
        if unknown or str(error).startswith("Parsing builder name"):
            raise BadInput(_unknown(name, data_dir, ours)) from error
        raise BadInput(f"--dataset={name}: {_reason(error)}") from error


def _unknown(name, data_dir, ours):
    base = name.partition("/")[0].partition(":")[0]
    folder = os.path.join(data_dir or "", base)
    if data_dir and base and os.path.isdir(folder):
        there = ", ".join(f"{base}/{entry}" for entry in sorted(os.listdir(folder)))
        return f"--dataset={name}: not among what is prepared in {data_dir}: {there or 'nothing'}"
    known = sorted({*ours, *tfds.list_builders(with_community_datasets=False)})
    close = difflib.get_close_matches(name, known) or difflib.get_close_matches(base, known)
    question = f"; did you mean {' or '.join(close)}?" if close else ""
    listed = f"one of {', '.join(ours)}" if ours else "one of ours"
    return f"--dataset={name}: neither {listed} nor a tensorflow_datasets set{question}"


def _reason(error):
    """One line on why tfds failed."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r'^Failed to construct dataset "\S+", builder_kwargs "{.*?}": ', "", text)
    return text if len(text) <= 400 else f"{text[:400]}..."


def _image_and_label(name, info):
    """The names of the image and the label feature; the latter may be None."""

    def refused(reason):
        return BadInput(f"--dataset={name} is not an image classification set: {reason}")

    features = info.features
    if not isinstance(features, tfds.features.FeaturesDict):
        raise refused("its records have no named features")
    supervised = [key for key in info.supervised_keys or () if isinstance(key, str)]

    def chosen(kind):
        fitting = [key for key in features if isinstance(features[key], kind)]
        stated = [key for key in supervised if key in fitting]
        return stated[:1] if len(fitting) > 1 and stated else fitting

    images, labels = chosen(tfds.features.Image), chosen(tfds.features.ClassLabel)
    if not images:
        raise refused(f"none of its features ({', '.join(features)}) is an image")
    for several, noun in ((images, "images"), (labels, "labels")):
        if len(several) > 1:
            raise refused(f"its records have several {noun}: {', '.join(several)}")
    image = features[images[0]]
    if np.dtype(image.np_dtype) != np.uint8 or len(image.shape) != 3:
        raise refused(
            f"{images[0]} has type {np.dtype(image.np_dtype)} and shape {image.shape}; "
            "colour or grey images of 8 bits are read"
        )
    return images[0], labels[0] if labels else None


def _prepare(name, builder, manual_dir):
    """Has tfds download and prepare the set; what it was interrupted at never looks complete."""
    place = os.path.abspath(builder.data_dir)
    console.say(f"preparing {builder.info.full_name} in {place}; large sets take hours")
    options = tfds.download.DownloadConfig(
        manual_dir=os.path.abspath(os.path.expanduser(manual_dir)) if manual_dir else None,
        try_download_gcs=False,
    )
    try:
        with _quiet():
            builder.download_and_prepare(download_config=options, file_format="array_record")
    except Exception as error:  # whatever the code of the set raises
        reason = _reason(error)
        if disk_is_full(error):
            raise Stopped(f"the disk is full: {builder.data_dir_root}: {reason}") from error
        if isinstance(error, requests.RequestException):
            raise Stopped(f"--dataset={name}: cannot be downloaded: {reason}") from error
        raise BadInput(f"--dataset={name}: cannot be prepared: {reason}") from error
    if not builder.info.splits:
        raise BadInput(f"{place}: is there but holds no whole set; delete it to prepare it again")


# ---------------------------------------------------------------- records


def _files(builder):
    """(format, {tfds split: paths of its files, in order})."""
    info = builder.info
    formats = [info.file_format.value, *info.as_proto.alternative_file_formats]
    readable = [name for name in formats if name in ("array_record", "tfrecord")]
    if not readable:
        raise BadInput(
            f"{builder.data_dir}: prepared as {formats[0]}; array_record and tfrecord are read"
        )
    files = {}
    for name, split in info.splits.items():
        if split.num_examples:
            template = split.filename_template.replace(filetype_suffix=readable[0])
            files[name] = [os.fspath(f) for f in template.sharded_filepaths(split.num_shards)]
    for file in (file for paths in files.values() for file in paths):
        if not os.path.exists(file):
            raise BadInput(f"{file}: there is no such file; prepare the data again")
    return readable[0], files


def _splits(name, builder, image, label):
    """{tfds split: `ImageSplit`}."""
    file_format, files = _files(builder)
    sizes = [(os.path.basename(f), os.path.getsize(f)) for paths in files.values() for f in paths]

    def index_files():
        arrays = {}
        total = sum(builder.info.splits[split].num_examples for split in files)
        with console.Progress(f"indexing {builder.name}", total, "image") as progress:
            for split, paths in files.items():
                if file_format == "tfrecord":
                    places = zip(_PLACES, tfrecord_offsets(paths), strict=True)
                    arrays |= {f"{split}/{place}": array for place, array in places}
                records = _records(split, paths, arrays)
                where = f"--dataset={name}: {split} of {builder.data_dir}"
                expected = builder.info.splits[split].num_examples
                if len(records) != expected:
                    raise BadInput(
                        f"{where}: {len(records):,} records where dataset_info.json says "
                        f"{expected:,}; prepare the data again"
                    )
                arrays[f"{split}/labels"] = _read_labels(records, image, label, where, progress)
        return arrays

    arrays = _kept(builder, [image, label, sizes], index_files)
    return {
        split: ImageSplit(
            _records(split, paths, arrays), _case_index(split, arrays[f"{split}/labels"]), None
        )
        for split, paths in files.items()
    }


_PLACES = ("offsets", "lengths", "counts")


def _records(split, paths, arrays):
    if f"{split}/offsets" in arrays:
        return TFRecords(paths, *(arrays[f"{split}/{place}"] for place in _PLACES))
    return ArrayRecords(paths)


def _read_labels(records, image, label, where, progress):
    """[N] int64, -1 if unlabelled; every image is looked at, but not decoded."""
    labels = np.full(len(records), -1, np.int64)
    for start in range(0, len(records), _READ_AT_ONCE):
        numbers = range(start, min(start + _READ_AT_ONCE, len(records)))
        for number, record in zip(numbers, records.read(numbers), strict=True):
            try:
                feature = tf.train.Example.FromString(record).features.feature
            except DecodeError as error:
                raise BadInput(f"{where}: record {number} is damaged") from error
            images = feature[image].bytes_list.value
            fault = _fault(images[0]) if len(images) == 1 else f"has {len(images)} images"
            if fault:
                raise BadInput(f"{where}: record {number} {fault}")
            if label and feature[label].int64_list.value:
                labels[number] = feature[label].int64_list.value[0]
        progress.update(len(numbers))
    return labels


def _fault(content):
    """What keeps an image from being used, by its first bytes; "" if nothing does."""
    if jpeg.is_jpeg(content):
        return ""
    if not png.is_png(content):
        return "is neither a JPEG nor a PNG"
    return "is a PNG of 16 bits; 8 are read" if png.has_16_bits(content) else ""


def _case_index(split, labels):
    ids = np.array([f"{split}-{number:07d}" for number in range(len(labels))], np.str_)
    return CaseIndex(
        case_id=ids,
        patient_id=np.zeros(len(ids), "U1"),
        first_image=np.arange(len(ids) + 1, dtype=np.int64),
        image_id=ids,
        class_label=labels,
        findings=np.zeros((0, 0), np.int8),
    )


def _part(split, numbers):
    """The cases `numbers`, [n] int64, of a whole split."""
    ids = split.index.case_id[numbers]
    index = dataclasses.replace(
        split.index,
        case_id=ids,
        patient_id=split.index.patient_id[numbers],
        first_image=np.arange(len(ids) + 1, dtype=np.int64),
        image_id=ids,
        class_label=split.index.class_label[numbers],
    )
    return ImageSplit(split.records, index, numbers)


def _judges_on_validation(whole):
    """Whether a set has train and validation, but no test."""
    return "train" in whole and "test" not in whole and bool(set(_VALIDATION) & whole.keys())


def _with_validation_for_test(name, whole, whole_train):
    """The splits of such a set, and notes."""
    its_name = next(split for split in _VALIDATION if split in whole)
    renamed = {"test" if split == its_name else split: part for split, part in whole.items()}
    note = f"{name} has no test split: its {its_name} is the test split"
    if whole_train:
        order = ("train", "test")
        others = {split: part for split, part in renamed.items() if split not in order}
        return {split: renamed[split] for split in order} | others, (note,)
    splits, _ = _our_splits(name, renamed)
    return splits, (f"{note}, and a tenth of train the validation split",)


def _our_splits(name, whole):
    """Train, validation, test and then the others; what is missing is taken out of train."""
    whole = dict(whole)
    splits = {"train": whole.pop("train")} if "train" in whole else {}  # some are for testing only
    for split, names in (("validation", _VALIDATION), ("test", ("test",))):
        there = [alias for alias in names if alias in whole]
        if there:
            splits[split] = whole.pop(there[0])
    missing = [split for split in ("validation", "test") if split not in splits]
    notes = ()
    if missing and "train" in splits:
        keys = [patient_key("", case) for case in splits["train"].index.case_id.tolist()]
        stated = dict.fromkeys(keys, "train") | {key: key for key in splits if key != "train"}
        chosen, _ = complete_splits(stated)
        goes_to = np.array([chosen[key] for key in keys])
        train = splits["train"]
        for split in ("train", *missing):
            numbers = np.flatnonzero(goes_to == split).astype(np.int64)
            if len(numbers):
                splits[split] = _part(train, numbers)
        what = " and no ".join(missing)
        notes = (f"{name} has no {what} split: taken out of train",)
    ordered = {split: splits[split] for split in ("train", "validation", "test") if split in splits}
    return ordered | whole, notes


# ---------------------------------------------------------------- the index that is kept


def _kept(builder, facts, make):
    """The arrays that were kept for these facts, or that `make` makes, and then keeps."""
    beside = os.path.join(os.path.abspath(builder.data_dir), f"image_index-{_hash(facts)}.npz")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    # Elsewhere a file does not go when the data goes, and so the time of the data counts as well.
    prepared = os.path.getmtime(os.path.join(builder.data_dir, "dataset_info.json"))
    elsewhere = f"{builder.name}-{_hash([beside, prepared])}.npz"
    places = [beside, os.path.join(cache, "micle_tf", elsewhere)]
    for path in places:
        try:
            with np.load(path) as arrays:
                return dict(arrays)
        except (OSError, EOFError, ValueError, zipfile.BadZipFile):
            continue  # not there, or damaged
    arrays = make()
    for path in places if _keeping else ():
        with contextlib.suppress(OSError):  # with no place for it, it is made anew each time
            os.makedirs(os.path.dirname(path), exist_ok=True)
            save_arrays(path, arrays)
            break
    return arrays


def _hash(facts):
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
