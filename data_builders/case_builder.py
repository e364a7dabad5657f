"""The one schema of every dataset here: a case, its images, its labels.

A case is one patient's set of images of one condition. A dataset's own builder only turns
files into cases (see `grouping`); the features, the tfds builder, and the checks on images,
cases and patients live here and are the same for all.
"""

import collections
import dataclasses
import functools
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent import futures

import numpy as np
import tensorflow_datasets as tfds

from data_builders.images import BadImage, ImageOptions, check_bytes, stored_image
from data_builders.splits import patient_key

UNLABELLED = -1  # a class
UNCERTAIN, NOT_MENTIONED = -1, -2  # a finding


@dataclasses.dataclass(frozen=True, slots=True)
class CaseImage:
    """One image of a case, not yet read.

    Attributes:
      image_id: name of the image, unique in the dataset; never a local path.
      read: returns the encoded image. Called once, by any thread, just before the case is
        written. If it is an `ImageFile`, messages name the file too.
      view_position: how it was taken ("PA", "close-up", ...); "" if unknown.
      class_label: index of the class, or -1 (`UNLABELLED`).
      findings: one of 1, 0, -1 (uncertain), -2 (`NOT_MENTIONED`) per finding;
        empty for a dataset with one class per image. Where all are -2, nothing is known.
      where: the row that names it, for messages ("cases.csv row 7"); not stored.
    """

    image_id: str
    read: Callable[[], bytes]
    view_position: str = ""
    class_label: int = UNLABELLED
    findings: tuple[int, ...] = ()
    where: str = ""

    @property
    def source(self):
        """Row and file, for messages about what is in the file."""
        shown = getattr(self.read, "shown", self.where)
        return shown if self.where == shown else f"{self.where}: {shown}"


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One case, as every builder hands it over. `images` holds one or more."""

    case_id: str
    patient_id: str
    images: tuple[CaseImage, ...]
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict)


class BadData(ValueError):
    """The source cannot become cases. One line: what is wrong, in which file and row."""


class BadImages:
    """Images that are left out, up to a limit.

    Args:
      limit: how many may be left out.

    Attributes:
      found: one message each, in order.
    """

    def __init__(self, limit=0):
        self.limit, self.found = limit, []

    def add(self, message):
        """Notes a bad image; raises BadData if there are more than `limit`."""
        self.found.append(message)
        if not self.limit:
            raise BadData(message)
        if len(self.found) > self.limit:
            raise BadData(f"{message}; that makes more than --max_bad_images={self.limit}")


@dataclasses.dataclass(frozen=True)
class CaseSource:
    """What the files of a dataset say; made by `grouping.group_rows`.

    Attributes:
      cases: {split: [Case]}, of the splits that have any.
      class_names: in the order of the labels; empty if nothing is labelled, or with findings.
      finding_names: in the order of the values; empty where each image has one class.
      default_findings: those that a classifier predicts unless told; empty: all.
      synonyms: {another set's name of a finding: ours}, so that a classifier of that set can be
        judged on this one.
      labels_shared_by_case: the images of a case carry one label.
      notes: one line each on what was decided for the user.
      bad_images: `BadImages` that were left out so far.
      fingerprint: hash of what the rows say and of the sizes of the images.
      stamp: hash of when the images were written. A copy of the files has another one, so it
        is no part of the fingerprint.
      threads: read images in several threads; not where reading is Python's own work.
      counts: of the images stored so far, see `read_case`.
    """

    cases: Mapping[str, list]
    class_names: tuple = ()
    finding_names: tuple = ()
    default_findings: tuple = ()
    synonyms: Mapping[str, str] = dataclasses.field(default_factory=dict)
    labels_shared_by_case: bool = True
    notes: tuple = ()
    bad_images: BadImages = dataclasses.field(default_factory=BadImages)
    fingerprint: str = ""
    stamp: str = ""
    threads: bool = True
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    @property
    def num_cases(self):
        """Of all splits."""
        return sum(len(cases) for cases in self.cases.values())


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
      (one JSON object), and per image `images`, `image_id`, `view_position`, `pixel_hash`
      (int64, see `images.stored_image`) and either `class_label` [n] int64 or `findings`
      [n, K] int8.
    """
    per_image = dict(
        images=tfds.features.Sequence(tfds.features.Text()),
        image_id=tfds.features.Sequence(tfds.features.Text()),
        view_position=tfds.features.Sequence(tfds.features.Text()),
        pixel_hash=tfds.features.Sequence(np.int64),
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


def case_metadata(source):
    """What belongs to a prepared dataset beside its cases, kept by tfds as metadata.json."""
    return tfds.core.MetadataDict(
        class_names=list(source.class_names),
        finding_names=list(source.finding_names),
        default_findings=list(source.default_findings),
        synonyms=dict(source.synonyms),
        labels_shared_by_case=bool(source.labels_shared_by_case),
        notes=list(source.notes),
    )


# ---------------------------------------------------------------- the tfds builder


@dataclasses.dataclass(kw_only=True)
class CaseConfig(tfds.core.BuilderConfig):
    """A configuration of a dataset of cases.

    Attributes:
      class_names, finding_names: as in `CaseSource`, as far as they are known before the files
        are read.
      images: which images are accepted, and how they are stored.
      source: what the files say; None: to be read from tfds's `manual_dir`. tfds logs the
        repr, and there are patient ids in it.
    """

    class_names: tuple = ()
    finding_names: tuple = ()
    images: ImageOptions = dataclasses.field(default_factory=ImageOptions)
    source: CaseSource | None = dataclasses.field(default=None, repr=False)

    @classmethod
    def of(cls, name, source, images=None, seen_otherwise=False):
        """A configuration of files that were read, named after the hash of all that counts.

        `images`: None for the default `ImageOptions`. `seen_otherwise`: see the module of
        that name.
        """
        images = images or ImageOptions()
        key = f"{source.fingerprint} {source.bad_images.limit} {images.key()}"
        if seen_otherwise:
            key += " seen otherwise"
        key = hashlib.sha256(key.encode()).hexdigest()
        return cls(
            name=f"{name}-{key[:12]}",
            class_names=source.class_names,
            finding_names=source.finding_names,
            images=images,
            source=source,
        )

    def seen_otherwise(self):
        """The configuration of the same files, named as where the pictures look otherwise than
        the first version saw them; see the module `seen_otherwise`."""
        variant = self.name.rpartition("-")[0]
        return self.of(variant, self.source, self.images, seen_otherwise=True)


class CaseDatasetBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One example per case, its images as encoded bytes; see `case_features`.

    A dataset adds `read_source` and what tfds asks for: a version, configurations of class
    `CaseConfig`, and a README beside it.

    Attributes:
      on_case: called after each case is written; a caller may set it to show progress.
      beam_folder: if set, the data is written on Apache Beam, on the runner of tfds's
        `DownloadConfig`, and bad images are listed in this folder (see `on_beam`).
    """

    on_case = None
    beam_folder = ""

    @staticmethod
    def read_source(config, folder, options):
        """Reads the files of a dataset.

        Args:
          config: name of a declared configuration.
          folder: where the files lie, as the user wrote it.
          options: `grouping.ReadOptions`.

        Returns:
          A `CaseSource`.

        Raises:
          BadData: one line that names the flag, or file and row.
        """
        raise NotImplementedError

    @functools.cached_property
    def source(self):
        """The `CaseSource`: as given, or read from `manual_dir` by `_split_generators`."""
        return self.builder_config.source

    def _info(self):
        config = self.builder_config
        return self.dataset_info_from_configs(
            features=case_features(config.class_names, config.finding_names),
            metadata=tfds.core.MetadataDict(),  # when the source is read
        )

    def _split_generators(self, dl_manager):
        if self.source is None:
            from data_builders.grouping import ReadOptions  # which imports this module

            folder = str(dl_manager.manual_dir)
            self.source = self.read_source(self.builder_config.name, folder, ReadOptions())
        self.info.metadata.update(case_metadata(self.source))
        check_cases(self.source.cases)
        make = self._beam_examples if self.beam_folder else self._generate_examples
        return {split: make(split, cases) for split, cases in self.source.cases.items()}

    def _generate_examples(self, split, cases):
        written = 0
        for example in case_examples(cases, self.builder_config.images, self.source):
            if example:
                written += 1
                yield example
            if self.on_case:
                self.on_case()
        check_some_left(written, split, self.source.bad_images)

    def _beam_examples(self, split, cases):
        from data_builders.on_beam import beam_examples

        file = os.path.join(self.beam_folder, f"found-{split}.json")
        return beam_examples(cases, self.builder_config.images, file)


# ---------------------------------------------------------------- examples


def case_examples(cases: Iterable[Case], images: ImageOptions, source: CaseSource):
    """Turns cases into (key, example) as tfds wants them.

    Threads read and check the images of the next few cases, so that two cases per core
    are in memory, whatever the size of the dataset.

    Args:
      cases: the cases of one split.
      images: which images are accepted, and how they are stored.
      source: where they come from; its `bad_images` are added to.

    Yields:
      Per case, in order, (case_id, example) with the fields of `case_features`; None for a
      case without a good image.

    Raises:
      BadData: one bad image more than may be left out; of several, the first one in order.
    """
    # Decoding leaves Python to other threads; rendering does not, and is slower with several.
    workers = min(os.cpu_count() or 1, 8) if source.threads else 1
    with futures.ThreadPoolExecutor(workers) as pool:
        waiting = collections.deque()
        remaining = iter(cases)
        try:
            while True:
                for case in itertools.islice(remaining, 2 * workers + 1 - len(waiting)):
                    waiting.append(pool.submit(read_case, case, images))
                if not waiting:
                    return
                example, bad, counts = waiting.popleft().result()
                for message in bad:
                    source.bad_images.add(message)
                source.counts.update(counts)
                yield example
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def read_case(case: Case, images: ImageOptions):
    """Reads the images of one case.

    Returns:
      ((case_id, example), [message on each image that is bad and left out], counts); None in
      place of the first if no image is good. `counts` is {"turned": images that their EXIF says
      to turn, "with_position": images whose stored copy says where they were taken}.
    """
    good, bad = [], []
    for image in case.images:
        try:
            check_bytes(getattr(image.read, "size", 0), images.max_image_bytes)
            good.append((image, stored_image(image.read(), images)))
        except OSError as error:
            bad.append(f"{image.source}: cannot be read: {error.strerror}")
        except BadImage as error:
            bad.append(f"{image.source}: {error}")
    if not good:
        return None, bad, {}
    members, stored = zip(*good, strict=True)
    attributes = {
        name: [v for v, image in zip(value, case.images, strict=True) if image in members]
        if isinstance(value, list)  # one per image
        else value
        for name, value in case.attributes.items()
    }
    example = dict(
        case_id=case.case_id,
        patient_id=case.patient_id,
        attributes=json.dumps(attributes, sort_keys=True, ensure_ascii=False),
        images=[image.content for image in stored],
        image_id=[image.image_id for image in members],
        view_position=[image.view_position for image in members],
        pixel_hash=[image.pixel_hash for image in stored],
    )
    if members[0].findings:
        example["findings"] = np.array([image.findings for image in members], np.int8)
    else:
        example["class_label"] = [image.class_label for image in members]
    counts = dict(
        turned=sum(image.turned for image in stored),
        with_position=sum(image.has_position for image in stored),
    )
    return (case.case_id, example), bad, counts


def check_some_left(number, split, bad_images):
    """Raises BadData if not one case of a split has a good image; tfds writes no empty split."""
    if not number:
        raise BadData(f"{bad_images.found[-1]}; that leaves no image in {split}")


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
            source = case.images[0].where
            if case.case_id in cases:
                first = cases[case.case_id]
                raise BadData(f"{source}: case {case.case_id} is there twice ({first})")
            cases[case.case_id] = source
            for image in case.images:
                if image.image_id in images:
                    first = images[image.image_id]
                    raise BadData(f"{image.where}: image {image.image_id} is there twice ({first})")
                images[image.image_id] = image.where
            key = patient_key(case.patient_id, case.case_id)
            other_split, other_source = patients.setdefault(key, (split, source))
            if other_split != split:
                raise BadData(
                    f"{source}: {key} is in {split}, but in {other_split} in {other_source}; "
                    "a patient must stay in one split"
                )
