"""The files of a dataset give its prepared data a name, whatever lies prepared."""

import csv

import pytest

from data_builders.case_builder import CaseConfig
from micle_tf.config import Config
from micle_tf.data import sources
from micle_tf.errors import BadInput
from tests.data_builders import trees_derm, trees_nih
from tests.generated_cases import write_cases


@pytest.fixture
def settings(tmp_path):
    manifest = write_cases(tmp_path / "photos", num_cases=12, classes=("oval", "ring"))
    return {"manifest": str(manifest), "data_dir": str(tmp_path / "data")}


def name_of(**settings):
    return sources.configuration_of(Config(**settings), "derm_cases/manifest").name


def test_the_name_is_that_of_rows_and_of_how_images_are_stored(settings):
    name = name_of(**settings)
    assert name.startswith("manifest-") and name == name_of(**settings)
    assert name != name_of(**settings, max_image_side=20)
    assert name != name_of(**settings, group_by="image")
    # Nothing of these is in the data.
    assert name == name_of(**settings, jpeg_quality=50, seed=4)
    with open(settings["manifest"], encoding="utf-8") as file:
        rows = list(csv.reader(file))
    with open(settings["manifest"], "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows[:-1])
    assert name != name_of(**settings)


def test_names_of_prepared_data_are_those_of_versions_before(tmp_path):
    """Else everything that lies prepared would be prepared again."""
    rows = ["image,case_id,patient_id,label,split", "a.jpg,1,p,x,train", "b.jpg,1,p,x,train"]
    (tmp_path / "cases.csv").write_text("\n".join([*rows, "c.jpg,2,q,y,test\n"]))
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())
    assert name_of(manifest=str(tmp_path / "cases.csv")) == "manifest-ceb9bcc23b68"
    trees_derm.write_tree(tmp_path / "ham", "ham10000", num_cases=6)
    trees_nih.write_tree(tmp_path / "nih", patients=8)
    for folder, name, expected in (
        ("ham", "derm_cases/ham10000", "ham10000-1971236aeea6"),
        ("nih", "nih_chest_xray14/default", "default-5783ae41295e"),
    ):
        config = Config(dataset=name, manual_dir=str(tmp_path / folder), data_dir=str(tmp_path))
        assert sources.configuration_of(config, name).name == expected


def test_a_source_of_files_and_one_that_is_rendered(settings):
    configuration, source = sources.source_of(Config(**settings), "derm_cases/manifest")
    assert type(configuration) is CaseConfig and configuration.source is source
    assert source.num_cases == 12
    assert source.class_names == ("oval", "ring") and source.labels_shared_by_case
    assert sources.configuration_of(Config(), "derm_cases/synthetic") == "synthetic"
    _, rendered = sources.source_of(Config(), "derm_cases/synthetic")
    assert rendered.num_cases > 100


@pytest.mark.parametrize(
    "changes, name, message",
    [
        ({"group_by": "image"}, "derm_cases/synthetic",
         "--group_by=image: derm_cases/synthetic is grouped by case"),
        ({"manual_dir": "nowhere"}, "derm_cases/ham10000", "--manual_dir=nowhere: no such folder"),
        ({"data_dir": "nowhere"}, "derm_cases/ham10000",
         "--dataset=derm_cases/ham10000: say where its files are with --manual_dir"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(changes, name, message):
    with pytest.raises(BadInput) as error:
        sources.configuration_of(Config(**changes), name)
    assert str(error.value) == message


def test_a_fault_of_the_data_is_one_line_of_bad_input():
    with (
        pytest.raises(BadInput, match=r"^a: row 3 twice$"),
        sources.bad_data_is_bad_input(),
    ):
        raise sources.BadData("a: row 3\ntwice")
