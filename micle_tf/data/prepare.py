"""Our own datasets: read, prepared once, found again."""

import contextlib
import dataclasses
import errno
import os

import numpy as np
import tensorflow_datasets as tfds

from data_builders.case_builder import case_metadata
from data_builders.examples import check_cases, check_some_left
from data_builders.grouping import ReadOptions
from data_builders.images import orientation
from data_builders.on_threads import case_examples
from data_builders.seen_otherwise import seen_otherwise
from micle_tf import borrowed, console, files
from micle_tf.data import places, report
from micle_tf.data.attributes import Attributes, parsed
from micle_tf.data.on_beam import write_on_beam
from micle_tf.data.prepared import (
    Prepared,
    builder_of,
    checked_builder,
    is_outdated,
    module_of,
    name_of,
    open_folder,
    write_index,
)
from micle_tf.data.reader import CaseIndex, stored_images
from micle_tf.data.sources import bad_data_is_bad_input, configuration_of
from micle_tf.data.unfinished import unfinished_folder
from micle_tf.dataset_names import takes_manual_dir
from micle_tf.errors import BadInput, Preempted, Stopped

_MEMORY = 1 << 20  # bytes of examples that tfds may hold before it sorts on disk


def open_prepared(config, name, trained_on=""):
    """Opens one of our datasets; prepares it when it is not there yet, or not from these files.

    Args:
      config: `Config`; its fields from `dataset` to `max_pixels` say what and where.
      name: as from `dataset_names.dataset_names`.
      trained_on: name of the data that a model learned from, which is to be judged as it was
        trained: data of this name is opened even if it is superseded.

    Returns:
      `Prepared`.

    Raises:
      BadInput: the source has a fault, or data_dir cannot be written. No part of the data
        stays behind then.
      Stopped: the disk is full.
    """
    _say_what_is_read(config, name)
    config, folder = places.locate(config, name)
    if folder:  # and its files are gone
        _say_that_beam_has_nothing_to_do(config, name)
        return _as_it_was(folder)
    configuration = configuration_of(config, name)
    if isinstance(configuration, str):  # rendered upright
        builder, old = checked_builder(config.data_dir, name, configuration), None
        if builder.info.splits and "turned" not in report.read(builder.data_dir):
            report.add(builder.data_dir, {"turned": 0})
    else:
        builder, old, configuration = _named_after_its_pictures(config, name, configuration)
    if old and trained_on and name_of(old) in trained_on.split("+"):
        console.say(f"note: {name_of(old)} is used as it was trained on: {report.SEEN_OTHERWISE}")
        return _opened_as_stored(old.data_dir)
    if not builder.info.splits or is_outdated(builder):
        _prepare(builder, name, configuration, config)
    else:
        _say_that_beam_has_nothing_to_do(config, name)
    if takes_manual_dir(name):
        places.write_note(config, name, builder.data_dir)
    if old is builder:
        return _opened_as_stored(builder.data_dir)
    return dataclasses.replace(
        open_folder(builder.data_dir), superseded=name_of(old) if old else ""
    )


def _say_that_beam_has_nothing_to_do(config, name):
    if config.beam_options:
        console.say(f"note: --beam_options does nothing: {name} is prepared already")


def _opened_as_stored(folder):
    """Data that shows pictures otherwise than they are seen now, also where that was not noted."""
    prepared = open_folder(folder)
    return dataclasses.replace(prepared, report=prepared.report | {report.SUPERSEDED: True})


def _named_after_its_pictures(config, name, plain):
    """Which of two names the data has, and what lies under the other.

    Data whose pictures an earlier version saw otherwise has a name of its own; which it is takes
    a look at the beginning of every file, once: the name is there, or a word in the report.

    Returns:
      (builder, builder of superseded data or None, configuration); twice the same builder where
      superseded data is all that can be had.
    """
    otherwise = plain.seen_otherwise()
    first, second = (checked_builder(config.data_dir, name, c) for c in (plain, otherwise))
    old_report = report.read(first.data_dir) if first.info.splits else {}
    superseded = bool(old_report.get(report.SUPERSEDED))
    if second.info.splits and not is_outdated(second):
        return second, first if superseded else None, otherwise
    if first.info.splits and not is_outdated(first) and "turned" in old_report and not superseded:
        return first, None, plain
    if not _is_seen_otherwise(plain):
        if first.info.splits and not is_outdated(first):
            report.add(first.data_dir, {"turned": 0, report.SUPERSEDED: False})
        return first, None, plain
    if first.info.splits:
        report.add(first.data_dir, {report.SUPERSEDED: True})
        if not os.access(first.data_dir, os.W_OK):
            console.say(f"note: {first.data_dir} cannot be written: {report.SEEN_OTHERWISE}")
            return first, first, plain
    return second, first if first.info.splits else None, otherwise


def _is_seen_otherwise(configuration):
    source, options = configuration.source, configuration.images
    images = sum(len(case.images) for cases in source.cases.values() for case in cases)
    with console.Progress("looking how photos are turned", images, "image") as progress:
        return seen_otherwise(source, options.max_image_bytes, progress.update)


def _as_it_was(folder):
    """Opens data whose files are gone, and says if photos in it lie on their side."""
    prepared = open_folder(folder)
    facts = prepared.report
    if facts and "turned" not in facts and report.SUPERSEDED not in facts:
        lying = any(
            orientation(content) != 1
            for records in prepared.records.values()
            for content in stored_images(records)
        )
        noted = {report.SUPERSEDED: True} if lying else {report.SUPERSEDED: False, "turned": 0}
        facts.update(noted)
        report.add(folder, noted)
    if facts.get(report.SUPERSEDED):
        console.say(f"note: {prepared.name}: {report.SEEN_OTHERWISE}")
    return prepared


