"""tfds's own test of the builder, on the tree in dummy_data/."""

import pathlib

import numpy as np
import tensorflow_datasets as tfds

from data_builders.nih_chest_xray14 import nih_chest_xray14_dataset_builder as nih

DUMMY_DATA = pathlib.Path(__file__).parent / "dummy_data"


class NihChestXray14Test(tfds.testing.DatasetBuilderTestCase):
    """Six patients with both official lists; one image is RGBA."""

    DATASET_CLASS = nih.Builder
    SPLITS = {"train": 2, "validation": 2, "test": 2}
    BUILDER_CONFIG_NAMES_TO_TEST = ["default"]
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False  # the reader opens files itself


def test_examples_hold_what_the_row_says(tmp_path):
    """Findings, view and attributes of the first image, as written by tfds."""
    builder = nih.Builder(data_dir=str(tmp_path))
    config = tfds.download.DownloadConfig(manual_dir=str(DUMMY_DATA))
    builder.download_and_prepare(download_config=config)
    examples = {
        example["case_id"]: example
        for split in builder.info.splits
        for example in tfds.as_numpy(builder.as_dataset(split=split))
    }
    case = examples[b"13"]
    names = ["00000013_000.png", "00000013_004.png"]
    assert case["patient_id"] == b"13"
    assert case["image_id"].tolist() == [name.encode() for name in names]
    assert case["view_position"].tolist() == [b"PA", b"AP"]
    assert case["images"].tolist() == [
        (DUMMY_DATA / f"images_00{i}" / "images" / name).read_bytes()
        for i, name in enumerate(names, 1)
    ]
    present = [np.array(nih.FINDINGS)[row == 1].tolist() for row in case["findings"]]
    assert present == [["Pleural_Thickening"], ["Infiltration", "Mass", "Pneumonia"]]
    assert examples[b"12"]["findings"].tolist() == [[0] * 14]
    assert builder.info.metadata["finding_names"] == list(nih.FINDINGS)
    assert builder.info.metadata["labels_shared_by_case"] is False
