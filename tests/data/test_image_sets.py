import errno
import io
import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import downloader

from data_builders.splits import choose_split
from micle_tf import cli
from micle_tf.config import Config
from micle_tf.data import cases, decode, pipeline
from micle_tf.data.augment import Augmentation
from micle_tf.data.image_sets import open_image_set
from micle_tf.data.reader import CaseIndex, CaseReader
from micle_tf.errors import BadInput, Stopped
from tests.generated_cases import TINY

FORMATS = ("tfrecord", "array_record")
COLOURS = ["azure", "brown", "cyan"]


def pixels(seed, shape):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


class TinyTiles(tfds.core.GeneratorBasedBuilder):
    """Like CIFAR-10: PNG, train and test, and features beside image and label."""

    VERSION = tfds.core.Version("1.2.3")

    def _info(self):
        features = {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(9, 9, 3)),
            "label": tfds.features.ClassLabel(names=COLOURS),
            "place": tfds.features.ClassLabel(num_classes=5),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 60), "test": self._generate_examples(60, 80)}

    def _generate_examples(self, start, end):
        for i in range(start, end):
            image = pixels(i, (9, 9, 3))
            yield i, {"id": f"no {i}", "image": image, "label": i % 3, "place": i % 5}


class GreyScans(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Grey JPEGs of different sizes; a test split without labels; code that is not at hand."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "scan": tfds.features.Image(shape=(None, None, 1), encoding_format="jpeg"),
            "kind": tfds.features.ClassLabel(num_classes=4),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        sizes = {"train": 30, "val": 8, "test": 6, "unlabelled": 5}
        return {split: self._generate_examples(split, size) for split, size in sizes.items()}

    def _generate_examples(self, split, size):
        for i in range(size):
            scan = pixels(i, (20 + i, 28, 1))
            yield i, {"scan": scan, "kind": i % 4 if split in ("train", "val") else -1}


def prepared(builder_class, folder, file_format="tfrecord", shards=3):
    builder = builder_class(data_dir=str(folder), file_format=file_format)
    options = tfds.download.DownloadConfig(num_shards=shards)
    builder.download_and_prepare(download_config=options, file_format=file_format)
    return builder


@pytest.fixture(scope="module", autouse=True)
def no_bars():
    tfds.disable_progress_bar()


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """{format: folder} of TinyTiles, prepared in three shards."""
    folders = {name: tmp_path_factory.mktemp(name) for name in FORMATS}
    for name, folder in folders.items():
        prepared(TinyTiles, folder, name)
    return folders


def reader_of(found, split):
    records, index, numbers = found.splits[split]
    return CaseReader(records, index, (found.image_feature,), numbers)


def images_of(reader):
    """The decoded images, in order."""
    encoded = reader.read(tf.range(reader.index.num_cases, dtype=tf.int64))
    assert encoded.row_lengths().numpy().tolist() == [1] * reader.index.num_cases
    return [decode.decode(content).numpy() for content in encoded.flat_values]


def as_tfds_reads(builder, split):
    """The examples in the order of the files."""
    options = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    return list(builder.as_dataset(split=split, read_config=options).as_numpy_iterator())


@pytest.mark.parametrize("file_format", FORMATS)
def test_records_are_what_tfds_reads(tiles, file_format):
    found = open_image_set("tiny_tiles", str(tiles[file_format]))
    assert found.name == "tiny_tiles"
    assert found.class_names == tuple(COLOURS)
    assert found.image_feature == "image"
    builder = TinyTiles(data_dir=str(tiles["tfrecord"]))
    assert len(builder.info.splits["train"].filepaths) == 3
    examples = {split: as_tfds_reads(builder, split) for split in ("train", "test")}
    seen = {"train": set(), "test": set()}
    for split in ("train", "validation", "test"):
        reader = reader_of(found, split)
        index = reader.index
        images = images_of(reader)
        assert index.case_id.tolist() == index.image_id.tolist()
        assert set(index.patient_id.tolist()) == {""}
        for case_id, image, label in zip(
            index.case_id.tolist(), images, index.class_label.tolist(), strict=True
        ):
            origin, _, number = case_id.partition("-")
            assert len(number) == 7
            example = examples[origin][int(number)]
            np.testing.assert_array_equal(image, example["image"])
            assert label == example["label"]
            assert int(number) not in seen[origin]
            seen[origin].add(int(number))
    assert seen == {"train": set(range(60)), "test": set(range(20))}


def test_a_missing_split_is_taken_out_of_train_by_hash(tiles):
    found = open_image_set("tiny_tiles", str(tiles["tfrecord"]))
    assert list(found.splits) == ["train", "validation", "test"]
    assert found.notes == ("tiny_tiles has no validation split: taken out of train",)
    expected = {"train": [], "validation": []}
    for number in range(60):
        chosen = choose_split(f"case train-{number:07d}")
        expected["validation" if chosen == "validation" else "train"].append(number)
    for split, numbers in expected.items():
        assert found.splits[split].numbers.tolist() == numbers
    assert len(expected["validation"]) >= 2
    assert found.splits["test"].numbers is None
    assert found.splits["test"].index.num_cases == 20


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simclr", "micle"])
def test_batches_do_not_depend_on_the_file_format(tiles, method):
    options = Augmentation(size=8)
    batches = []
    for file_format in FORMATS:
        found = open_image_set("tiny_tiles", str(tiles[file_format]))
        reader = CaseReader.join(
            [reader_of(found, split) for split in ("train", "validation")],
            CaseIndex.join([found.splits[split].index for split in ("train", "validation")]),
        )
        dataset = pipeline.pair_dataset(reader, method, 16, options, seed=3, steps=(2, 5))
        batches.append(list(dataset.as_numpy_iterator()))
    assert len(batches[0]) == 3
    for one, other in zip(*batches, strict=True):
        for name in ("view1", "view2", "group"):
            np.testing.assert_array_equal(one[name], other[name])
    assert len(np.unique([batch["group"] for batch in batches[0]])) > 30


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_set_without_its_code(tmp_path, file_format):
    builder = prepared(GreyScans, tmp_path, file_format, shards=2)
    found = open_image_set("grey_scans", str(tmp_path))
    assert found.notes == ()
    assert found.class_names == ("0", "1", "2", "3")
    sizes = {split: part.index.num_cases for split, part in found.splits.items()}
    assert sizes == {"train": 30, "validation": 8, "test": 6, "unlabelled": 5}
    assert list(sizes) == ["train", "validation", "test", "unlabelled"]
    assert found.splits["validation"].index.case_id[7] == "val-0000007"
    for split in ("test", "unlabelled"):
        assert set(found.splits[split].index.class_label.tolist()) == {-1}
    if file_format == "tfrecord":
        for split, theirs in (("train", "train"), ("validation", "val"), ("test", "test")):
            examples = as_tfds_reads(builder, theirs)
            images = images_of(reader_of(found, split))
            labels = found.splits[split].index.class_label.tolist()
            for example, image, label in zip(examples, images, labels, strict=True):
                np.testing.assert_array_equal(image, np.repeat(example["scan"], 3, axis=2))
                assert label == example["kind"]


class NoTest(TinyTiles, skip_registration=True):
    """As ImageNet: train and validation, and no test."""

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(0, 60),
            "validation": self._generate_examples(60, 80),
        }