def _say_what_is_read(config, name):
    if os.path.isdir(os.path.expanduser(config.manual_dir)) and takes_manual_dir(name):
        console.say(f"{name}: reading {config.manual_dir}")


def check(config, name):
    """Reads one of our datasets and decodes every image, and writes nothing; as `open_prepared`."""
    _say_what_is_read(config, name)
    config, folder = places.locate(config, name)
    if folder:
        raise BadInput(f"--dry_run: the files of {name} are gone; say where with --manual_dir")
    with bad_data_is_bad_input():
        configuration = configuration_of(config, name)
        if isinstance(configuration, str):
            raise BadInput(f"--dry_run: {name} is rendered; there are no files to check")
        source = configuration.source
        if _is_seen_otherwise(configuration):
            configuration = configuration.seen_otherwise()
        check_cases(source.cases)
        index, stored = {}, 0
        with console.Progress("checking", source.num_cases, "case") as progress:
            for split, members in source.cases.items():
                examples = []
                for example in case_examples(members, configuration.images, source):
                    if example:
                        stored += sum(len(image) for image in example[1].pop("images"))
                        examples.append(example[1])
                    progress.update()
                check_some_left(len(examples), split, source.bad_images)
                index[split] = _index_of(examples, len(source.finding_names))
    return Prepared(
        name=f"{name.partition('/')[0]}/{configuration.name}",
        metadata=case_metadata(source),
        index=index,
        records={},
        report=report.make(
            source, configuration.images, index, report.source_bytes(source), stored
        ),
        folder="",
    )


def find_prepared(config, name):
    """One of our datasets as it lies prepared, for the files as they are, or None; only reads."""
    config, folder = places.locate(config, name)
    if folder:
        return open_folder(folder, keep=False)
    configuration = configuration_of(config, name)
    candidates = [configuration]
    if not isinstance(configuration, str):
        candidates.insert(0, configuration.seen_otherwise())
    for one in candidates:
        builder = checked_builder(config.data_dir, name, one)
        if builder.info.splits and not is_outdated(builder):
            return open_folder(builder.data_dir, keep=False)
    return None


def _index_of(examples, num_findings):
    """The `CaseIndex` of examples that are not written."""
    per_case = [len(example["image_id"]) for example in examples]
    joined = {
        name: [value for example in examples for value in example[name]]
        for name in (
            "image_id",
            "view_position",
            "pixel_hash",
            "findings" if num_findings else "class_label",
        )
    }
    return CaseIndex(
        case_id=np.array([example["case_id"] for example in examples], np.str_),
        patient_id=np.array([example["patient_id"] for example in examples], np.str_),
        first_image=np.concatenate([[0], np.cumsum(per_case)]).astype(np.int64),
        image_id=np.array(joined["image_id"], np.str_),
        class_label=np.array(joined.get("class_label", ()), np.int64),
        findings=np.array(joined.get("findings", np.zeros((0, 0))), np.int8),
        pixel_hash=np.array(joined["pixel_hash"], np.int64),
        attributes=Attributes.of_cases(
            [parsed(example["attributes"]) for example in examples], joined["view_position"],
            per_case,
        ),
    )  # fmt: skip


def _prepare(builder, name, configuration, config):
    """Makes the data and its index in a folder of their own, and moves them in place in one go.

    So data that is there is whole, whenever this is interrupted, and of two processes that
    prepare the same data one comes first and the other finds it done.
    """
    console.say(f"preparing {builder.name}/{builder.builder_config.name} in {builder.data_dir}")
    place = os.path.abspath(builder.data_dir)
    root = os.path.dirname(os.path.dirname(os.path.dirname(place)))  # name/config/version
    existed = os.path.exists(root)
    try:
        os.makedirs(root, exist_ok=True)
        with unfinished_folder(root) as unfinished:
            unplaced = builder_of(unfinished, name, configuration)
            if unplaced.source is None:
                unplaced.source = module_of(name).read_source(configuration, "", ReadOptions())
            with bad_data_is_bad_input():
                _write(unplaced, config, unfinished)
            source_bytes = report.source_bytes(unplaced.source)
            unplaced.source.cases.clear()  # so that they and their index are not in memory at once
            index, stored_bytes = write_index(unplaced)
            facts = report.make(
                unplaced.source, unplaced.builder_config.images, index, source_bytes, stored_bytes
            )
            report.write(unplaced.data_dir, facts)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if builder.info.splits:  # outdated: it goes with the folder
                os.rename(place, os.path.join(unfinished, "outdated"))
            _move(unplaced.data_dir, place)
    except KeyboardInterrupt:
        raise Preempted("nothing was prepared; the same command begins that again") from None
    except Exception as error:
        if files.disk_is_full(error):
            raise Stopped(f"the disk is full: {root}") from error
        if isinstance(error, OSError):
            raise BadInput(f"--data_dir={root}: cannot be written: {error.strerror}") from error
        raise
    finally:
        if not existed:  # and still holds nothing
            with contextlib.suppress(OSError):
                os.rmdir(root)


def _write(builder, config, folder):
    """Lets tfds write the examples, in this process or on Beam."""
    tfds.disable_progress_bar()
    borrowed.limit_shuffle_memory(_MEMORY)
    if config.beam_options:
        write_on_beam(builder, config.beam_options, folder)
        return
    with console.Progress("preparing", builder.source.num_cases, "case") as progress:
        builder.on_case = progress.update
        with contextlib.redirect_stdout(None):  # tfds speaks of downloads; there are none
            builder.download_and_prepare()


def _move(folder, place):
    try:
        os.rename(folder, place)
    except OSError as error:
        there = os.path.exists(os.path.join(place, "dataset_info.json"))
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not there:
            raise
