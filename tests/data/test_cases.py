import os

import numpy as np
import pytest
import tensorflow as tf

from data_builders import on_threads
from data_builders.derm_cases import derm_cases_dataset_builder as derm_cases
from micle_tf.config import Config
from micle_tf.data import cases, prepare
from micle_tf.data import prepared as prepared_data
from micle_tf.errors import BadInput, Preempted, Stopped
from tests.data.ham import everything
from tests.pictures import jpeg, png


@pytest.fixture
def photos(tmp_path):
    """A folder with a manifest of six cases, and {image_id: bytes}."""
    contents = {
        "1a.jpg": jpeg(12, 10, seed=1),
        "1b.png": png(7, 9, seed=2, channels=4),
        "2a.jpg": jpeg(10, 10, seed=3, channels=1),
        "3a.png": png(5, 6, seed=4, channels=1),
        "3b.png": png(8, 6, seed=5, channels=3),
        "3c.jpg": jpeg(16, 16, seed=6),
        "4a.png": png(5, 5, seed=7),
        "5a.png": png(5, 5, seed=8),
        "6a.png": png(5, 5, seed=9),
    }
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "cases.csv").write_text(
        "image,case_id,patient_id,label,split\n"
        "1a.jpg,c1,p1,ring,train\n"
        "1b.png,c1,p1,ring,train\n"
        "2a.jpg,c2,p1,spot,train\n"
        "3a.png,c3,p2,,train\n"
        "3b.png,c3,p2,,train\n"
        "3c.jpg,c3,p2,,train\n"
        "4a.png,c4,p3,spot,validation\n"
        "5a.png,c5,,ring,test\n"
        "6a.png,c6,,,test\n"
    )
    return folder, contents


@pytest.fixture
def config(photos, tmp_path):
    return Config(manifest=str(photos[0] / "cases.csv"), data_dir=str(tmp_path / "data"))


def count_preparations(monkeypatch):
    """A list that grows by one whenever tfds prepares something."""
    prepared = []
    original = derm_cases.Builder.download_and_prepare

    def counted(builder, **options):
        prepared.append(builder.builder_config.name)
        return original(builder, **options)

    monkeypatch.setattr(derm_cases.Builder, "download_and_prepare", counted)
    return prepared


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# ---------------------------------------------------------------- round trip


def test_images_come_back_byte_by_byte(config, photos):
    data = cases.open_cases(config)
    assert data.class_names == ("ring", "spot")
    assert data.labels_shared_by_case is True
    assert data.notes == ()
    seen = {}
    for split, wanted in (("train", (3, 6)), ("validation", (1, 1)), ("test", (2, 2))):
        reader = data.open(split)
        index = reader.index
        assert (index.num_cases, index.num_images) == wanted
        for case in range(index.num_cases):
            first, end = index.first_image[case : case + 2]
            (images,) = reader.read(tf.constant([case], tf.int64)).to_list()
            seen.update(zip(index.image_id[first:end].tolist(), images, strict=True))
    assert seen == photos[1]


def test_index_says_what_the_manifest_said(config):
    index = cases.open_cases(config).open("train").index
    case = {name: number for number, name in enumerate(index.case_id.tolist())}
    assert sorted(case) == ["c1", "c2", "c3"]
    stated = {
        "c1": ("p1", ["1a.jpg", "1b.png"], [0, 0]),
        "c2": ("p1", ["2a.jpg"], [1]),
        "c3": ("p2", ["3a.png", "3b.png", "3c.jpg"], [-1, -1, -1]),
    }
    for name, (patient, images, labels) in stated.items():
        first, end = index.first_image[case[name] : case[name] + 2]
        assert index.patient_id[case[name]] == patient
        assert index.image_id[first:end].tolist() == images
        assert index.class_label[first:end].tolist() == labels


