"""Batches of labelled images: which images, how often, and whether the label is theirs."""

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.config import Config
from micle_tf.data import augment, cases, pipeline, sampling
from micle_tf.data.augment import Augmentation

NUM_CASES, BATCH, SEED = 11, 4, 7
# Blue tells the case, green the image in it, so that a batch tells where it is from.
PLAIN = Augmentation(size=8, color_jitter_strength=0.0, use_blur=False)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Cases of 1 to 4 images in one colour each; of case 3 nothing is labelled."""
    folder = tmp_path_factory.mktemp("colours")
    rows = ["image,case_id,split,label"]
    for case in range(NUM_CASES + 2):
        for photo in range(1 + case % 4):
            pixels = np.full((12, 12, 3), (0, 40 * photo, 15 * case), np.uint8)
            (folder / f"{case}_{photo}.png").write_bytes(tf.io.encode_png(pixels).numpy())
            split = "train" if case < NUM_CASES else ("validation", "test")[case - NUM_CASES]
            rows.append(f"{case}_{photo}.png,c{case:02d},{split},{'xyz'[case % 3]}")
    (folder / "cases.csv").write_text("\n".join(rows))
    config = Config(manifest=str(folder / "cases.csv"), data_dir=str(folder / "prepared"))
    return cases.open_cases(config).open("train")


@pytest.fixture(scope="module")
def labels(reader):
    """Labels [I] that tell case and photo apart, 10 case + photo; case 3 and a photo are blank."""
    found = 10 * case_numbers(reader) + photo_numbers(reader)
    found[(found // 10 == 3) | (found == 61)] = -1
    return found


def case_numbers(reader):
    return np.array([int(c[1:]) for c in reader.index.case_id])[reader.index.case_of_image]


def photo_numbers(reader):
    return np.concatenate([np.arange(n) for n in reader.index.images_per_case])


def batches(reader, labels, steps, options=PLAIN, seed=SEED, **changes):
    images = np.flatnonzero(labels >= 0)
    dataset = pipeline.labelled_dataset(
        reader, images, labels, BATCH, options, seed=seed, steps=steps, **changes
    )
    return [(batch["image"].numpy(), batch["label"].numpy()) for batch in dataset]


def seen_in(image):
    """10 case + photo of [b, 8, 8, 3] images, read off their colour."""
    flat = image.reshape(len(image), -1, 3)
    np.testing.assert_allclose(flat, flat[:, :1].repeat(64, 1), atol=1e-6)
    photo, case = 255 * flat[:, 0, 1] / 40, 255 * flat[:, 0, 2] / 15
    return 10 * np.rint(case).astype(int) + np.rint(photo).astype(int)


@pytest.mark.parametrize("one", [False, True])
def test_labels_go_with_their_images(reader, labels, one):
    for image, label in batches(reader, labels, (0, 12), one_per_case=one):
        assert image.shape == (BATCH, 8, 8, 3) and image.dtype == np.float32
        np.testing.assert_array_equal(seen_in(image), label)
        assert (label >= 0).all()


def test_findings_go_with_their_images(reader, labels):
    table = np.stack([labels // 10, labels % 10], axis=1).astype(np.int8)
    images = np.flatnonzero(labels >= 0)
    dataset = pipeline.labelled_dataset(
        reader, images, table, BATCH, PLAIN, seed=SEED, steps=(3, 6)
    )
    for batch in dataset:
        label = batch["label"].numpy()
        assert label.dtype == np.int8 and label.shape == (BATCH, 2)
        np.testing.assert_array_equal(seen_in(batch["image"].numpy()), label @ np.array([10, 1]))


@pytest.mark.slow
def test_an_epoch_shows_every_labelled_image_once(reader, labels):
    labelled = labels[labels >= 0]
    assert len(labelled) == 21
    per_epoch = len(labelled) // BATCH
    for epoch in (0, 1, 5):
        steps = (epoch * per_epoch, (epoch + 1) * per_epoch)
        shown = np.concatenate([label for _, label in batches(reader, labels, steps)])
        # The rest of an epoch that fills no batch is dropped.
        assert len(shown) == per_epoch * BATCH == len(set(shown)) == len(labelled) - 1
        assert set(shown) < set(labelled)


def test_one_of_each_case_and_in_time_all(reader, labels):
    labelled = labels[labels >= 0]
    cases = set(labelled // 10)
    assert len(cases) == 10
    per_epoch, epochs = len(cases) // BATCH, 60
    shown = [x for _, x in batches(reader, labels, (0, epochs * per_epoch), one_per_case=True)]
    for epoch in range(epochs):
        found = np.concatenate(shown[epoch * per_epoch : (epoch + 1) * per_epoch]) // 10
        assert len(found) == len(set(found)) == per_epoch * BATCH and set(found) < cases
    every, times = np.unique(np.concatenate(shown), return_counts=True)
    assert set(every) == set(labelled)
    for case in cases:  # each image of a case is as likely as the others
        drawn = times[every // 10 == case]
        share = drawn.sum() / len(drawn)
        assert (np.abs(drawn - share) < 4.5 * np.sqrt(share)).all()


@pytest.mark.slow
@pytest.mark.parametrize("one", [False, True])
def test_a_batch_is_a_function_of_seed_and_step(reader, labels, one):
    options = Augmentation(size=8)
    whole = batches(reader, labels, (0, 9), options, one_per_case=one)
    middle = batches(reader, labels, (4, 9), options, one_per_case=one)
    for found, expected in zip(middle, whole[4:], strict=True):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
    other = batches(reader, labels, (0, 9), options, seed=SEED + 1, one_per_case=one)
    assert [x.tolist() for _, x in other] != [x.tolist() for _, x in whole]
    assert not batches(reader, labels, (9, 9), options, one_per_case=one)


@pytest.mark.slow
@pytest.mark.parametrize("one", [False, True])
def test_parts_of_replicas_make_up_the_batch(reader, labels, one):
    options = Augmentation(size=8)
    whole = batches(reader, labels, (2, 6), options, one_per_case=one)
    for size in (1, 2):
        parts = batches(reader, labels, (2, 6), options, one_per_case=one, replica_batch=size)
        assert len(parts) == 4 * BATCH // size
        for place in (0, 1):
            np.testing.assert_array_equal(
                np.concatenate([part[place] for part in parts]),
                np.concatenate([batch[place] for batch in whole]),
            )


def test_an_image_is_augmented_by_the_draws_of_its_place(reader, labels):
    options = Augmentation(size=8, vertical_flip=True, rotation_degrees=20.0)
    images = np.flatnonzero(labels >= 0)
    stored = reader.read(tf.range(NUM_CASES, dtype=tf.int64)).flat_values
    ((found, _),) = batches(reader, labels, (8, 9), options)
    _, units = next(iter(sampling.unit_batches(SEED, (8, 9), BATCH, len(images))))
    draws = augment.draw_views(SEED, tf.constant(8, tf.int64), BATCH, options, views=1)
    for place, unit in enumerate(units.numpy()):
        drawn = {name: value[place, 0] for name, value in draws.items()}
        expected = augment.augmented_view(stored[images[unit]], drawn, options)
        np.testing.assert_allclose(found[place], expected, atol=1e-6)


def test_units(reader, labels):
    images = np.flatnonzero(labels >= 0)
    case = reader.index.case_of_image[images]
    of_images = pipeline.labelled_units(reader.index, images, False)
    np.testing.assert_array_equal(of_images, [case, np.arange(21), np.ones(21)])
    cases, first, count = pipeline.labelled_units(reader.index, images, True)
    assert len(cases) == len(set(cases)) == 10 and count.sum() == 21
    for number, start, n in zip(cases, first, count, strict=True):
        np.testing.assert_array_equal(np.flatnonzero(case == number), start + np.arange(n))