@pytest.fixture(scope="module")
def no_test(tmp_path_factory):
    folder = tmp_path_factory.mktemp("no_test")
    prepared(NoTest, folder)
    return folder


def numbers_of(found):
    """{split: (split of the set, numbers there)}."""
    ids = {split: part.index.case_id.tolist() for split, part in found.splits.items()}
    return {
        split: (
            {name.partition("-")[0] for name in names},
            [int(n.partition("-")[2]) for n in names],
        )
        for split, names in ids.items()
    }


def test_validation_is_the_test_split_where_there_is_none(no_test):
    """To choose, a tenth of train is taken by the hash; pretraining takes all of it."""
    validation = [n for n in range(60) if choose_split(f"case train-{n:07d}") == "validation"]
    found = open_image_set("no_test", str(no_test))
    assert numbers_of(found) == {
        "train": ({"train"}, [n for n in range(60) if n not in validation]),
        "validation": ({"train"}, validation),
        "test": ({"validation"}, list(range(20))),
    }
    assert validation and len(validation) < 15
    assert found.judged["validation"] == "test"
    note = "no_test has no test split: its validation is the test split"
    assert found.notes == (f"{note}, and a tenth of train the validation split",)
    whole = open_image_set("no_test", str(no_test), whole_train=True)
    assert numbers_of(whole) == {
        "train": ({"train"}, list(range(60))),
        "test": ({"validation"}, list(range(20))),
    }
    assert whole.notes == (note,)
    before = open_image_set("no_test", str(no_test), splits_as_before=True)
    test = [n for n in range(60) if choose_split(f"case train-{n:07d}") == "test"]
    assert numbers_of(before)["test"] == ({"train"}, test)
    assert numbers_of(before)["validation"] == ({"validation"}, list(range(20)))
    assert before.judged == {}


