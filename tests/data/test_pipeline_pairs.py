"""What every run relies on: which images a step sees, and that only those are decoded."""

import collections
import csv
import hashlib

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from micle_tf.config import Config
from micle_tf.data import cases, decode, pipeline, sampling
from micle_tf.data.augment import Augmentation

# No colour, no blur: an image stays recognisable by its grey value.
PLAIN = Augmentation(size=8, color_jitter_strength=0.0, use_blur=False)
NUM_CASES = 30


def write_flat_images(folder):
    """Cases of 1 to 4 images; image k of the dataset is flat grey of value 2 k + 1."""
    folder.mkdir()
    rows = [["image", "case_id", "patient_id", "split"]]
    value = 1
    for case in range(NUM_CASES):
        split = "train" if case < 24 else "validation" if case < 28 else "test"
        for photo in range(1 + case % 4):
            name = f"c{case}_{photo}.png"
            pixels = np.full((12, 10, 3), value, np.uint8)
            (folder / name).write_bytes(tf.io.encode_png(pixels).numpy())
            rows.append([name, f"c{case}", f"p{case // 2}", split])
            value += 2
    with open(folder / "cases.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return Config(manifest=str(folder / "cases.csv"), data_dir=str(folder.parent))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return write_flat_images(tmp_path_factory.mktemp("flat") / "photos")


@pytest.fixture(scope="module")
def reader(config):
    return cases.open_cases(config).open("train")


def numbered(reader):
    """{grey value: (case, image)} by decoding everything once."""
    table = {}
    for case in range(reader.index.num_cases):
        for photo, content in enumerate(reader.read(tf.constant([case], tf.int64))[0].numpy()):
            table[int(decode.decode(content)[0, 0, 0])] = case, photo
    return table


def seen(batch, view):
    return [round(float(v) * 255) for v in batch[view][:, 0, 0, 0]]


@pytest.mark.parametrize("method", ["simclr", "micle"])
def test_partners(reader, method):
    table = numbered(reader)
    batch_size = 8
    per_epoch = pipeline.num_units(reader.index, method) // batch_size
    steps = 5 * per_epoch
    for batch in pipeline.pair_dataset(reader, method, batch_size, PLAIN, 0, (0, steps)):
        found = [
            (table[a], table[b])
            for a, b in zip(seen(batch, "view1"), seen(batch, "view2"), strict=True)
        ]
        for (case1, photo1), (case2, photo2) in found:
            assert case1 == case2
            alone = method == "simclr" or reader.index.images_per_case[case1] == 1
            assert (photo1 == photo2) == alone
        assert [case for (case, _), _ in found] == batch["group"].numpy().tolist()
        if method == "micle":
            assert len({case for (case, _), _ in found}) == batch_size


@pytest.mark.parametrize("method", ["simclr", "micle"])
def test_an_epoch_shows_every_unit_at_most_once(reader, method):
    table, batch_size = numbered(reader), 7
    units = pipeline.num_units(reader.index, method)
    per_epoch = units // batch_size
    dataset = pipeline.pair_dataset(reader, method, batch_size, PLAIN, 3, (0, 2 * per_epoch))
    shown = [[table[v] for v in seen(batch, "view1")] for batch in dataset]
    orders = []
    for epoch in (shown[:per_epoch], shown[per_epoch:]):
        flat = [pair if method == "simclr" else pair[0] for batch in epoch for pair in batch]
        assert len(flat) == len(set(flat)) == per_epoch * batch_size
        orders.append(flat)
    assert orders[0] != orders[1]


def digest(batch):
    return hashlib.sha256(b"".join(np.array(batch[k]).tobytes() for k in sorted(batch))).hexdigest()


def one_batch(config, method, step, first=None):
    reader = cases.open_cases(config).open("train")
    options = Augmentation(size=16)
    steps = (step if first is None else first, step + 1)
    return list(pipeline.pair_dataset(reader, method, 6, options, 5, steps))[-1]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simclr", "micle"])
def test_a_batch_depends_on_seed_and_step_alone(config, warm, method):
    here = one_batch(config, method, 9)
    assert digest(one_batch(config, method, 9, first=0)) == digest(here)
    assert digest(one_batch(config, method, 10)) != digest(here)
    code = (
        "from tests.data.test_pipeline_pairs import *;"
        f"print(digest(one_batch(Config(manifest={config.manifest!r}, "
        f"data_dir={config.data_dir!r}), {method!r}, 9)))"
    )
    elsewhere = warm.start("-c", code)
    assert elsewhere.wait() == 0, elsewhere.err
    assert elsewhere.out.split()[-1] == digest(here)


def test_the_views_of_a_pair_differ(config):
    batch = one_batch(config, "simclr", 0)
    differences = tf.reduce_max(tf.abs(batch["view1"] - batch["view2"]), axis=[1, 2, 3])
    assert float(tf.reduce_min(differences)) > 0 and float(tf.reduce_mean(differences)) > 0.01


@pytest.mark.usefixtures("traced_anew")
@pytest.mark.parametrize("method, decodes", [("simclr", 1), ("micle", 2)])
def test_only_drawn_images_are_decoded(reader, monkeypatch, method, decodes):
    counts = collections.Counter()

    def counted(name, function):
        def call(content, *args):
            def count(content):
                counts[name] += 1
                return content

            content = tf.numpy_function(count, [content], tf.string)
            content.set_shape([])
            return function(content, *args)

        return call

    # All decoding goes through these two; `decode_crop` decodes a PNG by calling `decode`.
    monkeypatch.setattr(decode, "decode", counted("whole", decode.decode))
    dataset = pipeline.pair_dataset(reader, method, 8, PLAIN, 0, (0, 2))
    dataset = dataset.with_options(_one_by_one())
    assert len(list(dataset)) == 2
    assert counts["whole"] == 2 * 8 * decodes


def _one_by_one():
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    return options


def test_pretraining_reads_train_only(config, reader):
    data = cases.open_cases(config)
    others = {*data.index["validation"].case_id, *data.index["test"].case_id}
    assert reader.index.num_cases == 24 and not others & set(reader.index.case_id)
    shown = set()
    for batch in pipeline.pair_dataset(reader, "simclr", 8, PLAIN, 0, (0, 40)):
        shown |= {*seen(batch, "view1"), *seen(batch, "view2")}
    assert shown == set(numbered(reader))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simclr", "micle"])
def test_parts_of_replicas_are_the_batch_cut_in_order(reader, method):
    whole = list(pipeline.pair_dataset(reader, method, 8, PLAIN, 1, (2, 5)))
    parts = list(pipeline.pair_dataset(reader, method, 8, PLAIN, 1, (2, 5), replica_batch=2))
    assert len(parts) == 4 * len(whole)
    for number, batch in enumerate(whole):
        for name, value in batch.items():
            joined = np.concatenate([part[name] for part in parts[4 * number : 4 * number + 4]])
            np.testing.assert_array_equal(joined, value)


def test_every_ordered_pair_is_equally_likely():
    for images in (2, 3, 6):
        draw = tf.function(
            lambda step, n=images: sampling.draw_pairs(
                0, step, tf.fill([600], tf.constant(n, tf.int64))
            )
        )
        pairs = np.concatenate([draw(tf.constant(s, tf.int64)) for s in range(20)])
        assert (pairs[:, 0] != pairs[:, 1]).all()
        counts = np.bincount(pairs[:, 0] * images + pairs[:, 1], minlength=images**2)
        counts = counts.reshape(images, images)[~np.eye(images, dtype=bool)]
        assert stats.chisquare(counts).pvalue > 1e-3
    np.testing.assert_array_equal(
        sampling.draw_pairs(0, tf.constant(0, tf.int64), tf.ones([5], tf.int64)), np.zeros((5, 2))
    )


def test_evaluation_shows_all_images_in_the_order_of_the_index(reader):
    table = numbered(reader)
    batches = list(pipeline.image_dataset(reader, 16, 8))
    shown = [round(float(v) * 255) for batch in batches for v in batch[:, 0, 0, 0]]
    starts = reader.index.first_image
    assert [starts[table[v][0]] + table[v][1] for v in shown] == list(range(len(table)))
