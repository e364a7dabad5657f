"""When two ids are one: tables of right values, and what tables with such ids become."""

import pytest

from data_builders.grouping import ReadOptions
from data_builders.ids import Spellings, alike, as_text, is_shortened, refuse_alike, repr_of
from data_builders.schema import BadData
from tests.data_builders.manifests import cases_of, expect_fault, read, split_of

pytestmark = pytest.mark.usefixtures("image_folder")

COMPOSED, DECOMPOSED = "M\u00fcller", "Mu\u0308ller"


@pytest.mark.parametrize(
    "one, other",
    [
        (COMPOSED, DECOMPOSED),
        ("A", "A\u200b"),
        ("A", "\ufeffA"),
        ("A1", "A\u200d1"),
        ("A B", "A  B"),
        ("A B", "A\u00a0B"),
        ("A B", " A\u2003B\t"),
        ("u\u0308", "u\u200b\u0308"),
    ],
)
def test_one_text(one, other):
    assert as_text(one) == as_text(other) and alike(one) == alike(other)


@pytest.mark.parametrize(
    "one, other",
    [
        ("Smith", "smith"),
        ("SMITH", "smith"),
        ("Stra\u00dfe", "STRASSE"),
        (
            "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
            "\u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3",
        ),
        (COMPOSED, DECOMPOSED.upper()),
        ("7", "007"),
        ("7", "7.0"),
        ("7", "07.00"),
        ("0", "000"),
        ("0", "0.0"),
        ("10", "10.0"),
        ("12345678901234567890", "0012345678901234567890.0"),
    ],
)
def test_alike_but_another_text(one, other):
    assert alike(one) == alike(other) and as_text(one) != as_text(other)


@pytest.mark.parametrize(
    "one, other",
    [
        ("1.1", "1.10"),
        ("7", "70"),
        ("7", "7.01"),
        ("A1", "A2"),
        ("A1", "A01"),
        ("7", "-7"),
        ("7", "+7"),
        ("7", "7."),
        ("1", "1.0.0"),
        ("1e3", "1000"),
        ("12345678901234567", "12345678901234568"),  # one number in floating point
        ("A B", "AB"),
        ("A-1", "A1"),
        ("M\u00fcller", "Muller"),
        ("Muller", "Mueller"),
    ],
)
def test_two_ids(one, other):
    assert alike(one) != alike(other)


@pytest.mark.parametrize(
    "text, shortened",
    [
        ("8.05E+37", True), ("1E+11", True), ("1.2e+15", True), ("8,05E+37", True),
        ("2.5E-05", False), ("1e5", False), ("12E5", False), ("805", False), ("8.05", False),
        ("E+37", False), ("P8.05E+37", False), ("18.05E+37", False),
    ],
)  # fmt: skip
def test_shortened_by_a_spreadsheet(text, shortened):
    assert is_shortened(text) is shortened


def test_spellings_in_the_order_of_the_rows():
    found = Spellings(["7", "b", "007", "", "B", "7", "7.0", ""], alike)
    assert found.groups == [["7", "007", "7.0"], ["b", "B"]]
    assert found.first == {"7": "7", "007": "7", "7.0": "7", "b": "b", "B": "b"}
    assert found.of("007") == ["7", "007", "7.0"] and found.of("c") == ["c"]
    assert found.note("patients") == (
        "patients written in several ways, each taken for one: 2, as 7 and 007; "
        "--ids=literal takes them as they are written"
    )


def test_what_cannot_be_seen_is_shown():
    assert repr_of("A B") == "A B" and repr_of(COMPOSED) == COMPOSED
    assert repr_of("A\u200b") == '"A<U+200B>"'
    assert repr_of("A  B") == '"A  B"'
    assert repr_of(DECOMPOSED) == '"Mu<U+0308>ller"'


def literal():
    return ReadOptions(ids="literal")


def table(*rows, header="image,case_id,patient_id,label,split"):
    return "\n".join([header, *rows]) + "\n"


def test_the_first_spelling_is_stored_and_the_patient_in_one_split():
    patients = ("Smith", "smith", "007", "7", "7.0", "8")
    rows = [f"{'abcdef'[k]}.png,c{k},{patient},x," for k, patient in enumerate(patients)]
    source = read(table(*rows))
    patient = {name: case.patient_id for name, case in cases_of(source).items()}
    assert patient == {
        "c0": "Smith",
        "c1": "Smith",
        "c2": "007",
        "c3": "007",
        "c4": "007",
        "c5": "8",
    }
    split = split_of(source)
    assert split["c0"] == split["c1"] and split["c2"] == split["c3"] == split["c4"]
    assert source.notes[0] == (
        "patients written in several ways, each taken for one: 2, as Smith and smith; "
        "--ids=literal takes them as they are written"
    )


def test_a_patient_of_two_spellings_in_two_splits():
    rows = ["a.png,c1,7,x,train", "b.png,c2,007,x,test", "c.png,c3,9,x,validation"]
    expect_fault(
        table(*rows),
        "cases.csv row 3: patient 007 is in test, but in train in cases.csv row 2; a patient must "
        "stay in one split; 7, 007 are taken for one, unless --ids=literal",
    )
    split = split_of(read(table(*rows), options=literal()))
    assert split == {"c1": "train", "c2": "test", "c3": "validation"}


