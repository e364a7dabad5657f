"""Which file a study is, from wherever it is typed, and where a study lies that is not told."""

import os

import pytest

from micle_tf import recipes
from micle_tf.errors import BadInput
from micle_tf.study import reading
from micle_tf.study.places import STUDIES, default_place, path_of

OURS = sorted(STUDIES.glob("*.toml"))
NAMES = [path.stem for path in OURS]


def test_studies_of_ours_are_there():
    assert {"demo", "quick"} <= {*NAMES}


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_a_study_of_ours_says_what_it_may_and_is_found_by_its_name(path, elsewhere):
    assert reading.read(path).name == path.stem
    assert path_of(path.stem) == path
    assert path_of(os.path.join("flags", "studies", path.name)) == path


def test_a_file_comes_before_a_study_of_ours(elsewhere, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("demo", "own.toml"):
        (tmp_path / name).write_text("")
        assert path_of(name).read_text() == ""
    assert path_of("~/own.toml") == path_of(str(tmp_path / "own.toml")) == tmp_path / "own.toml"


def test_a_folder_is_no_study(elsewhere, tmp_path):
    (tmp_path / "quick").mkdir()
    assert path_of("quick") == recipes.RECIPES / "studies/quick.toml"
    with pytest.raises(BadInput, match="no such file"):
        path_of(str(tmp_path))


@pytest.mark.parametrize(
    "typed, hint",
    [
        ("dmeo", "; did you mean demo?"),
        ("Quick", "; did you mean quick?"),
        ("demo.toml", "; did you mean demo?"),
        ("flags/studies/quik.toml", "; did you mean quick?"),
        ("mine/hearts.toml", ""),
        ("", ""),
        (300 * "a", ""),
    ],
)
def test_a_typo_is_named_with_what_is_near(typed, hint, elsewhere):
    with pytest.raises(BadInput) as refused:
        path_of(typed)
    names = ", ".join(NAMES)
    assert str(refused.value) == f"--study={typed}: no such file, and none of {names}{hint}"


@pytest.mark.parametrize(
    "flags, place",
    [
        ({"dataset": "derm_cases"}, "derm_cases-synthetic"),
        ({"dataset": "derm_cases/ham10000"}, "derm_cases-ham10000"),
        ({"dataset": "chexpert"}, "chexpert_cases-official"),
        ({"dataset": "cifar10"}, "cifar10"),
        ({"dataset": "derm_cases", "manifest": "a/cases.csv"}, "derm_cases-manifest-cases"),
        ({"manifest": "a/my.photos/"}, "derm_cases-manifest-my"),
    ],
)
def test_a_study_lies_beside_the_runs_of_its_data(flags, place):
    """As `run_names.default_model_dir` has it for a single run."""
    given = {"mode": "pretrain", "seed": 3} | flags
    assert default_place("mine", given) == os.path.join("runs", place, "study-mine")


def test_without_data_there_is_no_place():
    with pytest.raises(BadInput) as refused:
        default_place("mine", {"mode": "pretrain", "data_dir": "somewhere"})
    assert str(refused.value) == (
        "--study=mine: names no data to judge on; add --manifest=cases.csv or --dataset=NAME"
    )
