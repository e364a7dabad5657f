import json

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from data_builders.case_builder import CaseConfig, case_features, case_metadata
from data_builders.images import ImageOptions
from data_builders.schema import BadImages, CaseSource


@pytest.mark.parametrize(
    "names, per_image, dtype",
    [
        ({}, "class_label", tf.int64),
        ({"class_names": ("a", "b")}, "class_label", tf.int64),
        ({"finding_names": ("Edema", "Mass", "Fracture")}, "findings", tf.int8),
    ],
)
def test_a_case_is_one_example_of_encoded_images(names, per_image, dtype):
    features = case_features(**names)
    spec = features.get_tensor_spec()
    of_case, of_image = ("case_id", "patient_id", "attributes"), ("images", "image_id")
    assert [spec[name].shape.rank for name in of_case] == [0, 0, 0]
    assert [spec[name].dtype for name in (*of_case, *of_image)] == [tf.string] * 5
    assert spec["images"].shape.as_list() == [None] and spec["pixel_hash"].dtype == tf.int64
    width = [len(names["finding_names"])] if "finding_names" in names else []
    assert (spec[per_image].shape.as_list(), spec[per_image].dtype) == ([None, *width], dtype)
    assert len({"class_label", "findings"} & set(spec)) == 1


def test_what_is_kept_beside_the_cases_is_json():
    source = CaseSource({}, ("a",), (), (), {"x": "y"}, False, ("a note",))
    kept = case_metadata(source)
    assert isinstance(kept, tfds.core.MetadataDict)
    assert json.loads(json.dumps(kept)) == {
        "class_names": ["a"],
        "finding_names": [],
        "default_findings": [],
        "synonyms": {"x": "y"},
        "labels_shared_by_case": False,
        "notes": ["a note"],
    }


def test_the_name_tells_all_that_counts():
    def source(fingerprint="f", limit=0):
        return CaseSource({}, bad_images=BadImages(limit), fingerprint=fingerprint)

    usual = CaseConfig.of("set", source())
    assert usual.name.startswith("set-") and len(usual.name) == len("set-") + 12
    others = [
        CaseConfig.of("set", source("g")),
        CaseConfig.of("set", source(limit=1)),
        CaseConfig.of("set", source(), ImageOptions(max_image_side=64)),
        usual.seen_otherwise(),
    ]
    assert len({config.name for config in (usual, *others)}) == 5
    assert CaseConfig.of("set", source(), ImageOptions()).name == usual.name
    assert "CaseSource" not in repr(usual)  # which tfds logs, and in which patients are named
