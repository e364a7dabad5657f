"""tfds's own test of a builder, on the manifest in dummy_data/."""

import json
import pathlib

import numpy as np
import tensorflow_datasets as tfds

from data_builders.derm_cases import derm_cases_dataset_builder as derm_cases
from data_builders.derm_cases.manifest import read_manifest

DUMMY_DATA = pathlib.Path(__file__).parent / "dummy_data"


class DermCasesTest(tfds.testing.DatasetBuilderTestCase):
    """Six cases of photos of several sizes: JPEG and PNG, grey, with alpha and in colour."""

    DATASET_CLASS = derm_cases.Builder
    SPLITS = {"train": 3, "validation": 1, "test": 2}
    BUILDER_CONFIG_NAMES_TO_TEST = [
        derm_cases.manifest_config(read_manifest(str(DUMMY_DATA / "cases.csv")))
    ]


def test_examples_hold_the_case_as_it_is(tmp_path):
    """Bytes, ids, labels and attributes come back as the manifest stated them."""
    config = derm_cases.manifest_config(read_manifest(str(DUMMY_DATA / "cases.csv")))
    builder = derm_cases.Builder(data_dir=str(tmp_path), config=config)
    builder.download_and_prepare()
    examples = {
        example["case_id"]: example
        for split in ("train", "validation", "test")
        for example in tfds.as_numpy(builder.as_dataset(split=split))
    }
    assert sorted(examples) == [b"c1", b"c2", b"c3", b"c4", b"c5", b"c6"]
    case = examples[b"c1"]
    names = ["photos/c1_front.jpg", "photos/c1_side.jpg", "photos/c1_close.png"]
    assert case["patient_id"] == b"p1"
    assert json.loads(case["attributes"]) == {"age": "61"}
    assert case["image_id"].tolist() == [name.encode() for name in names]
    assert case["view_position"].tolist() == [b"front", b"side", b"close-up"]
    assert case["images"].tolist() == [(DUMMY_DATA / name).read_bytes() for name in names]
    assert case["class_label"].tolist() == [0, 0, 0]
    assert examples[b"c2"]["class_label"].tolist() == [1, 1]
    assert examples[b"c3"]["class_label"].tolist() == [-1]
    assert examples[b"c6"]["patient_id"] == b""
    assert builder.info.features["class_label"].feature.names == ["ring", "spot"]
    assert dict(builder.info.metadata) == {
        "class_names": ["ring", "spot"],
        "finding_names": [],
        "labels_shared_by_case": True,
        "notes": [],
    }


def test_findings_take_the_place_of_labels(tmp_path):
    """The column `label` as names of findings: [n, K] int8, and no `class_label`."""
    manifest = read_manifest(str(DUMMY_DATA / "cases.csv"), findings_column="label")
    config = derm_cases.manifest_config(manifest)
    builder = derm_cases.Builder(data_dir=str(tmp_path), config=config)
    builder.download_and_prepare()
    examples = {
        example["case_id"]: example
        for split in ("train", "validation", "test")
        for example in tfds.as_numpy(builder.as_dataset(split=split))
    }
    assert all("class_label" not in example for example in examples.values())
    assert examples[b"c1"]["findings"].dtype == np.int8
    assert examples[b"c1"]["findings"].tolist() == [[1, 0]] * 3
    assert examples[b"c2"]["findings"].tolist() == [[0, 1]] * 2
    assert examples[b"c3"]["findings"].tolist() == [[-2, -2]]
    assert builder.info.metadata["class_names"] == []
    assert builder.info.metadata["finding_names"] == ["ring", "spot"]


def test_name_of_a_manifest_is_a_hash_of_all_that_goes_into_the_data():
    """Another limit on the pixels is another dataset."""
    manifest = read_manifest(str(DUMMY_DATA / "cases.csv"))
    names = {
        derm_cases.manifest_config(manifest).name,
        derm_cases.manifest_config(manifest, max_pixels=10).name,
        derm_cases.manifest_config(
            read_manifest(str(DUMMY_DATA / "cases.csv"), labels_shared_by_case=False)
        ).name,
        derm_cases.manifest_config(
            read_manifest(str(DUMMY_DATA / "cases.csv"), columns="label=age")
        ).name,
        derm_cases.manifest_config(
            read_manifest(str(DUMMY_DATA / "cases.csv"), findings_column="label")
        ).name,
    }
    assert len(names) == 5
    assert all(len(name) == len("manifest-") + 12 for name in names)
    assert "p1" not in repr(derm_cases.manifest_config(manifest))  # tfds writes it to its log


def test_configurations_of_rendered_cases():
    """The rendered cases and their two controls."""
    names = [config.name for config in derm_cases.Builder.BUILDER_CONFIGS]
    assert names == ["synthetic", "synthetic_shuffled", "synthetic_same_photo"]
    info = derm_cases.Builder(data_dir="unused", config="synthetic").info
    assert "synthetic" in info.metadata["notes"][0]
    assert len(info.metadata["class_names"]) == info.features["class_label"].feature.num_classes
