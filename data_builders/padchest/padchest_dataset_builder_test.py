"""tfds's own test of the builder, on the tree in dummy_data/."""

import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from data_builders.padchest import padchest_dataset_builder as padchest
from data_builders.padchest.labels import DEFAULT_FINDINGS, FINDINGS

DUMMY_DATA = pathlib.Path(__file__).parent / "dummy_data"


class PadchestTest(tfds.testing.DatasetBuilderTestCase):
    """Eight studies of seven patients; images of 16 bits."""

    DATASET_CLASS = padchest.Builder
    SPLITS = {"train": 5, "validation": 1, "test": 2}
    BUILDER_CONFIG_NAMES_TO_TEST = ["default"]
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False  # the reader opens files itself


def test_examples_hold_what_the_row_says(tmp_path):
    """Findings, view and attributes of the first image, as written by tfds."""
    builder = padchest.Builder(data_dir=str(tmp_path))
    config = tfds.download.DownloadConfig(manual_dir=str(DUMMY_DATA))
    builder.download_and_prepare(download_config=config)
    examples = {
        example["case_id"].decode()[-1]: example  # the number of the study
        for split in builder.info.splits
        for example in tfds.as_numpy(builder.as_dataset(split=split))
    }
    case = examples["1"]
    patient, study = f"7{1:037d}", f"2168401113669640{1:026d}"
    assert case["case_id"].decode() == f"{patient}/{study}"
    assert case["patient_id"].decode() == patient
    assert case["image_id"].tolist() == [
        f"{study}{k:03d}_00-{k:03d}-045.png".encode() for k in range(2)
    ]
    assert case["view_position"].tolist() == [b"PA", b"L"]
    assert case["findings"].dtype == np.int8
    present = np.array(FINDINGS)[case["findings"][0] == 1].tolist()
    assert present == ["cardiomegaly", "pleural effusion"]
    assert case["findings"][0].tolist() == case["findings"][1].tolist()
    assert set(examples["3"]["findings"].ravel()) == {0}
    assert set(examples["5"]["findings"].ravel()) == {-2}
    for image in case["images"]:  # 16 bits that use little of their range
        pixels = tf.io.decode_png(image, channels=0)
        assert pixels.shape == (10, 12, 1)
        assert pixels.dtype == np.uint8 and np.ptp(pixels) > 200
        assert image[24] == 8  # bits per channel, in the header of the file
    assert builder.info.metadata["default_findings"] == list(DEFAULT_FINDINGS)
    assert builder.info.metadata["labels_shared_by_case"] is True
