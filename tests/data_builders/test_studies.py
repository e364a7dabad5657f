"""What studies say of patients who are not known, and studies that are numbers."""

import pytest

from data_builders.grouping import ReadOptions, group_rows
from data_builders.splits import choose_split
from tests.data_builders.manifests import cases_of, split_of
from tests.data_builders.test_grouping import rows_of

# Image, case, patient, study, label: both breasts of a woman in a study, as VinDr-Mammo has them.
BREASTS = "\n".join(
    f"i{s}{side}{k} s{s}{side} - st{s} x" for s in range(40) for side in "LR" for k in "12"
)
# Two studies each, numbered within the patient, who is the case, as MURA has them.
NUMBERS = "\n".join(
    f"i{p}_{s}_{k} p{p} - study{s} x" for p in range(12) for s in "12" for k in "ab"
)


def group(text, group_by="case", ids="alike", **changes):
    return group_rows(rows_of(text, **changes), ReadOptions(group_by, ids=ids))


def of_image(source, value):
    """{image: what `value` gives for its case}."""
    return {i.image_id: value(c) for c in cases_of(source).values() for i in c.images}


@pytest.mark.parametrize("group_by", ["case", "image"])
def test_the_cases_of_a_study_stay_in_one_split(group_by):
    source = group(BREASTS, group_by)
    split = split_of(source)
    split = of_image(source, lambda case: split[case.case_id])
    for s in range(40):
        assert {split[f"i{s}{side}{k}"] for side in "LR" for k in "12"} == {
            choose_split(f"study st{s}")
        }
    assert set(of_image(source, lambda case: case.patient_id).values()) == {
        f"study st{s}" for s in range(40)
    }
    note = (
        "patients are not known: the cases of a study stay in one split "
        "(40 of 40 studies have several)"
    )
    assert note in source.notes
    assert "no split was given: made by study: train, validation, test" in source.notes


def test_a_study_of_one_case_changes_nothing():
    """The name of the data and the splits are those of before there was a rule."""
    text = "\n".join(f"i{k} c{k} - s{k} x" for k in range(60))
    for group_by in ("case", "study", "image"):
        source, literal = group(text, group_by), group(text, group_by, "literal")
        assert source.fingerprint == literal.fingerprint and source.notes == literal.notes
        assert split_of(source) == split_of(literal)
    assert all(
        split == choose_split(f"case {case}") for case, split in split_of(group(text)).items()
    )
    # Where some studies have several cases, the others stay where they were.
    mixed = group(text + "\nj1 d1 - s1 x")
    assert {c: s for c, s in split_of(mixed).items() if c not in ("c1", "d1")} == {
        c: s for c, s in split_of(group(text)).items() if c != "c1"
    }
    assert mixed.fingerprint != group(text + "\nj1 d1 - s1 x", ids="literal").fingerprint


@pytest.mark.parametrize(
    "text",
    [
        BREASTS.replace(" - ", " p "),  # patients are known
        BREASTS + "\nmore s0L - st1 x",  # a case of two studies
    ],
)
def test_where_the_rule_does_not_hold(text):
    source, literal = group(text), group(text, ids="literal")
    assert split_of(source) == split_of(literal) and source.fingerprint == literal.fingerprint


def test_splits_of_a_study_that_contradict():
    with pytest.raises(ValueError) as caught:
        group(BREASTS, i3L1={"split": "train"}, i3R2={"split": "test"})
    assert str(caught.value) == (
        "t.csv row 17: study st3 is in test, but in train in t.csv row 14; a patient must stay in "
        "one split; studies do not count with --ids=literal"
    )


def test_spellings_of_a_study():
    text = "i1 c1 - ST1 x\ni2 c2 - st1 x\ni3 c3 - 7 x\ni4 c4 - 007 x\ni5 c5 - 8 x"
    source = group(text)
    assert of_image(source, lambda case: case.patient_id)["i5"] == ""
    split = split_of(source)
    assert split["c1"] == split["c2"] and split["c3"] == split["c4"]
    assert any(note.startswith("studies written in several ways") for note in source.notes)
    assert set(cases_of(group(text, "study"))) == {"ST1", "7", "8"}
    assert set(cases_of(group(text, "study", "literal"))) == {"ST1", "st1", "7", "007", "8"}


def test_numbers_within_the_case():
    source = group(NUMBERS, "study")
    assert {name: len(case.images) for name, case in cases_of(source).items()} == {
        f"p{p}/study{s}": 2 for p in range(12) for s in "12"
    }
    split = split_of(source)
    assert all(split[f"p{p}/study1"] == split[f"p{p}/study2"] for p in range(12))
    assert {case.patient_id for case in cases_of(source).values()} == {
        f"case p{p}" for p in range(12)
    }
    assert source.notes[:2] == (
        "study_id is a number within the case, so that a study is case/study",
        "patients are not known: the studies of a case stay in one split",
    )
    assert sorted(cases_of(group(NUMBERS, "study", "literal"))) == ["study1", "study2"]


