"""tfds's own test of a builder, on dummy_data/; and the commands of the README."""

import csv
import json
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_builders.case_builder import CaseConfig
from data_builders.derm_cases import derm_cases_dataset_builder as derm_cases
from data_builders.derm_cases.manifest import read_manifest
from data_builders.images import ImageOptions

DUMMY_DATA = pathlib.Path(__file__).parent / "dummy_data"


def manifest_config(source, images=None):
    """What `run.py` prepares a manifest with."""
    return CaseConfig.of("manifest", source, images)


class DermCasesTest(tfds.testing.DatasetBuilderTestCase):
    """Six cases of photos of several sizes: JPEG and PNG, grey, with alpha and in colour."""

    DATASET_CLASS = derm_cases.Builder
    SPLITS = {"train": 3, "validation": 1, "test": 2}
    BUILDER_CONFIG_NAMES_TO_TEST = [manifest_config(read_manifest(str(DUMMY_DATA / "cases.csv")))]


class Ham10000Test(tfds.testing.DatasetBuilderTestCase):
    """Six lesions; no split is given."""

    DATASET_CLASS = derm_cases.Builder
    SPLITS = {"train": 4, "validation": 1, "test": 1}
    BUILDER_CONFIG_NAMES_TO_TEST = ["ham10000"]
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False  # tables are read by Python's own open


class PadUfes20Test(tfds.testing.DatasetBuilderTestCase):
    """Six lesions of three patients, some photos with alpha."""

    DATASET_CLASS = derm_cases.Builder
    SPLITS = {"train": 2, "validation": 2, "test": 2}
    BUILDER_CONFIG_NAMES_TO_TEST = ["pad_ufes_20"]
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False


class Isic2019Test(tfds.testing.DatasetBuilderTestCase):
    """Five lesions, and a photo without one."""

    DATASET_CLASS = derm_cases.Builder
    SPLITS = {"train": 3, "validation": 1, "test": 2}
    BUILDER_CONFIG_NAMES_TO_TEST = ["isic2019"]
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False


class ScinTest(tfds.testing.DatasetBuilderTestCase):
    """Six cases, one without a label, two that name one photo."""

    DATASET_CLASS = derm_cases.Builder
    SPLITS = {"train": 4, "validation": 1, "test": 1}
    BUILDER_CONFIG_NAMES_TO_TEST = ["scin"]
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False


def test_examples_hold_the_case_as_it_is(tmp_path):
    """Bytes, ids, labels and attributes come back as the manifest stated them."""
    config = manifest_config(read_manifest(str(DUMMY_DATA / "cases.csv")))
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
        "default_findings": [],
        "synonyms": {},
        "labels_shared_by_case": True,
        "notes": [],
    }


def test_findings_take_the_place_of_labels(tmp_path):
    """The column `label` as names of findings: [n, K] int8, and no `class_label`."""
    manifest = read_manifest(str(DUMMY_DATA / "cases.csv"), findings_column="label")
    config = manifest_config(manifest)
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
        manifest_config(manifest).name,
        manifest_config(manifest, ImageOptions(max_pixels=10)).name,
        manifest_config(
            read_manifest(str(DUMMY_DATA / "cases.csv"), labels_shared_by_case=False)
        ).name,
        manifest_config(read_manifest(str(DUMMY_DATA / "cases.csv"), columns="label=age")).name,
        manifest_config(read_manifest(str(DUMMY_DATA / "cases.csv"), findings_column="label")).name,
    }
    assert len(names) == 5
    assert all(len(name) == len("manifest-") + 12 for name in names)
    assert "p1" not in repr(manifest_config(manifest))  # tfds writes it to its log


def test_declared_configurations():
    """The rendered cases and their two controls, and the public sets."""
    names = [config.name for config in derm_cases.Builder.BUILDER_CONFIGS]
    assert names == [
        "synthetic", "synthetic_shuffled", "synthetic_same_photo",
        "scin", "pad_ufes_20", "ham10000", "isic2019",
    ]  # fmt: skip
    features = derm_cases.Builder(data_dir="unused", config="synthetic").info.features
    assert features["class_label"].feature.num_classes == 8
    features = derm_cases.Builder(data_dir="unused", config="isic2019").info.features
    assert features["class_label"].feature.names[:2] == ["AK", "BCC"]