def test_sets_with_a_test_split_are_split_as_they_were(tiles):
    for options in ({}, {"whole_train": True}, {"splits_as_before": True}):
        found = open_image_set("tiny_tiles", str(tiles["tfrecord"]), **options)
        assert {split: part.index.num_cases for split, part in found.splits.items()} == {
            "train": 51, "validation": 9, "test": 20,
        }  # fmt: skip
        assert found.judged == {}


@pytest.mark.slow
def test_the_whole_chain_on_a_set_without_test(no_test, tmp_path, monkeypatch, capsys):
    """Which split was read is told by what result.json and predictions.csv say."""
    monkeypatch.chdir(tmp_path)
    data = ["--dataset=no_test", f"--data_dir={no_test}", "--image_size=16"]
    pretrain = [
        "--mode=pretrain",
        *data,
        *TINY,
        "--method=simclr",
        "--train_steps=1",
        "--model_dir=run",
    ]
    few = ["--bootstrap_samples=10"]
    assert cli.main([*pretrain, "--knn_every=1steps"]) == 0
    judged = {}
    for split in ("test", "validation"):
        flags = ["--mode=linear_eval", "--checkpoint=run", f"--eval_split={split}", *few]
        assert cli.main([*flags, f"--model_dir={split}"]) == 0
        shown = capsys.readouterr().out
        assert "note: no_test has no test split: its validation is the test split" in shown
        assert "which flatters it" not in shown
        judged[split] = (tmp_path / split / "predictions.csv").read_text()
    assert judged["test"] == judged["validation"] and judged["test"].count("validation-0000") == 60
    flags = ["--mode=evaluate", "--checkpoint=test", "--eval_split=validation", *few]
    assert cli.main([*flags, "--model_dir=again"]) == 0
    assert "which flatters it" not in capsys.readouterr().out
    assert (tmp_path / "again/predictions.csv").read_text() == judged["test"]
    for run in ("run", "test", "again"):
        facts = json.loads((tmp_path / run / "config.json").read_text())
        assert facts["splits"] == "validation is the test split"

    # A run that began before keeps the splits that it had: 42 images in train, not 60.
    config = json.loads((tmp_path / "run/config.json").read_text())
    del config["splits"]
    (tmp_path / "old").mkdir()
    (tmp_path / "old/config.json").write_text(json.dumps(config | {"model_dir": "old"}))
    assert cli.main([*pretrain[:-1], "--model_dir=old"]) == 0
    assert "train: patients not known, 4" in capsys.readouterr().out
    assert "splits" not in json.loads((tmp_path / "old/config.json").read_text())
    # And who is judged after it began with the new ones.
    flags = ["--mode=linear_eval", "--checkpoint=old", *few, "--model_dir=new"]
    assert cli.main(flags) == 0
    assert (tmp_path / "new/predictions.csv").read_text().count("validation-0000") == 60


def test_a_set_that_is_not_prepared_is_prepared_in_silence(tmp_path, capfd):
    found = open_image_set("tiny_tiles:1.2.3", str(tmp_path))
    place = tmp_path / "tiny_tiles" / "1.2.3"
    said = capfd.readouterr()
    assert said.out == f"preparing tiny_tiles/1.2.3 in {place}; large sets take hours\n"
    assert said.err == ""
    assert len(list(place.glob("*.array_record*"))) == 2
    assert sum(part.index.num_cases for part in found.splits.values()) == 80
    open_image_set("tiny_tiles:1.2.3", str(tmp_path))
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------- the index that is kept


