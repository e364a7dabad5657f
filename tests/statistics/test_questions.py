"""What is asked of an evaluation, read from text: what it says, and what is refused."""

import pytest

from micle_tf.statistics import questions
from micle_tf.statistics.questions import Attribute, OperatingPoint, operating_points

SENSITIVITY = OperatingPoint("sensitivity", "specificity", 0.9)
SPECIFICITY = OperatingPoint("specificity", "sensitivity", 0.95)


def test_points_are_read_and_said_again():
    text = "sensitivity@specificity=0.9,specificity@sensitivity=0.95"
    assert operating_points(text) == (SENSITIVITY, SPECIFICITY)
    assert ",".join(map(str, operating_points(text))) == text
    assert operating_points(" sensitivity@specificity=1 , specificity@sensitivity=.5")[1].at == 0.5
    assert operating_points("") == operating_points(" ") == ()


@pytest.mark.parametrize(
    "rubbish",
    [
        "sensitivity", "sensitivity@specificity", "sensitivity@specificity=", "@=0.9", ",",
        "sensitivity@sensitivity=0.9", "ppv@sensitivity=0.9", "sensitivity@specificity=0",
        "sensitivity@specificity=1.1", "sensitivity@specificity=-0.5",
        "sensitivity@specificity=nan",
        "sensitivity@specificity=0.9,", "sensitivity@specificity=0.9;specificity@sensitivity=0.9",
        "sensitivity@specificity=0.9,sensitivity@specificity=0.90", "sensitivity@specificity=90%",
        "sensitivity@specificity=0.9\nx",
    ],
)  # fmt: skip
def test_rubbish_is_refused_in_a_line(rubbish):
    with pytest.raises(ValueError, match=r"give sensitivity@|twice") as refused:
        operating_points(rubbish)
    assert "\n" not in str(refused.value)


def test_subgroups():
    assert questions.subgroups("sex, age:40:60,view") == (
        Attribute("sex"), Attribute("age", (40.0, 60.0)), Attribute("view"),
    )  # fmt: skip
    assert questions.subgroups("tumour size:-1.5:2e1")[0].cuts == (-1.5, 20.0)
    assert questions.subgroups("") == ()


def test_prevalence_is_of_all_or_by_name():
    assert questions.prevalence("0.02") == 0.02
    assert questions.prevalence("melanoma:0.02,a: b:0.5") == {"melanoma": 0.02, "a: b": 0.5}
    assert questions.prevalence("") is None


def test_probabilities():
    assert questions.probabilities("0.05, .1,0.2") == (0.05, 0.1, 0.2)
    assert questions.probabilities("") == ()


@pytest.mark.parametrize(
    "read, text, message",
    [
        (questions.subgroups, "age:60:40", "'age:60:40': give a name, or a name and ascending"),
        (questions.subgroups, "age:40:40", "ascending numbers"),
        (questions.subgroups, "age:forty", "ascending numbers"),
        (questions.subgroups, "age:", "ascending numbers"),
        (questions.subgroups, "age:nan", "ascending numbers"),
        (questions.subgroups, ":40", "give a name"),
        (questions.subgroups, "sex,,view", "give a name"),
        (questions.subgroups, "sex,view,sex", "sex is there twice"),
        (questions.prevalence, "0", "'0': give a number above 0 and below 1"),
        (questions.prevalence, "1", "above 0 and below 1"),
        (questions.prevalence, "nan", "above 0 and below 1"),
        (questions.prevalence, "melanoma", "above 0 and below 1"),
        (questions.prevalence, "melanoma:2", "'melanoma:2': give a number above 0 and below 1"),
        (questions.prevalence, "0.1,0.2", "give one number, or a name and a number of each"),
        (questions.prevalence, "a:0.1,0.2", "give one number, or a name and a number of each"),
        (questions.prevalence, "a:0.1,a:0.2", "a is there twice"),
        (questions.probabilities, "0.1,1", "'1': give a number above 0 and below 1"),
        (questions.probabilities, "0.1,0.10", "0.1 is there twice"),
        (questions.probabilities, "a", "'a': give a number"),
    ],
)
def test_what_is_refused(read, text, message):
    with pytest.raises(ValueError, match=message) as refused:
        read(text)
    assert "\n" not in str(refused.value)
