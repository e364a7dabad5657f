"""tfds's own test of the builder, on the files in dummy_data/."""

import tensorflow_datasets as tfds

from data_builders.chexpert_cases import chexpert_cases_dataset_builder


class ChexpertCasesOfficialTest(tfds.testing.DatasetBuilderTestCase):
    """Stanford's own three splits."""

    DATASET_CLASS = chexpert_cases_dataset_builder.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["official"]
    SPLITS = {"train": 8, "validation": 1, "test": 1}
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False  # the reader opens local files as Python does


class ChexpertCasesPaperTest(tfds.testing.DatasetBuilderTestCase):
    """Three splits out of the official train set."""

    DATASET_CLASS = chexpert_cases_dataset_builder.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["paper"]
    SPLITS = {"train": 4, "validation": 1, "test": 3}
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False
