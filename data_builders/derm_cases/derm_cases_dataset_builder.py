"""tfds builder of `derm_cases`: cases of several photos, public, synthetic or from a manifest."""

import tensorflow_datasets as tfds

from data_builders.case_builder import CaseConfig, CaseDatasetBuilder
from data_builders.derm_cases import ham10000, isic2019, pad_ufes_20, scin, synthetic
from data_builders.schema import CaseSource

_RENDERED = {
    "synthetic": ({}, "Rendered cases with varied photos."),
    "synthetic_shuffled": (
        {"shuffle_case_ids": True},
        "Control: the photos of the train split are dealt to random cases.",
    ),
    "synthetic_same_photo": (
        {"photo_variation": False},
        "Control: the photos of a case are the same photo.",
    ),
}
_PUBLIC = {"scin": scin, "pad_ufes_20": pad_ufes_20, "ham10000": ham10000, "isic2019": isic2019}


def read_source(config, folder, options):
    """The `CaseSource` of a configuration.

    Args:
      config: name of a declared configuration.
      folder: where the files lie; not needed for rendered cases.
      options: `grouping.ReadOptions`.

    Raises:
      BadData: one line that names the flag, or file and row.
    """
    if config in _PUBLIC:
        return _PUBLIC[config].read(folder, options)
    arguments, _ = _RENDERED[config]
    return CaseSource(
        cases=synthetic.synthetic_cases(**arguments),
        class_names=synthetic.CLASS_NAMES,
        notes=("synthetic: rendered, not photographed",),
        threads=False,
    )


class Builder(CaseDatasetBuilder):
    """Skin, one class per image; see `data_builders/derm_cases/README.md`."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {
        "1.1.0": "A hash of the pixels of each image; public sets.",
        "1.0.0": "First release.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put the files of the set as its owners ship them here."
    BUILDER_CONFIGS = [
        CaseConfig(name=name, description=description, class_names=synthetic.CLASS_NAMES)
        for name, (_, description) in _RENDERED.items()
    ] + [
        CaseConfig(name=name, description=module.DESCRIPTION, class_names=module.CLASS_NAMES)
        for name, module in _PUBLIC.items()
    ]

    read_source = staticmethod(read_source)