def test_a_public_set_through_the_builder(tmp_path):
    """Weights, views and classes of SCIN, though its classes are known only when it is read."""
    builder = derm_cases.Builder(data_dir=str(tmp_path), config="scin")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=str(DUMMY_DATA))
    )
    examples = {
        example["case_id"].decode(): example
        for split in builder.info.splits
        for example in tfds.as_numpy(builder.as_dataset(split=split))
    }
    assert len(examples) == 6
    case = examples["-1234567890123456790"]
    names = builder.info.metadata["class_names"]
    assert names == ["Eczema", "Insect Bite", "Psoriasis", "Urticaria"]
    assert [names[label] for label in case["class_label"]] == ["Insect Bite"] * 2
    assert case["view_position"].tolist() == [b"CLOSE_UP", b"AT_AN_ANGLE"]
    attributes = json.loads(case["attributes"])
    assert json.loads(attributes["differential"]) == {"Insect Bite": 0.5, "Eczema": 0.5}
    note = "images left out, being in another case already: 1"
    assert note in builder.info.metadata["notes"]


# ---------------------------------------------------------------- the README's other sets

MILK10K = "AKIEC,BCC,BEN_OTH,BKL,DF,INF,MAL_OTH,MEL,NV,SCCKA,VASC"
OTHER_SETS = {
    "fitzpatrick17k": {
        "fitzpatrick17k.csv": "md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,"
        "nine_partition_label,three_partition_label,qc,url,url_alphanum\n"
        "0123456789abcdef0123456789abcdef,3,3,psoriasis,inflammatory,non-neoplastic,,"
        "https://www.example.org/p/psoriasis1.jpg,httpswwwexampleorgppsoriasis1jpg.jpg\n"
        "1123456789abcdef0123456789abcdef,-1,2,acne,inflammatory,non-neoplastic,,,\n",
        "images/0123456789abcdef0123456789abcdef.jpg": "a",
        "images/1123456789abcdef0123456789abcdef.jpg": "b",
    },
    "ddi": {
        "ddi_metadata.csv": ",DDI_ID,DDI_file,skin_tone,malignant,disease\n"
        "0,1,000001.png,56,True,melanoma-in-situ\n1,2,000002.png,12,False,wart\n",
        "000001.png": "a",
        "000002.png": "b",
    },
    "milk10k": {
        "MILK10k_Training_GroundTruth.csv": f"lesion_id,{MILK10K}\n"
        "IL_0001234,0.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n"
        "IL_0001235,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0\n",
        "MILK10k_Training_Metadata.csv": "lesion_id,image_type,isic_id,attribution,"
        "copyright_license,image_manipulation,age_approx,sex,skin_tone_class,site,"
        "MONET_ulceration_crust,MONET_hair,MONET_vasculature_vessels,MONET_erythema,"
        "MONET_pigmented,MONET_gel_water_drop_fluid_dermoscopy_liquid,"
        "MONET_skin_markings_pen_ink_purple_pen\n"
        "IL_0001234,clinical: close-up,ISIC_0123456,MILK study team,CC-BY-NC,instrument only,70,"
        "male,3,trunk,0.41,0.08,0.03,0.22,0.55,0.10,0.04\n"
        "IL_0001234,dermoscopic,ISIC_0654321,MILK study team,CC-BY-NC,instrument only,70,"
        "male,3,trunk,0.61,0.11,0.12,0.30,0.72,0.14,0.03\n"
        "IL_0001235,dermoscopic,ISIC_0654322,MILK study team,CC-BY-NC,instrument only,40,"
        "female,2,trunk,0.6,0.1,0.1,0.3,0.7,0.1,0.1\n",
        "MILK10k_Training_Input/IL_0001234/ISIC_0123456.jpg": "a",
        "MILK10k_Training_Input/IL_0001234/ISIC_0654321.jpg": "b",
        "MILK10k_Training_Input/IL_0001235/ISIC_0654322.jpg": "c",
    },
    "derm7pt": {
        "release_v0/meta/meta.csv": "case_num,diagnosis,seven_point_score,pigment_network,streaks,"
        "pigmentation,regression_structures,dots_and_globules,blue_whitish_veil,"
        "vascular_structures,level_of_diagnostic_difficulty,elevation,location,sex,management,"
        "clinic,derm,case_id,notes\n"
        "12,clark nevus,2,atypical,absent,diffuse regular,absent,regular,absent,absent,low,flat,"
        "back,female,no further examination,NAL/Nal012.jpg,NBL/Nbl012.jpg,,\n"
        "13,melanoma (in situ),6,atypical,absent,absent,absent,regular,absent,absent,low,flat,"
        "back,male,excision,NAL/Nal013.jpg,NBL/Nbl013.jpg,7,\n"
        "14,blue nevus,0,absent,absent,absent,absent,absent,absent,absent,low,flat,"
        "back,male,excision,NAL/Nal014.jpg,NBL/Nbl014.jpg,,\n",
        "release_v0/meta/train_indexes.csv": "indexes\n1\n",
        "release_v0/meta/valid_indexes.csv": "indexes\n0\n",
        "release_v0/meta/test_indexes.csv": "indexes\n2\n",
    }
    | {f"release_v0/images/N{a}L/N{a.lower()}l{k:03d}.jpg": f"{a}{k}"
       for a in "AB" for k in (12, 13, 14)},
}  # fmt: skip