def test_case_ids_that_are_one_text():
    source = read(table("a.png,c 1,,x,", "b.png,c  1,,x,", "c.png,c\u200b 1,,x,", "d.png,d,,x,"))
    assert {name: len(case.images) for name, case in cases_of(source).items()} == {"c 1": 3, "d": 1}
    assert source.notes[0].startswith(
        "cases written in several ways, each taken for one: 1, as c 1 and"
    )
    apart = read(table("a.png,c 1,,x,", "b.png,c  1,,x,", "d.png,d,,x,"), options=literal())
    assert sorted(cases_of(apart)) == ["c  1", "c 1", "d"]


@pytest.mark.parametrize(
    "one, other", [("c1", "C1"), ("7", "007"), ("7", "7.0"), (COMPOSED, COMPOSED.upper())]
)
def test_case_ids_that_are_alike_are_refused(one, other):
    text = table(f"a.png,{one},,x,", "b.png,other,,x,", f"c.png,{other},,x,")
    expect_fault(
        text,
        f"cases.csv row 4: case {other}, but {one} in cases.csv row 2: they differ only by upper "
        "and lower case or the form of a number; write them alike if they are one, or say "
        "--ids=literal if they are two",
    )
    assert sorted(cases_of(read(text, options=literal()))) == sorted([one, "other", other])


def test_labels():
    text = table(f"a.png,c1,,{COMPOSED},", f"b.png,c2,,{DECOMPOSED},", "c.png,c3,,x,")
    source = read(text)
    assert source.class_names == (COMPOSED, "x")
    labels = {name: case.images[0].class_label for name, case in cases_of(source).items()}
    assert labels == {"c1": 0, "c2": 0, "c3": 1}
    assert len(read(text, options=literal()).class_names) == 3
    text = table("a.png,c1,,Fibrosis,", "b.png,c2,,fibrosis,", "c.png,c3,,x,")
    expect_fault(
        text,
        "cases.csv row 3: label fibrosis, but Fibrosis in cases.csv row 2: they differ only by "
        "upper and lower case or the form of a number; write them alike if they are one, or say "
        "--ids=literal if they are two",
    )
    assert read(text, options=literal()).class_names == ("Fibrosis", "fibrosis", "x")
    with pytest.raises(BadData, match=r"row 3: label 1.0, but 1 in cases.csv row 2: "):
        read(table("a.png,c1,,1,", "b.png,c2,,1.0,", "c.png,c3,,0,"))


def test_of_cases_and_labels_that_are_alike_the_case_is_named():
    text = table("a.png,c1,,x,", "b.png,C1,,X,")
    with pytest.raises(BadData, match=r"^cases.csv row 3: case C1, but c1 in cases.csv row 2: "):
        read(text)


def test_findings_that_are_one_text():
    text = f"image,case_id,found\na.png,c1,{COMPOSED}|x\nb.png,c2,{DECOMPOSED}\n"
    source = read(text, findings_column="found")
    assert source.finding_names == (COMPOSED, "x")
    assert cases_of(source)["c2"].images[0].findings == (1, 0)


def test_names_of_cases_that_a_spreadsheet_shortened():
    expect_fault(
        table("a.png,8.05E+37,,x,", "b.png,c2,,x,"),
        "cases.csv row 2: column case_id holds 8.05E+37, a number that a spreadsheet shortened: "
        "others "
        "may be shortened to the same; export ids as text, or say --ids=literal if they are called "
        "so",
    )
    assert len(cases_of(read(table("a.png,8.05E+37,,x,", "b.png,c2,,x,"), options=literal()))) == 2
    source = read(table("a.png,c1,8.05E+37,x,", "b.png,c2,8.05E+37,x,", "c.png,c3,9,x,"))
    assert source.notes[0] == (
        "patient_id was shortened by a spreadsheet, as 8.05E+37, so that several patients may pass "
        "for one: 2 images"
    )


@pytest.mark.parametrize("column", [1, 2])
def test_ids_that_are_too_long(column):
    row = ["a.png", "c1", "p1", "x", ""]
    row[column] = "i" * 1000
    assert len(cases_of(read(table(",".join(row), "b.png,c2,p2,x,")))) == 2
    row[column] += "i"
    name = ("image", "case_id", "patient_id")[column]
    expect_fault(
        table(",".join(row), "b.png,c2,p2,x,"),
        f"cases.csv row 2: {name} has 1,001 characters; ids of up to 1,000 are taken",
    )


def test_refusing_takes_the_first_rows():
    class Row:
        def __init__(self, where, name):
            self.where, self.name = where, name

    refuse_alike(
        [Row("1", ""), Row("2", ""), Row("3", "a"), Row("4", "a"), Row("5", "b")], "name", "x"
    )
    with pytest.raises(BadData, match=r"^4: x A, but a in 2: "):
        refuse_alike([Row("1", ""), Row("2", "a"), Row("3", "b"), Row("4", "A")], "name", "x")