def test_labels_of_images_on_their_own(config, photos):
    manifest = photos[0] / "cases.csv"
    manifest.write_text(manifest.read_text().replace("1b.png,c1,p1,ring", "1b.png,c1,p1,spot"))
    with pytest.raises(BadInput) as caught:
        cases.open_cases(config)
    assert str(caught.value) == (
        f"{manifest} row 3: case c1 has label spot, but ring in {manifest} row 2; "
        "if the images of a case may differ, say --labels_shared_by_case=false"
    )
    data = cases.open_cases(config.replace(labels_shared_by_case=False))
    assert data.labels_shared_by_case is False
    index = data.open("train").index
    label = dict(zip(index.image_id.tolist(), index.class_label.tolist(), strict=True))
    assert (label["1a.jpg"], label["1b.png"]) == (0, 1)


def test_joined_splits(config, photos):
    data = cases.open_cases(config)
    reader = data.open("validation+train")
    assert reader.index.num_cases == 4
    assert reader.index.case_id[0] == "c4"
    images = reader.read(tf.range(4, dtype=tf.int64)).flat_values.numpy().tolist()
    assert images == [photos[1][name] for name in reader.index.image_id]


def test_splits_that_are_not_there(config):
    data = cases.open_cases(config)
    with pytest.raises(BadInput) as caught:
        data.open("train+dev")
    message = f"--train_split=train+dev: {data.name} has train, validation, test"
    assert str(caught.value) == message
    with pytest.raises(BadInput) as caught:
        data.open("", "--eval_split")
    assert str(caught.value) == f"--eval_split=: {data.name} has train, validation, test"
    with pytest.raises(BadInput) as caught:
        data.open("train+train")
    assert str(caught.value) == "--train_split=train+train: a split is named twice"


def test_description(config, photos):
    data = cases.open_cases(config)
    assert cases.describe(data) == [
        f"{data.name}: 3 patients, 6 cases, 9 images, 2 cases with several, 5 images labelled",
        "  train: 2 patients, 3 cases, 6 images, 2 cases with several, 3 images labelled",
        "  validation: 1 patient, 1 case, 1 image, 0 cases with several, 1 image labelled",
        "  test: patients not known, 2 cases, 2 images, 0 cases with several, 1 image labelled",
    ]
    manifest = photos[0] / "cases.csv"
    manifest.write_text("image,case_id\n1a.jpg,c1\n1b.png,c1\n2a.jpg,c2\n")
    lines = cases.describe(cases.open_cases(config))
    assert lines[0].endswith(
        ": patients not known, 2 cases, 3 images, 1 case with several, 0 images labelled"
    )
    assert lines[-1].startswith("  note: no split was given: made by case: train, ")


def test_folders_of_cases(photos, tmp_path):
    for name, content in photos[1].items():
        folder = tmp_path / "folders" / f"case {name[0]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    config = Config(manifest=str(tmp_path / "folders"), data_dir=str(tmp_path / "data"))
    data = cases.open_cases(config)
    reader = data.open("train+validation+test")
    assert (reader.index.num_cases, reader.index.num_images) == (6, 9)
    assert set(reader.index.image_id) == {f"case {name[0]}/{name}" for name in photos[1]}


def test_rendered_cases(tmp_path, monkeypatch):
    few = {"train": 6, "validation": 2, "test": 3}
    monkeypatch.setattr(derm_cases.synthetic, "PATIENTS_PER_SPLIT", few)
    data = cases.open_cases(Config(data_dir=str(tmp_path)))
    assert data.name == "derm_cases/synthetic"
    assert cases.describe(data)[-1] == "  note: synthetic: rendered, not photographed"
    wanted = derm_cases.synthetic.synthetic_cases(patients_per_split=few)
    assert set(wanted) == set(few)
    for split, members in wanted.items():
        reader = data.open(split)
        assert len(np.unique(reader.index.patient_id)) == few[split]
        images = dict(
            zip(
                reader.index.image_id.tolist(),
                reader.read(tf.range(reader.index.num_cases, dtype=tf.int64)).flat_values.numpy(),
                strict=True,
            )
        )
        assert images == {i.image_id: i.read() for case in members for i in case.images}


# ---------------------------------------------------------------- prepared once, and whole


def test_prepared_once(config, monkeypatch):
    prepared = count_preparations(monkeypatch)
    first = cases.open_cases(config)
    second = cases.open_cases(config)
    assert len(prepared) == 1
    assert first.name == second.name == f"derm_cases/{prepared[0]}"
    np.testing.assert_array_equal(first.index["train"].image_id, second.index["train"].image_id)


