"""Several datasets as one, to pretrain on: --dataset=A+B."""

import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from micle_tf import cli
from micle_tf.config import Config
from micle_tf.data import cases, pipeline
from micle_tf.data.augment import Augmentation
from micle_tf.errors import BadInput
from tests.data_builders.trees_derm import write_tree
from tests.generated_cases import TINY
from tests.pictures import jpeg, png

BOTH = "derm_cases/ham10000+derm_cases/pad_ufes_20"
ALL = "derm_cases/ham10000+derm_cases/manifest+tiny_photos"
MANIFEST = [  # image, case, patient, label, split
    "a.png,c1,p1,spot,train",
    "b.jpg,c1,p1,spot,train",
    "c.png,c2,p1,ring,train",
    "d.png,c3,,ring,validation",
    "e.png,c4,p2,ring,test",
]


class TinyPhotos(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A set of tensorflow_datasets, with a split that others have not."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "picture": tfds.features.Image(shape=(9, 9, 3)),
            "kind": tfds.features.ClassLabel(names=["x", "y"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        sizes = {"train": 20, "validation": 4, "test": 3, "extra": 5}
        return {split: self._generate_examples(split, size) for split, size in sizes.items()}

    def _generate_examples(self, split, size):
        for i in range(size):
            yield i, {"picture": picture(split, i), "kind": i % 2}


def picture(split, number):
    rng = np.random.default_rng([len(split), number])
    return rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def prepared_once(tmp_path_factory):
    """Two public sets and a manifest in a folder, and all that is prepared of them in "data"."""
    folder = tmp_path_factory.mktemp("joined")
    for name in ("ham10000", "pad_ufes_20"):
        write_tree(folder / "files" / name, name, num_cases=16)
    (folder / "photos").mkdir()
    for number, row in enumerate(MANIFEST):
        name = row.partition(",")[0]
        content = jpeg(9, 9, seed=number) if name.endswith(".jpg") else png(9, 9, seed=number)
        (folder / "photos" / name).write_bytes(content)
    text = "\n".join(["image,case_id,patient_id,label,split", *MANIFEST])
    (folder / "photos/cases.csv").write_text(text)
    tfds.disable_progress_bar()
    TinyPhotos(data_dir=str(folder / "data")).download_and_prepare()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        cases.open_cases(config())
        cases.open_cases(config(dataset=BOTH, manifest=""))
    return folder


@pytest.fixture
def folder(prepared_once, tmp_path, monkeypatch):
    """A copy of it that is the current folder."""
    shutil.copytree(prepared_once, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def config(**changes):
    stated = {"dataset": ALL, "manifest": "photos/cases.csv", "manual_dir": "files"}
    return Config(**stated | {"data_dir": "data"} | changes)


def alone(name):
    manifest = "photos/cases.csv" if name.endswith("manifest") else ""
    own_files = "" if manifest or name == "tiny_photos" else "files"
    return cases.open_cases(config(dataset=name, manifest=manifest, manual_dir=own_files))


def images_of(reader, prefix=""):
    """{image_id: encoded image}."""
    images = reader.read(tf.range(reader.index.num_cases, dtype=tf.int64)).flat_values.numpy()
    names = [prefix + name for name in reader.index.image_id.tolist()]
    return dict(zip(names, images, strict=True))


# ---------------------------------------------------------------- what is joined


def test_counts_and_names(folder):
    data, parts = cases.open_cases(config()), [alone(name) for name in ALL.split("+")]
    assert data.name == "+".join(part.name for part in parts)
    assert list(data.index) == ["train", "validation", "test", "extra"]
    for split, index in data.index.items():
        there = [part.index[split] for part in parts if split in part.index]
        assert index.num_cases == sum(part.num_cases for part in there)
        assert index.num_images == sum(part.num_images for part in there)
        np.testing.assert_array_equal(
            index.images_per_case, np.concatenate([part.images_per_case for part in there])
        )
    assert data.index["extra"].num_cases == 5
    assert (data.class_names, data.finding_names) == ((), ())
    notes = [f"{part.name}: {note}" for part in parts for note in part.notes]
    assert len(notes) == 1 and set(notes) < set(data.notes)
    assert cases.describe(data)[0].startswith(f"{data.name}: ")


def test_ids_say_which_dataset(folder):
    data, manifest = cases.open_cases(config()), alone("derm_cases/manifest")
    prefix = manifest.name
    ids = dict(zip(data.index["train"].case_id.tolist(), data.index["train"].patient_id.tolist()))
    assert ids[f"{prefix}/c1"] == ids[f"{prefix}/c2"] == f"{prefix}/p1"
    assert ids["tiny_photos/train-0000007"] == ""
    assert {key.split("/")[0] for key in ids} == {"derm_cases", "tiny_photos"}
    everything = [index.image_id.tolist() for index in data.index.values()]
    assert len(set(sum(everything, []))) == sum(map(len, everything))
    unknown = dict(zip(data.index["validation"].case_id, data.index["validation"].patient_id))
    assert unknown[f"{prefix}/c3"] == ""


def test_nothing_is_labelled(folder):
    data = cases.open_cases(config())
    for index in data.index.values():
        assert index.class_label.tolist() == [-1] * index.num_images
        assert index.findings.size == 0
    assert ", 0 images labelled" in cases.describe(data)[0]


def test_images_are_read_back(folder):
    data = cases.open_cases(config())
    for split, reader in data.readers.items():
        wanted = {}
        for name in ALL.split("+"):
            part = alone(name)
            if split in part.readers:
                wanted |= images_of(part.readers[split], f"{part.name}/")
        found = images_of(reader)
        assert found == wanted
        for name, image in found.items():
            if name.startswith("tiny_photos/"):
                decoded = tf.io.decode_png(image).numpy()
                assert (decoded == [picture(split, i) for i in range(20)]).all((1, 2, 3)).sum() == 1
    everything = images_of(data.open("train+extra+test"))
    assert len(everything) == sum(data.index[s].num_images for s in ("train", "extra", "test"))
    assert everything["tiny_photos/extra-0000004"] == images_of(data.readers["extra"])[
        "tiny_photos/extra-0000004"
    ]  # fmt: skip


def test_patients_of_two_datasets_are_two(folder):
    """Though they may have one id: both have a p1 of their own."""
    text = pathlib.Path("photos/cases.csv").read_text()
    table = pathlib.Path("files/pad_ufes_20/metadata.csv")
    known = table.read_text()
    table.write_text(known.replace("PAT_10,", "p1,"))
    assert table.read_text() != known and "p1," in text
    data = cases.open_cases(config(dataset="derm_cases/pad_ufes_20+derm_cases/manifest"))
    patients = [set(index.patient_id.tolist()) - {""} for index in data.index.values()]
    ours = [patient for split in patients for patient in split if patient.endswith("/p1")]
    assert len(ours) == len({patient.rpartition("/")[0] for patient in ours}) == 2
    assert len(set.union(*patients)) == sum(map(len, patients))


def test_one_folder_of_files_serves_both(folder):
    data = cases.open_cases(config(dataset=BOTH, manifest=""))
    prefixes = {name.rpartition("-")[0] for name in data.name.split("+")}
    assert prefixes == set(BOTH.split("+"))
    shutil.rmtree("files")
    again = cases.open_cases(config(dataset=BOTH, manifest="", manual_dir=""))
    assert again.name == data.name  # as they were prepared


# ---------------------------------------------------------------- the order of the pairs


@pytest.mark.parametrize("method", ["micle", "simclr"])
def test_pairs_are_a_function_of_seed_and_step(folder, method):
    options = Augmentation(size=8)

    def batches(data_dir, first, end, seed=5):
        reader = cases.open_cases(config(data_dir=data_dir)).open("train")
        dataset = pipeline.pair_dataset(reader, method, 12, options, seed, (first, end))
        return list(dataset.as_numpy_iterator())

    shutil.copytree("data/tiny_photos", "again/tiny_photos")
    whole, again, later = batches("data", 0, 4), batches("again", 0, 4), batches("data", 2, 4)
    assert len(whole) == 4
    for one, other in [*zip(whole, again, strict=True), *zip(whole[2:], later, strict=True)]:
        for name in ("view1", "view2", "group"):
            np.testing.assert_array_equal(one[name], other[name])
    assert (batches("data", 0, 1, seed=6)[0]["view1"] != whole[0]["view1"]).any()


def test_every_dataset_has_its_share_of_an_epoch(folder):
    """Each case once: those of no dataset are drawn more often than others."""
    reader = cases.open_cases(config()).open("train")
    size = reader.index.num_cases // 4
    dataset = pipeline.pair_dataset(reader, "micle", size, Augmentation(size=8), 0, (0, 4))
    drawn = np.concatenate([batch["group"] for batch in dataset.as_numpy_iterator()])
    assert len(drawn) == len(set(drawn.tolist())) == 4 * size


# ---------------------------------------------------------------- what is refused or noted


@pytest.mark.parametrize("mode", ["linear_eval", "finetune", "evaluate"])
def test_only_pretraining_takes_several(folder, mode, capsys):
    before = sorted(pathlib.Path().rglob("*"))
    assert cli.main([f"--mode={mode}", f"--dataset={BOTH}", "--data_dir=data"]) == 2
    assert capsys.readouterr().err == (
        f"error: --dataset={BOTH}: --mode={mode} works on one dataset; name it\n"
    )
    assert sorted(pathlib.Path().rglob("*")) == before


def test_a_dataset_that_is_named_twice(folder):
    with pytest.raises(BadInput) as caught:
        cases.open_cases(config(dataset=f"{ALL}+derm_cases"))
    assert str(caught.value) == f"--dataset={ALL}+derm_cases: a dataset is named twice"


def test_a_fault_in_one_of_them(folder):
    with pytest.raises(BadInput) as caught:
        cases.open_cases(config(dataset=f"{ALL}+derm_cases/scin"))
    assert str(caught.value).startswith("--manual_dir=files: no scin_cases.csv in it")
    with pytest.raises(BadInput) as caught:
        cases.open_cases(config(group_by="patient", dataset="derm_cases/manifest+tiny_photos"))
    assert str(caught.value) in (
        "--group_by=patient: photos/cases.csv row 5 names no patient",
        "--group_by=patient: every case of tiny_photos is one image",
    )


def test_one_picture_in_two_datasets(folder):
    """In train of one and in test of the other, it is told; in train of both it is not."""
    ham = alone("derm_cases/ham10000")
    names = {split: str(index.image_id[0]) for split, index in ham.index.items()}
    paths = {path.stem: path for path in pathlib.Path("files/ham10000").rglob("*.jpg")}
    pixels = tf.io.decode_image(paths[names["test"]].read_bytes())
    pathlib.Path("photos/a.png").write_bytes(tf.io.encode_png(pixels).numpy())
    shutil.copy(paths[names["train"]], "photos/b.jpg")
    data = cases.open_cases(config(dataset="derm_cases/ham10000+derm_cases/manifest"))
    manifest = alone("derm_cases/manifest").name
    told = (
        f"1 picture in several splits of the joined data, as {manifest}/a.png (train) = "
        f"{ham.name}/{names['test']} (test)"
    )
    assert data.notes[-1] == told
    # Of a set of tensorflow_datasets no pixels are known, which hides nothing of the others.
    assert cases.open_cases(config()).notes[-1] == told
    notes = cases.open_cases(config(dataset="derm_cases/ham10000+tiny_photos", manifest="")).notes
    assert not any("several splits" in note for note in notes)


def test_a_dry_run_of_several(folder):
    before = sorted(pathlib.Path().rglob("*"))
    found = cases.check_cases(config(dataset=BOTH, manifest="", mode="prepare", dry_run=True))
    assert [data.name.rpartition("-")[0] for data in found] == BOTH.split("+")
    assert sorted(pathlib.Path().rglob("*")) == before


def test_a_step_on_several(folder, capsys):
    """As a command; a classifier then must be told which of them it is for."""
    given = [f"--dataset={ALL}", "--manifest=photos/cases.csv", "--data_dir=data"]
    assert cli.main([*given, "--manual_dir=files", *TINY, "--train_steps=1"]) == 0
    run = "runs/derm_cases-ham10000+derm_cases-manifest+tiny_photos/pretrain-micle"
    assert pathlib.Path(run, "result.json").exists()
    capsys.readouterr()
    assert cli.main(["--mode=finetune", f"--checkpoint={run}"]) == 2
    assert capsys.readouterr().err == (
        f"error: --dataset={ALL}: --mode=finetune works on one dataset; name it\n"
    )
