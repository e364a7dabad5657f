"""The tfds builder of every dataset here, and the features of a case.

A dataset's own builder only says how its files become cases, see `grouping`.
"""

import dataclasses
import functools
import hashlib
import os

import numpy as np
import tensorflow_datasets as tfds

from data_builders.examples import check_cases, check_some_left
from data_builders.grouping import ReadOptions
from data_builders.images import ImageOptions
from data_builders.on_beam import beam_examples
from data_builders.on_threads import case_examples
from data_builders.schema import CaseSource


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


class CaseDatasetBuilder(
    tfds.core.GeneratorBasedBuilder,
    skip_registration=True,  # type: ignore[call-arg]  # tfds takes it, and has no types
):
    """One example per case, its images as encoded bytes; see `case_features`.

    A dataset adds `read_source` and what tfds asks for: configurations of class `CaseConfig`, how
    to get the files, a README beside it, and a version once it is not the first one.

    Attributes:
      on_case: called after each case is written; a caller may set it to show progress.
      beam_folder: if set, the data is written on Apache Beam, on the runner of tfds's
        `DownloadConfig`, and bad images are listed in this folder (see `on_beam`).
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
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
        file = os.path.join(self.beam_folder, f"found-{split}.json")
        return beam_examples(cases, self.builder_config.images, file)