def kept(folder, labels):
    """Replaces the labels in the index that is kept in a folder."""
    (path,) = folder.rglob("*.npz")
    with np.load(path) as arrays:
        arrays = dict(arrays)
    assert set(arrays["test/labels"]) == {0, 1, 2}
    arrays["test/labels"] = np.full_like(arrays["test/labels"], labels)
    np.savez(path, **arrays)
    return path


def labels_of_test(folder):
    found = open_image_set("tiny_tiles", str(folder))
    return sorted(set(found.splits["test"].index.class_label.tolist()))


def test_the_index_is_kept_until_the_files_change(tmp_path):
    builder = prepared(TinyTiles, tmp_path)
    assert labels_of_test(tmp_path) == [0, 1, 2]
    path = kept(tmp_path, 1)
    assert path.parent == pathlib.Path(builder.data_dir)
    assert labels_of_test(tmp_path) == [1]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])  # damaged: made anew
    assert labels_of_test(tmp_path) == [0, 1, 2]
    assert len(list(tmp_path.rglob("*.npz*"))) == 1
    kept(tmp_path, 1)
    shards = sorted(path.parent.glob("*train.tfrecord*"))
    contents = [shard.read_bytes() for shard in shards]
    for shard, moved in zip(shards, contents[1:] + contents[:1], strict=True):
        shard.write_bytes(moved)
    assert labels_of_test(tmp_path) == [0, 1, 2]


def test_where_the_folder_cannot_be_written_the_index_is_kept_elsewhere(tmp_path, monkeypatch):
    builder = prepared(TinyTiles, tmp_path / "data")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert labels_of_test(tmp_path / "data") == [0, 1, 2]
    (path,) = (tmp_path / "data").rglob("*.npz")
    path.unlink()
    path.mkdir()  # whoever runs the tests, no file can be put there
    assert labels_of_test(tmp_path / "data") == [0, 1, 2]
    assert kept(tmp_path / "cache", 2).parent == tmp_path / "cache" / "micle_tf"
    assert labels_of_test(tmp_path / "data") == [2]
    # Prepared again, with the same sizes: beside the data the index would be gone.
    os.utime(pathlib.Path(builder.data_dir) / "dataset_info.json", (1, 1))
    assert labels_of_test(tmp_path / "data") == [0, 1, 2]


def test_a_set_can_be_opened_where_no_index_can_be_kept(tmp_path, monkeypatch):
    prepared(TinyTiles, tmp_path / "data")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    open_image_set("tiny_tiles", str(tmp_path / "data"))
    (path,) = (tmp_path / "data").rglob("*.npz")
    path.unlink()
    path.mkdir()
    assert labels_of_test(tmp_path / "data") == [0, 1, 2]


# ---------------------------------------------------------------- what is refused


