"""The synthetic cases: counts, splits, determinism, what varies in a case, the controls."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from data_builders.case_builder import UNLABELLED
from data_builders.derm_cases.rendering import IMAGE_SIZE
from data_builders.derm_cases.synthetic import CLASS_NAMES, synthetic_cases

SMALL = {"train": 30, "validation": 4, "test": 4}


@pytest.fixture(scope="module")
def full():
    return synthetic_cases(seed=0)


def _images(cases):
    return [image for case in cases for image in case.images]


def _read_all(cases):
    return {image.image_id: image.read() for image in _images(cases)}


def _pixels(image):
    return tf.io.decode_png(image.read()).numpy()


def test_counts(full):
    assert 1850 <= len(full["train"]) <= 2150
    assert len(full["validation"]) >= 300
    assert len(full["test"]) >= 1000
    for cases in full.values():
        sizes = [len(case.images) for case in cases]
        assert set(sizes) == {1, 2, 3, 4, 5, 6}
        assert 0.65 < np.mean([2 <= size <= 4 for size in sizes]) < 0.83
        per_patient = collections.Counter(case.patient_id for case in cases)
        assert set(per_patient.values()) == {1, 2, 3}


def test_names_are_unique_and_splits_disjoint_by_patient(full):
    everything = [case for cases in full.values() for case in cases]
    ids = [case.case_id for case in everything]
    image_ids = [image.image_id for image in _images(everything)]
    assert len(set(ids)) == len(ids)
    assert len(set(image_ids)) == len(image_ids)
    assert everything[0].images[0].image_id == "case000000_0"
    patients = [{case.patient_id for case in cases} for cases in full.values()]
    assert len(set.union(*patients)) == sum(map(len, patients))


def test_labels_are_long_tailed_and_most_of_train_are_missing(full):
    assert 8 <= len(CLASS_NAMES) <= 10
    for split, cases in full.items():
        for case in cases:
            assert len({image.class_label for image in case.images}) == 1
        labels = np.array([case.images[0].class_label for case in cases])
        assert labels.min() >= UNLABELLED and labels.max() < len(CLASS_NAMES)
        missing = np.mean(labels == UNLABELLED)
        assert missing == 0 if split != "train" else 0.82 < missing < 0.88
        counts = np.bincount(labels[labels >= 0], minlength=len(CLASS_NAMES))
        assert counts.min() >= (6 if split == "train" else 8)
        assert 3 < counts[:2].mean() / counts[-2:].mean() < 8


def test_attributes_of_a_patient_agree(full):
    seen = {}
    for case in full["train"]:
        assert set(case.attributes) == {"skin_type", "age_group"}
        assert seen.setdefault(case.patient_id, dict(case.attributes)) == case.attributes


def test_pictures_are_a_function_of_the_seed():
    first, again, other = (
        _read_all(synthetic_cases(seed, patients_per_split=SMALL)["test"]) for seed in (5, 5, 6)
    )
    assert first == again
    assert not set(first.values()) & set(other.values())


def test_pictures_do_not_depend_on_the_order_of_reading():
    images = _images(synthetic_cases(1, patients_per_split=SMALL)["test"])
    forward = [image.read() for image in images]
    assert [image.read() for image in reversed(images)] == forward[::-1]


def test_png_holds_rgb_of_the_stated_size():
    image = synthetic_cases(0, patients_per_split=SMALL)["train"][0].images[0]
    picture = _pixels(image)
    assert picture.shape == (IMAGE_SIZE, IMAGE_SIZE, 3) and picture.dtype == np.uint8
    assert picture.std() > 5
    np.testing.assert_array_equal(tf.io.decode_image(image.read()).numpy(), picture)


def test_photos_of_a_case_differ():
    for case in synthetic_cases(0, patients_per_split=SMALL)["train"]:
        pictures = [_pixels(image).astype(int) for image in case.images]
        for i, first in enumerate(pictures):
            for second in pictures[:i]:
                assert np.abs(first - second).mean() > 5


def test_without_photo_variation_the_photos_of_a_case_are_equal():
    varied = synthetic_cases(0, patients_per_split=SMALL)
    same = synthetic_cases(0, photo_variation=False, patients_per_split=SMALL)
    pictures = []
    for case, other in zip(same["train"], varied["train"], strict=True):
        assert [i.image_id for i in case.images] == [i.image_id for i in other.images]
        assert [i.class_label for i in case.images] == [i.class_label for i in other.images]
        in_case = {image.read() for image in case.images}
        assert len(in_case) == 1
        pictures += in_case
    assert len(set(pictures)) == len(pictures)  # cases still differ


def test_shuffled_case_ids_deal_the_same_photos_to_cases_of_the_same_sizes():
    plain = synthetic_cases(2, patients_per_split=SMALL)
    dealt = synthetic_cases(2, shuffle_case_ids=True, patients_per_split=SMALL)
    assert [(c.case_id, c.patient_id, len(c.images)) for c in dealt["train"]] == [
        (c.case_id, c.patient_id, len(c.images)) for c in plain["train"]
    ]

    def photos(cases):
        return {i.image_id: (i.class_label, i.view_position, i.read()) for i in _images(cases)}

    assert photos(dealt["train"]) == photos(plain["train"])
    for split in ("validation", "test"):
        assert [c.case_id for c in dealt[split]] == [c.case_id for c in plain[split]]
        assert photos(dealt[split]) == photos(plain[split])
    owner = {i.image_id: c.case_id for c in plain["train"] for i in c.images}
    stayed = [owner[i.image_id] == c.case_id for c in dealt["train"] for i in c.images]
    assert np.mean(stayed) < 0.15


def test_mean_colour_does_not_tell_the_class(full):
    cases = full["validation"]
    colour = np.array([_pixels(case.images[0]).mean((0, 1)) for case in cases])
    label = np.array([case.images[0].class_label for case in cases])
    distance = np.linalg.norm(colour[:, None] - colour, axis=-1)
    np.fill_diagonal(distance, np.inf)
    nearest = label[distance.argmin(1)]
    assert np.mean(nearest == label) < 0.35