def test_data_may_move(config, photos, tmp_path, monkeypatch):
    first = cases.open_cases(config)
    os.rename(tmp_path / "data", tmp_path / "data2")
    os.rename(photos[0], tmp_path / "photos2")
    prepared = count_preparations(monkeypatch)
    moved = Config(
        manifest=str(tmp_path / "photos2" / "cases.csv"), data_dir=str(tmp_path / "data2")
    )
    second = cases.open_cases(moved)
    assert (prepared, second.name) == ([], first.name)
    assert second.open("test").read(tf.constant([0, 1], tf.int64)).shape[0] == 2


def test_what_changes_is_prepared_anew(config, photos, monkeypatch):
    prepared = count_preparations(monkeypatch)
    first = cases.open_cases(config)
    manifest = photos[0] / "cases.csv"
    text = manifest.read_text()
    manifest.write_text(text.replace("2a.jpg,c2,p1,spot", "2a.jpg,c2,p1,ring"))
    assert (cases.open_cases(config).open("train").index.class_label <= 0).all()
    manifest.write_text(text)
    (photos[0] / "2a.jpg").write_bytes(jpeg(9, 9, seed=77))
    reader = cases.open_cases(config).open("train")
    images = reader.read(tf.range(3, dtype=tf.int64)).flat_values.numpy().tolist()
    assert jpeg(9, 9, seed=77) in images
    cases.open_cases(config.replace(max_pixels=10_000))
    assert len(set(prepared)) == len(prepared) == 4
    (photos[0] / "2a.jpg").write_bytes(photos[1]["2a.jpg"])
    assert cases.open_cases(config).name == first.name
    # In place of the first one, since the image was written after that; and not once more.
    assert prepared[4:] == prepared[:1]
    cases.open_cases(config)
    assert len(prepared) == 5


def test_an_image_of_the_same_size_is_noticed(config, photos):
    first = cases.open_cases(config)
    before, key = everything(first), ("test", "c5", "5a.png")
    old = photos[1]["5a.png"]
    new = next(c for c in (png(5, 5, seed=s) for s in range(100, 999)) if len(c) == len(old))
    (photos[0] / "5a.png").write_bytes(new)
    data = cases.open_cases(config)
    assert data.name == first.name
    assert everything(data) == before | {key: (0, new)} and before[key] == (0, old)


def test_an_interrupted_preparation_leaves_nothing(config, tmp_path, monkeypatch):
    original, read = on_threads.read_case, []

    def interrupted(case, images):
        read.append(case.case_id)
        if len(read) > 4:
            raise KeyboardInterrupt
        return original(case, images)

    monkeypatch.setattr(on_threads, "read_case", interrupted)
    with pytest.raises(Preempted) as caught:
        cases.open_cases(config)
    assert str(caught.value) == "nothing was prepared; the same command begins that again"
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(on_threads, "read_case", original)
    assert cases.open_cases(config).index["train"].num_images == 6


