"""tfds builder of `derm_cases`: cases of several photos, synthetic or from a manifest."""

import dataclasses
import functools
import hashlib

import tensorflow_datasets as tfds

from data_builders import case_builder
from data_builders.derm_cases import synthetic
from data_builders.derm_cases.manifest import Manifest


@dataclasses.dataclass(kw_only=True)
class SyntheticConfig(tfds.core.BuilderConfig):
    """Rendered cases; see `synthetic.synthetic_cases` for the two controls."""

    photo_variation: bool = True
    shuffle_case_ids: bool = False


@dataclasses.dataclass(kw_only=True)
class ManifestConfig(tfds.core.BuilderConfig):
    """The user's own images, read by `manifest.read_manifest`; see `manifest_config`."""

    manifest: Manifest = dataclasses.field(repr=False)  # tfds logs the repr: no patient ids there
    max_pixels: int


def manifest_config(manifest, max_pixels=100_000_000):
    """The configuration of one manifest, named after the hash of all that goes into the data."""
    key = hashlib.sha256(f"{manifest.fingerprint} {max_pixels}".encode()).hexdigest()
    return ManifestConfig(
        name=f"manifest-{key[:12]}",
        description="Images from a manifest.",
        manifest=manifest,
        max_pixels=max_pixels,
    )


class Builder(tfds.core.GeneratorBasedBuilder):
    """One example per case, its images as encoded bytes; see `case_builder.case_features`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        SyntheticConfig(name="synthetic", description="Rendered cases with varied photos."),
        SyntheticConfig(
            name="synthetic_shuffled",
            description="Control: the photos of the train split are dealt to random cases.",
            shuffle_case_ids=True,
        ),
        SyntheticConfig(
            name="synthetic_same_photo",
            description="Control: the photos of a case are the same photo.",
            photo_variation=False,
        ),
    ]

    # Called after each case is written; a caller may set it to show progress.
    on_case = None

    def _info(self):
        config = self.builder_config
        if isinstance(config, ManifestConfig):
            class_names, finding_names = config.manifest.class_names, config.manifest.finding_names
            shared, notes = config.manifest.labels_shared_by_case, config.manifest.notes
        else:
            class_names, finding_names, shared = synthetic.CLASS_NAMES, (), True
            notes = ("synthetic: rendered, not photographed",)
        return self.dataset_info_from_configs(
            features=case_builder.case_features(class_names, finding_names),
            metadata=case_builder.case_metadata(
                class_names, finding_names, labels_shared_by_case=shared, notes=notes
            ),
        )

    @functools.cached_property
    def cases(self):
        """{split: [Case]}; images are not read before they are written."""
        config = self.builder_config
        if isinstance(config, ManifestConfig):
            return config.manifest.cases
        return synthetic.synthetic_cases(
            photo_variation=config.photo_variation, shuffle_case_ids=config.shuffle_case_ids
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing is downloaded
        case_builder.check_cases(self.cases)
        return {split: self._generate_examples(cases) for split, cases in self.cases.items()}

    def _generate_examples(self, cases):
        max_pixels = getattr(self.builder_config, "max_pixels", None)
        for example in case_builder.case_examples(cases, max_pixels):
            yield example
            if self.on_case:
                self.on_case()
