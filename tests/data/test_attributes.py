"""Attributes of images: as cases state them, stored and read, joined, and what is none."""

import numpy as np
import pytest

from micle_tf.data.attributes import LONGEST, Attributes, parsed


def columns(attributes):
    return {str(name): attributes.of(name).tolist() for name in attributes.names}


@pytest.fixture
def three_cases():
    stated = [{"sex": "female", "age": "61"}, {}, {"site": ["arm", "leg"], "age": "7"}]
    return Attributes.of_cases(stated, ["PA", "", "", ""], [1, 1, 2])


def test_an_attribute_is_of_the_case_or_one_of_each_image(three_cases):
    assert columns(three_cases) == {
        "sex": ["female", "", "", ""],
        "age": ["61", "", "7", "7"],
        "site": ["", "", "arm", "leg"],
        "view": ["PA", "", "", ""],
    }


def test_each_text_is_stored_once():
    attributes = Attributes.of_cases(
        [{"sex": "male", "other": "male"}] * 500, [""] * 500, [1] * 500
    )
    assert attributes.values.tolist() == ["male"]
    assert attributes.codes.shape == (2, 500)


def test_a_view_is_none_where_no_image_has_one_and_goes_before_an_attribute_of_its_name():
    stated = [{"view": "of the owner"}]
    assert columns(Attributes.of_cases(stated, [""], [1])) == {"view": ["of the owner"]}
    assert columns(Attributes.of_cases(stated, ["PA"], [1])) == {"view": ["PA"]}


def test_free_text_and_what_says_nothing_are_no_attributes():
    texts = {"free": "a" * (LONGEST + 1), "whole": "b" * LONGEST, "nothing": ""}
    assert columns(Attributes.of_cases([texts], [""], [1])) == {"whole": ["b" * LONGEST]}


@pytest.mark.parametrize("part", ["whole", "none"])
def test_saved_attributes_are_taken_back_out_of_the_arrays(three_cases, part, tmp_path):
    attributes = three_cases if part == "whole" else Attributes.of_cases([], [], [])
    np.savez(tmp_path / "kept.npz", others=np.arange(3), **attributes.arrays())
    with np.load(tmp_path / "kept.npz") as kept:
        arrays = dict(kept)
    assert columns(Attributes.taken_from(arrays)) == columns(attributes)
    assert list(arrays) == ["others"]
    assert Attributes.taken_from(arrays) is None  # as in an index of before


def test_joined_attributes_are_blank_where_a_set_has_none(three_cases):
    other = Attributes.of_cases([{"age": "30", "skin_type": "2"}], [""], [1])
    joined = columns(Attributes.join([other, None, three_cases], [1, 2, 4]))
    assert joined == {
        "age": ["30", "", "", "61", "", "7", "7"],
        "skin_type": ["2", "", "", "", "", "", ""],
        "sex": ["", "", "", "female", "", "", ""],
        "site": ["", "", "", "", "", "arm", "leg"],
        "view": ["", "", "", "PA", "", "", ""],
    }


def test_an_attribute_that_is_not_there(three_cases):
    with pytest.raises(KeyError, match="skin"):
        three_cases.of("skin")


def test_values_that_are_no_text_are_read_as_they_are_written():
    assert parsed('{"age": 61, "site": ["arm", null, 2.5], "sex": "male"}') == {
        "age": "61", "site": ["arm", "null", "2.5"], "sex": "male",
    }  # fmt: skip
    assert parsed("") == {}