def test_an_interrupted_index_leaves_nothing(config, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(prepared_data, "build_index", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            cases.open_cases(config)
    assert not (tmp_path / "data").exists()
    assert cases.open_cases(config).index["train"].num_images == 6


@pytest.mark.slow
def test_killed_while_it_prepares(config, tmp_path, warm):
    program = (
        "import os, signal, sys\n"
        "from data_builders import on_threads\n"
        "from micle_tf.config import Config\n"
        "from micle_tf.data import cases\n"
        "original = on_threads.read_case\n"
        "def killed(case, images):\n"
        "    if case.case_id == 'c4': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return original(case, images)\n"
        "on_threads.read_case = killed\n"
        "cases.open_cases(Config(manifest=sys.argv[1], data_dir=sys.argv[2]))\n"
    )
    process = warm.start("-c", program, config.manifest, config.data_dir)
    assert process.wait() == -9, process.err[-2000:]
    assert any("incomplete" in name for name in tree(tmp_path / "data"))
    data = cases.open_cases(config)
    assert [index.num_images for index in data.index.values()] == [6, 1, 2]
    assert not any("incomplete" in name for name in tree(tmp_path / "data"))


def test_a_lost_index_is_made_again(config, tmp_path, monkeypatch):
    first = cases.open_cases(config)
    prepared = count_preparations(monkeypatch)
    (lost,) = (tmp_path / "data").rglob("case_index-train.npz")
    lost.unlink()
    second = cases.open_cases(config)
    assert prepared == []
    np.testing.assert_array_equal(first.index["train"].image_id, second.index["train"].image_id)
    assert lost.exists()


def test_two_at_the_same_time(config, monkeypatch, tmp_path):
    move, prepared = prepare._move, count_preparations(monkeypatch)

    def late(folder, place):
        monkeypatch.setattr(prepare, "_move", move)
        cases.open_cases(config)  # somebody else begins later and is done before
        move(folder, place)

    monkeypatch.setattr(prepare, "_move", late)
    assert cases.open_cases(config).index["train"].num_images == 6
    assert len(prepared) == 2
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["derm_cases"]


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize(
    "content, fault",
    [
        (b"", "the file is empty"),
        (b"hello", "not a JPEG, PNG or DICOM image"),
        (jpeg(20, 20)[:-100], "the image is damaged or cut short"),
        (png(40, 40), "40 x 40 pixels are more than --max_pixels=400"),
    ],
)
def test_an_image_with_a_fault(config, photos, tmp_path, content, fault):
    folder = photos[0]
    (folder / "3b.png").write_bytes(content)
    with pytest.raises(BadInput) as caught:
        cases.open_cases(config.replace(max_pixels=400))
    assert str(caught.value) == f"{folder}/cases.csv row 6: {folder}/3b.png: {fault}"
    assert not (tmp_path / "data").exists()


def test_messages_are_one_line(config, photos):
    (photos[0] / "cases.csv").write_text('image,case_id\n"two\nlines",c1\n')
    with pytest.raises(BadInput) as caught:
        cases.open_cases(config)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written(config, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput) as caught:
        cases.open_cases(config.replace(data_dir=f"{tmp_path}/file/data"))
    message = f"--data_dir={tmp_path}/file/data: cannot be written: Not a directory"
    assert str(caught.value) == message
    with pytest.raises(BadInput) as caught:
        cases.open_cases(config.replace(data_dir="gs://bucket/data"))
    assert str(caught.value) == "--data_dir=gs://bucket/data: prepared data lies on a local disk"


def test_a_full_disk(config, tmp_path, monkeypatch):
    def full(folder, place):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepare, "_move", full)
    with pytest.raises(Stopped) as caught:
        cases.open_cases(config)
    assert str(caught.value) == f"the disk is full: {tmp_path}/data"


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            dict(dataset="imagenet"),
            "--dataset=imagenet: neither one of derm_cases, chexpert_cases, nih_chest_xray14, "
            "mimic_cxr_jpg, padchest nor a tensorflow_datasets set; did you mean imagenette or "
            "imagenet_r or imagenet_a?",
        ),
        (
            dict(dataset="derm_cases/real"),
            "--dataset=derm_cases/real: derm_cases has synthetic, synthetic_shuffled, "
            "synthetic_same_photo, manifest, scin, pad_ufes_20, ham10000, isic2019",
        ),
        (
            dict(dataset="derm_cases/manifest"),
            "--dataset=derm_cases/manifest: name your cases with --manifest=cases.csv",
        ),
        (
            dict(dataset="derm_cases/synthetic", manifest="x.csv"),
            "--manifest=x.csv: goes with --dataset=derm_cases/manifest, "
            "not with derm_cases/synthetic",
        ),
        (dict(image_dir="x"), "--image_dir=x: goes with --manifest=cases.csv"),
        (dict(columns="a=b"), "--columns=a=b: goes with --manifest=cases.csv"),
        (dict(manifest="none.csv"), "--manifest=none.csv: no such file or folder"),
    ],
)
def test_names_that_are_wrong(tmp_path, changes, message):
    with pytest.raises(BadInput) as caught:
        cases.open_cases(Config(data_dir=str(tmp_path / "data"), **changes))
    assert str(caught.value) == message
    assert tree(tmp_path) == []