def test_numbers_within_the_patient():
    text = NUMBERS.replace(" - ", " P ")
    text = "\n".join(line.replace(" P ", f" q{line.split()[1]} ") for line in text.splitlines())
    source = group(text, "study")
    assert sorted(cases_of(source)) == sorted(f"qp{p}/study{s}" for p in range(12) for s in "12")
    assert (
        "study_id is a number within the patient, so that a study is patient/study" in source.notes
    )


def test_studies_of_a_case_that_are_no_numbers():
    """They keep their names, and stay together."""
    text = "\n".join(f"i{c}{k} c{c} - c{c}s{k} x" for c in range(30) for k in "12")
    source = group(text, "study")
    assert sorted(cases_of(source)) == sorted(f"c{c}s{k}" for c in range(30) for k in "12")
    split = split_of(source)
    assert all(
        split[f"c{c}s1"] == split[f"c{c}s2"] == choose_split(f"case c{c}") for c in range(30)
    )


def test_known_patients_have_studies_of_their_own():
    """As `test_grouping` has them: a study of several cases of one patient is one study."""
    text = "i1 c1 p1 s1 x\ni2 c2 p1 s1 x\ni3 c2 p1 s2 x\ni4 c3 p2 s3 x"
    source = group(text, "study")
    assert sorted(cases_of(source)) == ["s1", "s2", "s3"] and len(source.notes) == 1
    assert source.fingerprint == group(text, "study", "literal").fingerprint


def test_a_study_that_many_cases_have():
    text = "\n".join(f"i{c} c{c} - study{c % 2 if c < 50 else c} x" for c in range(100))
    (note,) = [note for note in group(text).notes if "study0 has" in note]
    assert note == (
        "study study0 has 25 of 100 cases: if study_id is a number within the patient, name the "
        "column of patients with --columns=patient_id=..., or say --columns=study_id="
    )


def test_a_patient_who_may_stand_for_nobody():
    def noted(number, total):
        rows = (f"i{k} c{k} {'0' if k < number else f'p{k}'} - x" for k in range(total))
        return [note for note in group("\n".join(rows)).notes if note.startswith("patient 0 has")]

    assert noted(21, 100) == [
        "patient 0 has 21 of 100 cases, all in one split: if that stands for patients who are not "
        "known, leave patient_id blank there"
    ]
    assert noted(20, 100) == noted(21, 210) == [] and noted(22, 210)


def test_studies_of_many_images_by_study():
    """Where an image is a case, nothing tells whether study1 is one study: it is said."""
    text = "\n".join(
        f"i{p}_{s}_{k} c{p}_{s}_{k} - study{s} x" for p in range(10) for s in "12" for k in "ab"
    )
    (note,) = [note for note in group(text, "study").notes if note.startswith("study study1 has")]
    assert note.startswith(
        "study study1 has 20 of 40 cases: if study_id is a number within the patient"
    )


def test_a_case_of_two_studies_among_many_is_said():
    source = group(BREASTS + "\nmore s0L - st1 x")
    assert source.notes[0] == (
        "cases lie in several studies, as s0L (1 of 80), so that studies do not keep cases in one "
        "split"
    )


@pytest.mark.parametrize("group_by", ["image", "study"])
def test_a_patient_who_is_known_for_some_images_of_a_case(group_by):
    """The others are of the same patient, and in the same split."""
    text = "\n".join(
        f"i{c}{k} c{c} {p} s{c}{k} x" for c in range(30) for k, p in (("a", f"p{c}"), ("b", "-"))
    )
    source = group(text, group_by)
    split = split_of(source)
    split = of_image(source, lambda case: split[case.case_id])
    assert all(
        split[f"i{c}a"] == split[f"i{c}b"] == choose_split(f"patient p{c}") for c in range(30)
    )
    assert "images without a patient, which are taken to be of their case's: 30" in source.notes


def test_the_order_of_rows_where_cases_and_studies_are_written_in_several_ways():
    rows = [
        f"i{p}{form} {form}{p} - {s} x"
        for p in range(28)
        for form, s in (("\u00e9", "1"), ("e\u0301", "01"))
    ]
    rows += ["z1 zz - 1 x", "z2 zz - 2 x"]

    def splits(lines):
        source = group("\n".join(lines), "study")
        split = split_of(source)
        return of_image(source, lambda case: split[case.case_id])

    assert splits(rows) == splits(rows[::-1])
