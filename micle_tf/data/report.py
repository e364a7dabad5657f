"""What was found when a dataset was prepared, kept beside it as report.json."""

import collections
import contextlib
import json
import os

import numpy as np
import tensorflow as tf

from micle_tf.data import places
from micle_tf.files import write_json

FILE = "report.json"
SUPERSEDED = "seen_otherwise"  # in a report: whether the same files are prepared otherwise now
SEEN_OTHERWISE = (
    "it was prepared by an earlier version, which stored photos lying on their side whatever their "
    "EXIF says, and let padding in DICOM files count"
)


def make(source, images, index, source_bytes, stored_bytes):
    """The report as plain JSON.

    Args:
      source: `CaseSource`; its cases are not looked at.
      images: `ImageOptions`.
      index: {split: CaseIndex}.
      source_bytes, stored_bytes: of all images, before and after.
    """
    return {
        "bad_images": source.bad_images.messages,
        "identical_images": [
            [{"split": split, "image_id": image} for split, image in group]
            for group in identical_images(list(index.items()))
        ],
        "source_bytes": source_bytes,
        "stored_bytes": stored_bytes,
        "max_image_side": images.max_image_side,
        "stamp": source.stamp,
        "turned": source.counts["turned"],
        "with_position": source.counts["with_position"],
    }


def write(folder, report):
    """Puts a report beside prepared data."""
    write_json(os.path.join(folder, FILE), report)


def add(folder, values):
    """Notes something in a report that is there, if it can be written; else it is found again."""
    report = read(folder)
    if report:
        with contextlib.suppress(OSError, tf.errors.OpError):
            write(folder, report | values)


def read(folder):
    """The report on prepared data; {} if it was lost."""
    try:
        with open(os.path.join(folder, FILE), encoding="utf-8") as file:
            report = json.load(file)
        return report if isinstance(report, dict) else {}
    except (OSError, ValueError):
        return {}


def source_bytes(source):
    """Bytes of all images of a `CaseSource` whose cases are still there."""
    return sum(
        getattr(image.read, "size", 0)
        for cases in source.cases.values()
        for case in cases
        for image in case.images
    )


def identical_images(indices):
    """Images of different splits that show the same pixels.

    Args:
      indices: [(split, CaseIndex)], of one dataset or several; those without hashes are passed
        over.

    Returns:
      A list with a group [(split, image_id), ...] per picture that is in several splits.
    """
    hashes = collections.defaultdict(list)
    for split, index in indices:
        hashes[split].append(index.pixel_hash)
    hashes = [np.unique(np.concatenate(parts)) for parts in hashes.values()]
    hashes, counts = np.unique(np.concatenate(hashes), return_counts=True)
    groups = {int(value): [] for value in hashes[counts > 1]}  # in several splits
    for split, index in indices:
        for i in np.flatnonzero(np.isin(index.pixel_hash, list(groups))):
            groups[int(index.pixel_hash[i])].append((split, str(index.image_id[i])))
    return list(groups.values())


def is_superseded(data_dir, name):
    """Whether data of a name, as in `Prepared`, is noted to show pictures as they are not seen now.

    Several names may be joined by "+".
    """
    folders = (os.path.join(places.root(data_dir), one) for one in name.split("+"))
    return any(
        read(os.path.join(folder, version)).get(SUPERSEDED)
        for folder in folders
        if os.path.isdir(folder)
        for version in os.listdir(folder)
    )
