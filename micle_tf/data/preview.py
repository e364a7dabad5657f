"""Data for a plan: as `cases.open_cases` gives it, but nothing is written.

What was not prepared yet shows 64 photos of its source in place of all.
"""

import itertools

import numpy as np
import tensorflow as tf

from data_builders.case_builder import case_metadata
from data_builders.examples import check_cases
from data_builders.on_threads import case_examples
from micle_tf import console
from micle_tf.data import cases, prepare, sources
from micle_tf.data.image_sets import is_prepared, nothing_kept
from micle_tf.data.prepared import Prepared
from micle_tf.data.reader import CaseIndex
from micle_tf.dataset_names import dataset_names, is_own
from micle_tf.errors import BadInput

_PHOTOS = 64


def open_preview(config):
    """Opens the dataset of a config, or the several ones.

    Returns:
      `CaseData`, whose index is that of all cases.

    Raises:
      BadInput: as `cases.open_cases`; or a set of tensorflow_datasets is not prepared yet.
    """
    parts = []
    for name in dataset_names(config):
        if is_own(name):
            prepared = prepare.find_prepared(config, name) or _of_source(config, name)
            parts.append(cases.case_data(prepared, config.ids))
        elif is_prepared(name, config.data_dir):
            with nothing_kept():
                parts.append(cases.open_one(config, name))
        else:
            raise BadInput(f"--dry_run: {name} is not prepared yet; --mode=prepare does that")
    return parts[0] if len(parts) == 1 else cases.joined(parts)


def _of_source(config, name):
    """A `Prepared` of files that were not: all cases, whose photos are those of a few."""
    configuration, source = sources.source_of(config, name)
    with sources.bad_data_is_bad_input():
        check_cases(source.cases)
        everybody = list(itertools.chain.from_iterable(source.cases.values()))
        apart = max(1, len(everybody) // _PHOTOS)
        photos = []
        for example in case_examples(everybody[::apart][:_PHOTOS], configuration.images, source):
            photos += example[1]["images"] if example else []
            if len(photos) >= _PHOTOS:
                break
    if not photos:
        raise BadInput(f"--dry_run: {name}: no photo can be read: {source.bad_images.messages[-1]}")
    photos = photos[:_PHOTOS]
    console.say(f"{name}: not prepared yet; the plan is made with {len(photos)} of its photos")
    index = {
        split: _index(members, len(source.finding_names)) for split, members in source.cases.items()
    }
    return Prepared(
        name=name,
        metadata=case_metadata(source),
        index=index,
        records={split: _Photos(photos, part.images_per_case) for split, part in index.items()},
        report={},
        folder="",
    )


class _Photos:
    """Records of cases whose photos are a few that go round and round."""

    def __init__(self, photos, images_per_case):
        self._photos, self._images_per_case = photos, images_per_case

    def __len__(self):
        return len(self._images_per_case)

    def read(self, numbers):
        """[n] integers to a list of n bytes strings."""
        return [self._record(int(number)) for number in numbers]

    def _record(self, number):
        count = self._images_per_case[number]
        photos = [self._photos[(number + i) % len(self._photos)] for i in range(count)]
        feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=photos))
        features = tf.train.Features(feature={"images": feature})
        return tf.train.Example(features=features).SerializeToString()


def _index(members, num_findings):
    """The `CaseIndex` of cases whose images were not read."""
    images = [image for case in members for image in case.images]
    findings = np.array([image.findings for image in images] if num_findings else np.zeros((0, 0)))
    labels = [] if num_findings else [image.class_label for image in images]
    return CaseIndex(
        case_id=np.array([case.case_id for case in members], np.str_),
        patient_id=np.array([case.patient_id for case in members], np.str_),
        first_image=np.cumsum([0, *(len(case.images) for case in members)]).astype(np.int64),
        image_id=np.array([image.image_id for image in images], np.str_),
        class_label=np.array(labels, np.int64),
        findings=findings.astype(np.int8),
    )
