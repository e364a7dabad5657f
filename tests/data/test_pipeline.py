"""How sampling, decoding and augmentation are put together; see also test_pipeline_pairs.py."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.config import Config
from micle_tf.data import augment, cases, decode, pipeline, sampling
from micle_tf.data.augment import Augmentation
from tests.pictures import jpeg, png

IMAGES_PER_CASE = [1 + number % 3 for number in range(14)]
SEED, BATCH = 11, 4


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Cases of 1 to 3 images of noise: PNG, and grey JPEG, whose crops are exact."""
    folder = tmp_path_factory.mktemp("noise")
    rows = ["image,case_id,split", "v.png,v,validation", "t.png,t,test"]
    (folder / "v.png").write_bytes(png(seed=1000))
    (folder / "t.png").write_bytes(png(seed=1001))
    for case, count in enumerate(IMAGES_PER_CASE):
        for photo in range(count):
            name, seed = f"{case}_{photo}", 3 * case + photo
            make = png if seed % 2 else lambda *args, **seed: jpeg(*args, **seed, channels=1)
            (folder / name).write_bytes(make(20 + case, 24, seed=seed))
            rows.append(f"{name},c{case},train")
    (folder / "cases.csv").write_text("\n".join(rows))
    config = Config(manifest=str(folder / "cases.csv"), data_dir=str(folder / "prepared"))
    return cases.open_cases(config).open("train")


OPTIONS = Augmentation(size=16)


def dataset(reader, method, steps, options=OPTIONS, **changes):
    return pipeline.pair_dataset(reader, method, BATCH, options, SEED, steps, **changes)


def images_of(reader, step, method):
    """[(content, content)] of a step, worked out one by one."""
    stored = [images.numpy() for images in reader.read(tf.range(14, dtype=tf.int64))]
    num_units = pipeline.num_units(reader.index, method)
    _, units = next(iter(sampling.unit_batches(SEED, (step, step + 1), BATCH, num_units)))
    units = units.numpy()
    if method == "simclr":
        flat = [content for images in stored for content in images]
        return [(flat[unit], flat[unit]) for unit in units]
    counts = tf.constant([len(stored[unit]) for unit in units], tf.int64)
    pairs = sampling.draw_pairs(SEED, tf.constant(step, tf.int64), counts).numpy()
    return [(stored[unit][a], stored[unit][b]) for unit, (a, b) in zip(units, pairs, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "method, decode_once, degrees",
    [("simclr", True, 0.0), ("simclr", False, 0.0), ("micle", True, 0.0), ("micle", True, 20.0)],
)
def test_every_view_is_its_image_under_its_own_draws(reader, method, decode_once, degrees):
    options = Augmentation(size=24, rotation_degrees=degrees)
    assert sorted(reader.index.images_per_case) == sorted(IMAGES_PER_CASE)
    batches = list(dataset(reader, method, (5, 7), options, decode_once=decode_once))
    make = tf.function(lambda content, draws: augment.augmented_view(content, draws, options))
    for step, batch in zip((5, 6), batches, strict=True):
        draws = augment.draw_views(SEED, tf.constant(step, tf.int64), BATCH, options)
        for place, pair in enumerate(images_of(reader, step, method)):
            for view, content in enumerate(pair):
                drawn = {name: value[place, view] for name, value in draws.items()}
                expected = make(content, drawn)
                found = batch[("view1", "view2")[view]][place]
                np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", ["simclr", "micle"])
def test_elements(reader, method):
    size = tf.TensorSpec([BATCH, 16, 16, 3], tf.float32)
    spec = {"view1": size, "view2": size, "group": tf.TensorSpec([BATCH], tf.int64)}
    batches = dataset(reader, method, (1, 9))
    assert batches.element_spec == spec
    found = list(batches)
    assert len(found) == 8 and not list(dataset(reader, method, (9, 9)))
    views = np.concatenate([batch[name] for batch in found for name in ("view1", "view2")])
    assert views.min() >= 0 and views.max() <= 1
    assert len(np.unique(views.reshape(len(views), -1), axis=0)) == len(views)


def test_units_are_images_or_cases(reader):
    assert pipeline.num_units(reader.index, "simclr") == sum(IMAGES_PER_CASE)
    assert pipeline.num_units(reader.index, "micle") == len(IMAGES_PER_CASE)


@pytest.mark.parametrize("method", ["simclr", "micle"])
def test_groups_are_those_of_the_cases(reader, method):
    groups = 100 + np.arange(len(IMAGES_PER_CASE), dtype=np.int64) // 2
    per_epoch = pipeline.num_units(reader.index, method) // BATCH
    plain = dataset(reader, method, (0, per_epoch))
    grouped = dataset(reader, method, (0, per_epoch), groups=groups)
    seen = np.zeros(len(IMAGES_PER_CASE), int)
    for case, group in zip(plain, grouped, strict=True):
        np.testing.assert_array_equal(groups[case["group"].numpy()], group["group"])
        np.testing.assert_array_equal(case["view1"], group["view1"])
        np.add.at(seen, case["group"].numpy(), 1)
    # An epoch shows a case once, or as often as it has images, but for the dropped rest.
    whole = reader.index.images_per_case if method == "simclr" else np.ones_like(seen)
    assert (seen <= whole).all() and whole.sum() - seen.sum() == whole.sum() % BATCH > 0


@pytest.mark.usefixtures("traced_anew")
@pytest.mark.parametrize("method, of", [("simclr", "image"), ("micle", "view")])
def test_both_views_and_all_datasets_share_a_trace(reader, method, of):
    for seed in (0, 1):
        list(pipeline.pair_dataset(reader, method, BATCH, Augmentation(size=16), seed, (0, 1)))
    function = pipeline.of_one(getattr(augment, f"augmented_{of}"), Augmentation(size=16))
    assert function.experimental_get_tracing_count() == 1


@pytest.mark.usefixtures("traced_anew")
@pytest.mark.parametrize("method, once, twice", [("simclr", 1, 0), ("micle", 0, 1)])
def test_what_a_pair_decodes(reader, monkeypatch, method, once, twice):
    counts = collections.Counter()

    def counting(name):
        function = getattr(decode, name)

        def call(content, *args):
            def count(content):
                counts[name] += 1
                return content

            content = tf.numpy_function(count, [content], tf.string)
            return function(tf.ensure_shape(content, []), *args)

        return call

    whole, crop = counting("decode"), counting("decode_stored_crop")
    monkeypatch.setattr(decode, "decode_stored_crop", crop)
    if once:
        monkeypatch.setattr(decode, "decode", whole)  # else it is also called by decode_stored_crop
    assert len(list(dataset(reader, method, (0, 3)))) == 3
    assert counts == collections.Counter(
        decode=3 * BATCH * once, decode_stored_crop=6 * BATCH * twice
    )


@pytest.mark.slow
def test_another_seed_gives_other_pairs(reader):
    found = []
    for seed in (0, 1):
        options = Augmentation(size=16)
        pairs = pipeline.pair_dataset(reader, "micle", BATCH, options, seed, (0, 6))
        found.append([batch["group"].numpy().tolist() for batch in pairs])
    assert found[0] != found[1]


def test_image_dataset_shows_every_image_once_in_order(reader):
    stored = reader.read(tf.range(14, dtype=tf.int64)).flat_values
    batches = list(pipeline.image_dataset(reader, 10, 40))
    assert [len(batch) for batch in batches] == [10, 10, sum(IMAGES_PER_CASE) - 20]
    for found, content in zip(np.concatenate(batches), stored, strict=True):
        np.testing.assert_array_equal(found, decode.evaluation_view(content, 40))