def message(name, data_dir, error=BadInput, **arguments):
    with pytest.raises(error) as caught:
        open_image_set(name, str(data_dir), **arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_unknown_names(tmp_path):
    ours = ("derm_cases", "chexpert")
    assert message("cifar1000", tmp_path, ours=ours).startswith(
        "--dataset=cifar1000: neither one of derm_cases, chexpert nor a tensorflow_datasets set; "
        "did you mean cifar100"
    )
    assert "; did you mean chexpert" in message("chexprt", tmp_path, ours=ours)
    for name in ("qqqqqqqqqq", "no name", "/"):
        assert message(name, tmp_path, ours=ours) == (
            f"--dataset={name}: neither one of derm_cases, chexpert nor a tensorflow_datasets set"
        )


def test_unknown_versions_and_configurations(tmp_path):
    assert message("tiny_tiles:9.9.9", tmp_path) == (
        "--dataset=tiny_tiles:9.9.9: Dataset tiny_tiles cannot be loaded at version 9.9.9, "
        "only: 1.2.3."
    )
    text = message("imagenet2012_subset/2pct", tmp_path)
    assert text.startswith("--dataset=imagenet2012_subset/2pct: BuilderConfig 2pct not found")
    assert "1pct" in text
    (tmp_path / "theirs" / "small").mkdir(parents=True)
    (tmp_path / "theirs" / "large").mkdir()
    assert message("theirs", tmp_path) == (
        f"--dataset=theirs: not among what is prepared in {tmp_path}: theirs/large, theirs/small"
    )


IMAGE, CLASS = tfds.features.Image, tfds.features.ClassLabel
PLAIN = {"image": IMAGE(shape=(4, 4, 3)), "label": CLASS(num_classes=2)}
OTHERS = {
    "text_only": (
        {"text": tfds.features.Text(), "label": CLASS(num_classes=2)},
        "none of its features (text, label) is an image",
    ),
    "moving_pictures": (
        {"video": tfds.features.Video(shape=(2, 4, 4, 3)), "label": CLASS(num_classes=2)},
        "none of its features (video, label) is an image",
    ),
    "two_images": (
        PLAIN | {"mask": IMAGE(shape=(4, 4, 1))},
        "its records have several images: image, mask",
    ),
    "two_labels": (
        PLAIN | {"breed": CLASS(num_classes=2)},
        "its records have several labels: label, breed",
    ),
    "deep_images": (
        PLAIN | {"image": IMAGE(shape=(4, 4, 1), dtype=np.uint16, encoding_format="png")},
        "image has type uint16 and shape (4, 4, 1); colour or grey images of 8 bits are read",
    ),
    "depth_maps": (
        PLAIN | {"image": IMAGE(shape=(4, 4, 1), dtype=np.float32)},
        "image has type float32 and shape (4, 4, 1); colour or grey images of 8 bits are read",
    ),
}


def defined(name, features, generate=lambda self, dl_manager: {}, **attributes):
    """A builder, known to tfds under `name`, of these features."""

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    body = {
        "VERSION": tfds.core.Version("1.0.0"),
        "name": name,
        "_info": _info,
        "_split_generators": generate,
        "_generate_examples": lambda self: (),
    }
    return type(
        name.title().replace("_", ""), (tfds.core.GeneratorBasedBuilder,), body | attributes
    )


@pytest.mark.parametrize("name", OTHERS)
def test_other_sets_are_refused_before_anything_is_downloaded(name, tmp_path):
    features, reason = OTHERS[name]
    defined(name, features)
    text = message(name, tmp_path)
    assert text == f"--dataset={name} is not an image classification set: {reason}"
    assert list(tmp_path.iterdir()) == []


def encoded_16_bits():
    return tf.io.encode_png(np.full((4, 4, 3), 40000, np.uint16)).numpy()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("odd_bitmaps", b"BM" + bytes(60), "is neither a JPEG nor a PNG"),
        ("odd_depth", encoded_16_bits(), "is a PNG of 16 bits; 8 are read"),
    ],
    ids=["bitmap", "16 bits"],
)
def test_images_that_are_not_read_are_named(name, content, reason, tmp_path):
    good = tf.io.encode_png(pixels(0, (4, 4, 3))).numpy()

    def generate(self, dl_manager):
        return {
            "train": [(i, {"image": io.BytesIO(good), "label": 0}) for i in range(3)],
            "test": [(0, {"image": io.BytesIO(content), "label": 0})],
        }

    defined(name, PLAIN, generate)
    place = tmp_path / name / "1.0.0"
    assert message(name, tmp_path) == f"--dataset={name}: test of {place}: record 0 {reason}"
    assert list(tmp_path.rglob("*.npz")) == []


def test_without_labels_all_are_unlabelled(tmp_path):
    def generate(self, dl_manager):
        return {
            split: [(i, {"image": pixels(i, (4, 4, 3))}) for i in range(3)]
            for split in ("train", "validation", "test")
        }

    defined("only_pictures", {"image": IMAGE(shape=(4, 4, 3))}, generate)
    found = open_image_set("only_pictures", str(tmp_path))
    assert found.class_names == ()
    assert found.splits["train"].index.class_label.tolist() == [-1] * 3