@pytest.fixture
def source_of(tmp_path, monkeypatch):
    """A function that runs the README's commands on a set made above."""
    monkeypatch.chdir(tmp_path)
    readme = (pathlib.Path(__file__).parent / "README.md").read_text()
    blocks = dict(re.findall(r"^```bash (\w+)\n(.*?)^```", readme, re.MULTILINE | re.DOTALL))
    assert set(blocks) == set(OTHER_SETS)

    def run(name):
        for path, text in OTHER_SETS[name].items():
            pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
            pathlib.Path(path).write_text(text)
        before, command = blocks[name].replace("\\\n", "").split("python run.py ")
        if before:
            word, flag, script = shlex.split(before)
            assert (word, flag) == ("python", "-c")
            subprocess.run([sys.executable, "-c", script], check=True)
        flags = dict(part.removeprefix("--").split("=", 1) for part in shlex.split(command))
        assert flags.pop("mode") == "prepare"
        flags.pop("max_bad_images", None)
        return read_manifest(**flags)

    return run


def _described(source):
    """{case_id: (split, label, attributes, [(image_id, view, content)])}."""
    return {
        case.case_id: (
            split,
            {source.class_names[image.class_label] for image in case.images},
            case.attributes,
            [(image.image_id, image.view_position, image.read()) for image in case.images],
        )
        for split, cases in source.cases.items()
        for case in cases
    }


def test_fitzpatrick17k_as_a_manifest(source_of):
    """Each image is a case; labels are the 114 conditions."""
    cases = _described(source_of("fitzpatrick17k"))
    first, second = "0123456789abcdef0123456789abcdef", "1123456789abcdef0123456789abcdef"
    assert set(cases) == {first, second}
    assert cases[first][1] == {"psoriasis"}
    assert cases[first][2]["three_partition_label"] == "non-neoplastic"
    assert cases[first][3] == [(first, "", b"a")]
    assert cases[second][2]["fitzpatrick_scale"] == "-1"


def test_ddi_as_a_manifest(source_of):
    """Each image is a case; the first column has no name."""
    cases = _described(source_of("ddi"))
    assert cases["1"][1:] == (
        {"True"},
        {"skin_tone": "56", "disease": "melanoma-in-situ"},
        [("000001.png", "", b"a")],
    )
    assert cases["2"][1] == {"False"}


def test_milk10k_as_a_manifest(source_of):
    """Close-up and dermoscopic image of a lesion; labels from the other file."""
    cases = _described(source_of("milk10k"))
    _, label, attributes, images = cases["IL_0001234"]
    assert label == {"BCC"}
    assert images == [
        ("IL_0001234/ISIC_0123456", "clinical: close-up", b"a"),
        ("IL_0001234/ISIC_0654321", "dermoscopic", b"b"),
    ]
    assert (attributes["age_approx"], attributes["MONET_hair"]) == ("70", ["0.08", "0.11"])
    assert cases["IL_0001235"][1] == {"VASC"}


def test_derm7pt_as_a_manifest(source_of):
    """Two images a row, grouped by case_num, in the owners' splits."""
    source = source_of("derm7pt")
    assert source.notes == ()
    cases = _described(source)
    assert {case_id: case[0] for case_id, case in cases.items()} == {
        "12": "validation", "13": "train", "14": "test",
    }  # fmt: skip
    _, label, attributes, images = cases["12"]
    assert label == {"clark nevus"}
    assert attributes == {"sex": "female", "location": "back", "elevation": "flat"}
    assert images == [("NAL/Nal012.jpg", "clinic", b"A12"), ("NBL/Nbl012.jpg", "derm", b"B12")]


def test_milk10k_written_by_the_readme_has_a_row_per_image(source_of):
    """The CSV keeps every column of the metadata."""
    source_of("milk10k")
    with open("cases.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 4
    assert rows[0][-3:] == ["MONET_skin_markings_pen_ink_purple_pen", "image", "label"]
