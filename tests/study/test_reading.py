"""Studies as files state them: what they say, and what no file says."""

import re

import pytest

from micle_tf.errors import BadInput
from micle_tf.study.reading import parse, read
from tests.study.study_files import FILE, SMALL, changed

NO_STAGES = '[variants]\na = ["b"]\n'


def test_what_a_file_says(tmp_path):
    path = tmp_path / "four_ways.toml"
    path.write_text(FILE)
    study = read(path)
    assert study == parse(FILE, "four_ways")
    assert (study.name, study.dataset, study.manifest) == ("four_ways", "derm_cases", "")
    assert study.label_fractions == (0.1, 1.0) and study.seeds == (2, 0)
    assert (study.primary, study.reference) == ("case/auc_macro", "micle")
    assert study.common == {"image_size": 64, "temperature": 1.0}
    assert list(study.stages) == ["simclr", "micle", "linear_eval", "finetune", "nih"]
    assert study.stages["finetune"] == {"mode": "finetune", "rotation_degrees": 15.0}
    assert study.variants["micle"] == ("simclr", "micle", "finetune")
    assert study.grid == {"finetune": {"learning_rate": (1.0, 0.01), "optimizer": ("adam", "lars")}}
    assert study.select == {"finetune": "case/auc_macro"}


def test_numbers_are_of_the_types_of_their_flags():
    """Paths and comparisons would tell 1 from 1.0."""
    study = parse(FILE, "a")
    numbers = [*study.label_fractions, study.common["temperature"]]
    numbers += [
        study.stages["finetune"]["rotation_degrees"],
        *study.grid["finetune"]["learning_rate"],
    ]
    assert all(type(number) is float for number in numbers)
    assert type(study.common["image_size"]) is int


def test_what_a_file_may_leave_out():
    study = parse(SMALL, "a")
    assert (study.dataset, study.manifest, study.primary, study.reference) == ("", "", "", "one")
    assert study.label_fractions == (1.0,) and study.seeds == (0,)
    assert study.common == study.grid == study.select == {}


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.toml"
    with pytest.raises(BadInput, match=r"^\S+/a\.toml: cannot be read \(.*No such file"):
        read(path)
    path.write_bytes(b"seeds = [\xff]")
    with pytest.raises(BadInput, match=r"^\S+/a\.toml: cannot be read \("):
        read(path)
    path.write_text("seeds = 0\nseeds = = 1\n")
    with pytest.raises(BadInput, match=r"^\S+/a\.toml: no TOML \(.*line 2"):
        read(path)
    path.write_text("seeds = [-1]\n" + SMALL)
    with pytest.raises(BadInput, match=r"^\S+/a\.toml: seeds: --seed=-1: must be at least 0$"):
        read(path)


def test_a_mark_of_utf_8_is_no_part_of_the_text(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(FILE, encoding="utf-8-sig")
    assert read(path) == parse(FILE, "a")


@pytest.mark.parametrize(
    "file, name", [("a.toml", "a"), ("a.b.toml", "a.b"), ("mine1.5", "mine1.5")]
)
def test_a_study_has_the_name_of_its_file(tmp_path, file, name):
    """What another study would be called too, mine1.4, would lie in the same place."""
    (tmp_path / file).write_text(SMALL)
    assert read(tmp_path / file).name == name


def test_no_toml():
    hexadecimal = "seeds = [0x" + "f" * 5000 + "]"
    deep = "common.image_size" + ".a" * 5000 + " = 1"
    for text in ("seeds", "a = " + "[" * 10_000, "a = 1" + "0" * 5000, hexadecimal, deep):
        with pytest.raises(BadInput, match=r"^a\.toml: no TOML \("):
            parse(text, "a")


def test_a_number_beyond_all_bounds():
    with pytest.raises(
        BadInput, match=r"^a\.toml: \[stages\.finetune\] --rota.*: must be at most 180$"
    ):
        parse(changed(("degrees = 15", f"degrees = {10**400}")), "a")


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no stages; add [stages.NAME] with mode = "),
        (NO_STAGES, "no stages; add [stages.NAME] with mode = "),
        ('[stages.a]\nmode = "finetune"', "no variants; add [variants] with NAME = "),
        ('[stages.a]\nmode = "finetune"\n[variants]', "no variants; add [variants] with NAME = "),
    ],
)
def test_nothing_to_study(text, message):
    with pytest.raises(BadInput, match=f"^{re.escape(f'a.toml: {message}')}"):
        parse(text, "a")