def test_without_a_train_split(tmp_path):
    def generate(self, dl_manager):
        return {split: [(0, {"image": pixels(0, (4, 4, 3))})] for split in ("test", "corrupted")}

    defined("test_only", {"image": IMAGE(shape=(4, 4, 3))}, generate)
    found = open_image_set("test_only", str(tmp_path))
    assert [split for split in found.splits] == ["test", "corrupted"] and not found.notes
    data = cases.open_cases(Config(mode="evaluate", dataset="test_only", data_dir=str(tmp_path)))
    assert data.open("test").index.num_images == 1
    with pytest.raises(BadInput) as caught:
        data.open("train")
    assert str(caught.value) == f"--train_split=train: {data.name} has test, corrupted"


def test_files_by_hand_that_are_not_there(tmp_path):
    def generate(self, dl_manager):
        return {"train": [(0, {"image": dl_manager.manual_dir / "a.png", "label": 0})]}

    defined("by_hand", PLAIN, generate, MANUAL_DOWNLOAD_INSTRUCTIONS="Put a.png there.")
    text = message("by_hand", tmp_path, manual_dir=str(tmp_path / "none"))
    assert text.startswith("--dataset=by_hand: cannot be prepared: Manual directory ")
    assert str(tmp_path / "none") in text
    assert text.endswith("Put a.png there.")
    assert not (tmp_path / "by_hand" / "1.0.0").exists()
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.png").write_bytes(tf.io.encode_png(pixels(0, (4, 4, 3))).numpy())
    found = open_image_set("by_hand", str(tmp_path), manual_dir=str(tmp_path / "files"))
    assert found.splits["train"].index.num_cases == 1


def test_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloader, "MAX_RETRIES", 1)  # ten of them take minutes

    def generate(self, dl_manager):
        return {"train": [(0, {"image": dl_manager.download("http://127.0.0.1:9/a.png")})]}

    defined("far_away", PLAIN, generate)
    text = message("far_away", tmp_path, Stopped)
    assert text.startswith("--dataset=far_away: cannot be downloaded: ")
    assert "127.0.0.1" in text


def test_a_full_disk(tmp_path):
    def generate(self, dl_manager):
        raise OSError(errno.ENOSPC, "No space left on device", "x")

    defined("too_large", PLAIN, generate)
    text = message("too_large", tmp_path, Stopped)
    assert text.startswith(f"the disk is full: {tmp_path}: ")
    assert list(tmp_path.rglob("*incomplete*")) == []


def test_a_set_that_a_crash_left_without_an_end(tmp_path):
    defined("half_done", PLAIN)
    (tmp_path / "half_done" / "1.0.0").mkdir(parents=True)
    assert message("half_done", tmp_path) == (
        f"{tmp_path}/half_done/1.0.0: is there but holds no whole set; delete it to prepare it "
        "again"
    )


def test_damaged_and_missing_files(tmp_path):
    builder = prepared(TinyTiles, tmp_path)
    place = pathlib.Path(builder.data_dir)
    shard = place / "tiny_tiles-train.tfrecord-00001-of-00003"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-5])
    assert message("tiny_tiles", tmp_path).startswith(
        f"{shard}: damaged or cut short: record 19 ends after the {len(whole) - 5:,} bytes"
    )
    last = int.from_bytes(whole[:8], "little")
    shard.write_bytes(whole[16 + last :])
    assert message("tiny_tiles", tmp_path) == (
        f"--dataset=tiny_tiles: train of {place}: 59 records where dataset_info.json says 60; "
        "prepare the data again"
    )
    shard.unlink()
    text = message("tiny_tiles", tmp_path)
    assert text == f"{shard}: there is no such file; prepare the data again"


def test_other_file_formats(tmp_path):
    builder = prepared(TinyTiles, tmp_path)
    info = pathlib.Path(builder.data_dir) / "dataset_info.json"
    text = info.read_text()
    assert '"fileFormat": "tfrecord"' in text
    info.write_text(text.replace('"fileFormat": "tfrecord"', '"fileFormat": "riegeli"'))
    assert message("tiny_tiles", tmp_path) == (
        f"{builder.data_dir}: prepared as riegeli; array_record and tfrecord are read"
    )
    both = '"fileFormat": "riegeli", "alternativeFileFormats": ["tfrecord"]'
    info.write_text(text.replace('"fileFormat": "tfrecord"', both))
    assert labels_of_test(tmp_path) == [0, 1, 2]
