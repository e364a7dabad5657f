"""The one schema of every dataset here: a case, its images, its labels.

A case is one patient's set of images of one condition. A dataset's own builder
only turns files into `Case` records; features, splitting by patient and the
checks on images, cases and patients live here and are the same for all.
"""

import collections
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent import futures

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

UNLABELLED = -1  # a class
NOT_MENTIONED = -2  # a finding
SPLITS = ("train", "validation", "test")
# Shares of the patients that a split takes where none was given: see `choose_split`.
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1


@dataclasses.dataclass(frozen=True)
class CaseImage:
    """One image of a case, not yet read.

    Attributes:
      image_id: name of the image, unique in the dataset; never a local path.
      read: returns the encoded JPEG or PNG bytes. Called once, by any thread, just before
        the case is written.
      view_position: how it was taken ("PA", "close-up", ...); "" if unknown.
      class_label: index of the class, or -1 (`UNLABELLED`).
      findings: one of 1, 0, -1 (uncertain), -2 (`NOT_MENTIONED`) per finding;
        empty for a dataset with one class per image.
      source: where it came from, for messages ("cases.csv row 7"); not stored.
    """

    image_id: str
    read: Callable[[], bytes]
    view_position: str = ""
    class_label: int = UNLABELLED
    findings: tuple[int, ...] = ()
    source: str = ""


@dataclasses.dataclass(frozen=True)
class Case:
    """One case, as every builder hands it over. `images` holds one or more."""

    case_id: str
    patient_id: str
    images: tuple[CaseImage, ...]
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict)


class BadData(ValueError):
    """The source cannot become cases. One line: what is wrong, in which file and row."""


# ---------------------------------------------------------------- the schema


def case_features(class_names=(), finding_names=()):
    """The tfds features of a case: one example per case, images as encoded bytes.

    Encoded, because sizes differ inside a case and only the images that a run
    draws are ever decoded.

    Args:
      class_names: names of the classes, for one class per image; empty if no image
        has a label.
      finding_names: names of the findings, for several findings per image.

    Returns:
      A `tfds.features.FeaturesDict` with `case_id`, `patient_id`, `attributes`
      (one JSON object), and per image `images`, `image_id`, `view_position` and
      either `class_label` [n] int64 or `findings` [n, K] int8.
    """
    per_image = dict(
        images=tfds.features.Sequence(tfds.features.Text()),
        image_id=tfds.features.Sequence(tfds.features.Text()),
        view_position=tfds.features.Sequence(tfds.features.Text()),
    )
    if finding_names:
        per_image["findings"] = tfds.features.Tensor(
            shape=(None, len(finding_names)), dtype=np.int8
        )
    else:
        label = tfds.features.ClassLabel(names=list(class_names)) if class_names else np.int64
        per_image["class_label"] = tfds.features.Sequence(label)
    return tfds.features.FeaturesDict(
        dict(
            case_id=tfds.features.Text(),
            patient_id=tfds.features.Text(),
            attributes=tfds.features.Text(),
            **per_image,
        )
    )


def case_metadata(class_names=(), finding_names=(), labels_shared_by_case=True, notes=()):
    """What belongs to a prepared dataset beside its cases, kept by tfds as metadata.json."""
    return tfds.core.MetadataDict(
        class_names=list(class_names),
        finding_names=list(finding_names),
        labels_shared_by_case=bool(labels_shared_by_case),
        notes=list(notes),
    )


def case_examples(cases: Iterable[Case], max_pixels=None):
    """Turns cases into (key, example) as tfds wants them.

    Threads read and check the images of the next few cases, so that two cases per core
    are in memory, whatever the size of the dataset.

    Args:
      cases: the cases of one split.
      max_pixels: check that every image decodes and is not larger than this;
        None for images that were just rendered.

    Yields:
      (case_id, example) with the fields of `case_features`, in the order of the cases.

    Raises:
      BadData: an image cannot be read, is no JPEG or PNG, does not decode or is too
        large; of several, the first one in order.
    """

    def read(case):
        return [read_image(image, max_pixels) for image in case.images]

    # Decoding leaves Python to other threads; rendering does not, and is slower with several.
    workers = 1 if max_pixels is None else min(os.cpu_count() or 1, 8)
    with futures.ThreadPoolExecutor(workers) as pool:
        waiting = collections.deque()
        for case in cases:
            waiting.append((case, pool.submit(read, case)))
            if len(waiting) > 2 * workers:
                yield _example(*waiting.popleft())
        while waiting:
            yield _example(*waiting.popleft())


def _example(case, reading):
    example = dict(
        case_id=case.case_id,
        patient_id=case.patient_id,
        attributes=json.dumps(dict(case.attributes), sort_keys=True, ensure_ascii=False),
        images=reading.result(),
        image_id=[image.image_id for image in case.images],
        view_position=[image.view_position for image in case.images],
    )
    if case.images[0].findings:
        example["findings"] = np.array([image.findings for image in case.images], np.int8)
    else:
        example["class_label"] = [image.class_label for image in case.images]
    return case.case_id, example


# ---------------------------------------------------------------- images


