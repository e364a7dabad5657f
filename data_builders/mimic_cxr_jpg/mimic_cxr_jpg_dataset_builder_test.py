"""tfds's own test of the builder, on the files in dummy_data/."""

import tensorflow_datasets as tfds

from data_builders.mimic_cxr_jpg import mimic_cxr_jpg_dataset_builder


class MimicCxrJpgTest(tfds.testing.DatasetBuilderTestCase):
    """PhysioNet's own three splits, one study without labels."""

    DATASET_CLASS = mimic_cxr_jpg_dataset_builder.Builder
    SPLITS = {"train": 6, "validation": 1, "test": 2}
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False  # the reader opens local files as Python does