def image_size(content: bytes):
    """(height, width) in the header of a JPEG or PNG; None for anything else."""
    if content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) >= 24:
        return int.from_bytes(content[20:24], "big"), int.from_bytes(content[16:20], "big")
    if content[:3] == b"\xff\xd8\xff":
        try:
            height, width, _ = tf.image.extract_jpeg_shape(content).numpy()
        except tf.errors.InvalidArgumentError:
            return None
        return int(height), int(width)
    return None


def read_image(image: CaseImage, max_pixels=None) -> bytes:
    """The bytes of an image, checked by `check_image` unless max_pixels is None; raises BadData."""
    try:
        content = image.read()
    except OSError as error:
        raise BadData(f"{image.source}: cannot be read: {error.strerror}") from error
    if max_pixels is not None:
        check_image(content, image.source, max_pixels)
    return content


def check_image(content: bytes, source: str, max_pixels: int):
    """Raises BadData, naming `source`, unless this is a whole JPEG or PNG of at most max_pixels."""
    if not content:
        raise BadData(f"{source}: the file is empty")
    size = image_size(content)
    if size is None:
        raise BadData(f"{source}: not a JPEG or PNG image")
    if size[0] * size[1] > max_pixels:
        raise BadData(
            f"{source}: {size[1]} x {size[0]} pixels are more than --max_pixels={max_pixels}"
        )
    try:
        tf.io.decode_image(content, channels=3, expand_animations=False)
    except tf.errors.InvalidArgumentError:
        raise BadData(f"{source}: the image is damaged or cut short") from None


# ---------------------------------------------------------------- splits


def patient_key(patient_id: str, case_id: str) -> str:
    """Who must stay on one side of a split: the patient, or the case where no patient is known."""
    return f"patient {patient_id}" if patient_id else f"case {case_id}"


def _share(key):
    """A number in [0, 1) that is a function of the key alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def choose_split(key: str) -> str:
    """train, validation or test, by the hash of the key alone.

    So a patient keeps his split when others join the data later: a model trained
    on the older data has not seen the newer test patients.
    """
    share = _share(key)
    if share < TEST_SHARE:
        return "test"
    return "validation" if share < TEST_SHARE + VALIDATION_SHARE else "train"


def complete_splits(stated: Mapping[str, str]):
    """Gives every patient a split, keeping the splits that were stated.

    Patients without a split are put where `choose_split` says, and a split that was
    not stated at all takes its share out of train in the same way. Only where that
    leaves a split empty, as with a handful of patients, the nearest one by hash is
    moved, and so three patients are enough for three splits.

    Args:
      stated: {patient key: split, "" if not stated}.

    Returns:
      ({patient key: split}, note). The result does not depend on the order of `stated`.
      The note says in one line what was made; "" if nothing was.
    """
    chosen = {key: split or choose_split(key) for key, split in stated.items()}
    missing = set(SPLITS).difference(stated.values())
    movable = sorted((key for key, split in stated.items() if split in ("", "train")), key=_share)
    for key in movable:
        if chosen[key] == "train" and choose_split(key) in missing:
            chosen[key] = choose_split(key)
    for split in SPLITS:  # train comes first: it may take the only patient of another one
        sizes = collections.Counter(chosen.values())
        spare = [key for key in movable if split == "train" or sizes[chosen[key]] > 1]
        if spare and not sizes[split]:
            chosen[spare[-1] if split == "train" else spare[0]] = split

    free = sum(not split for split in stated.values())
    moved = {chosen[key] for key, split in stated.items() if split == "train"} - {"train"}
    made = [split for split in SPLITS if split in moved]
    unit = "case" if all(key.startswith("case ") for key in stated) else "patient"
    if free == len(stated):
        present = [split for split in SPLITS if split in chosen.values()]
        return chosen, f"no split was given: made by {unit}: {', '.join(present)}"
    notes = []
    if free:
        units = f"{unit} was" if free == 1 else f"{unit}s were"
        notes.append(f"{free:,} {units} given a split, having none")
    if made:
        notes.append(f"there was no {' and no '.join(made)} split: taken out of train by {unit}")
    return chosen, "; ".join(notes)


def check_cases(cases_by_split: Mapping[str, Iterable[Case]]):
    """The last check before writing, the same for every builder.

    Raises:
      BadData: a case or an image is there twice, a case has no image, or a patient
        stands in two splits.
    """
    cases, images, patients = {}, {}, {}
    for split, members in cases_by_split.items():
        for case in members:
            if not case.images:
                raise BadData(f"case {case.case_id} has no image")
            source = case.images[0].source
            if case.case_id in cases:
                first = cases[case.case_id]
                raise BadData(f"{source}: case {case.case_id} is there twice ({first})")
            cases[case.case_id] = source
            for image in case.images:
                if image.image_id in images:
                    first = images[image.image_id]
                    raise BadData(
                        f"{image.source}: image {image.image_id} is there twice ({first})"
                    )
                images[image.image_id] = image.source
            key = patient_key(case.patient_id, case.case_id)
            other_split, other_source = patients.setdefault(key, (split, source))
            if other_split != split:
                raise BadData(
                    f"{source}: {key} is in {split}, but in {other_split} in {other_source}; "
                    "a patient must stay in one split"
                )
