"""What stands for nothing in a manifest, column by column."""

import pytest

from data_builders.reading.missing import Missing
from tests.data_builders.manifests import cases_of, expect_fault, read, split_of

pytestmark = pytest.mark.usefixtures("image_folder")

# pandas.read_csv's default na_values (2.x), and NaT.
PANDAS = [
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "NaT",
]  # fmt: skip
DOUBTFUL = ["N/A", "NA", "NULL", "None", "n/a", "null"]


def table(text, column):
    """Three cases; the second one has the text in a column."""
    header = ["image", "case_id", "patient_id", "study_id", "label", "view", "split"]
    rows = [[f"{n}.png", f"c{n}", f"p{n}", f"s{n}", "x", "front", s] for n, s in
            zip("abc", ("train", "validation", "test"), strict=True)]  # fmt: skip
    rows[1][header.index(column)] = text
    return "\n".join(map(",".join, [header, *rows])) + "\n"


@pytest.mark.parametrize("text", PANDAS)
def test_blank_in_these_columns(text):
    """Like a blank, in all but notes and the name of the data."""
    for column in ("patient_id", "study_id", "view", "split"):
        source, blank = read(table(text, column)), read(table("", column))
        assert split_of(source) == split_of(blank)
        found, expected = cases_of(source)["cb"], cases_of(blank)["cb"]
        assert found.patient_id == expected.patient_id
        assert found.images[0].view_position == expected.images[0].view_position
        assert source.fingerprint == blank.fingerprint
        note = (
            f"taken for blank: {text} in {column} (1 row); --missing= takes such texts as they are"
        )
        assert [n for n in source.notes if n not in blank.notes] == [note]


@pytest.mark.parametrize("text", PANDAS)
def test_labels(text):
    if text in DOUBTFUL:
        expect_fault(
            table(text, "label"),
            f"cases.csv row 3: column label holds {text}, which may be a class or nothing: say "
            f"--missing= if it is a class, or --missing={text},nan if nothing is known there",
        )
    else:
        assert read(table(text, "label")).class_names == ("x",)
        assert cases_of(read(table(text, "label")))["cb"].images[0].class_label == -1
    assert sorted(read(table(text, "label"), missing="").class_names) == sorted(["x", text])
    assert read(table(text, "label"), missing=f"y,{text}").class_names == ("x",)


@pytest.mark.parametrize("text", PANDAS)
def test_case_ids(text):
    expect_fault(
        table(text, "case_id"),
        f"cases.csv row 3: column case_id holds {text}, which stands for nothing; give the case an "
        "id, or say --missing= if it is called so",
    )
    assert text in cases_of(read(table(text, "case_id"), missing=""))


@pytest.mark.parametrize("text", ["none", "Nan", "unknown", "0", "-", "?", "NAs", "missing"])
def test_texts_that_say_something(text):
    """What pandas reads as a text is one; what else stands for nothing is for --missing to say."""
    assert cases_of(read(table(text, "patient_id")))["cb"].patient_id == text
    assert text in read(table(text, "label")).class_names
    assert text in cases_of(read(table(text, "case_id")))


def test_the_list_is_replaced():
    source = read(table("unknown", "patient_id"), missing=" unknown , ?")
    assert cases_of(source)["cb"].patient_id == ""
    assert cases_of(read(table("nan", "patient_id"), missing="unknown"))["cb"].patient_id == "nan"
    assert read(table("None", "label"), missing="unknown").class_names == ("None", "x")


@pytest.mark.parametrize("text", PANDAS)
def test_columns_of_findings(text):
    source = read(
        f"image,case_id,Mass,Edema\na.png,c1,1,{text}\nb.png,c2,{text},0\n", findings="Mass,Edema"
    )
    assert cases_of(source)["c1"].images[0].findings == (1, -2)
    assert cases_of(source)["c2"].images[0].findings == (-2, 0)
    assert f"{text} in Edema (1 row), {text} in Mass (1 row)" in source.notes[0]


@pytest.mark.parametrize("text", PANDAS)
def test_names_of_findings(text):
    rows = f"image,case_id,found\na.png,c1,Mass|Edema\nb.png,c2,{text}\nc.png,c3,Mass|{text}\n"
    if text in DOUBTFUL:
        with pytest.raises(
            ValueError, match=f"row 3: column found holds {text}, which may be a class"
        ):
            read(rows, findings_column="found")
        return
    source = read(rows, findings_column="found")
    assert source.finding_names == ("Edema", "Mass")
    values = {name: case.images[0].findings for name, case in cases_of(source).items()}
    assert values == {"c1": (1, 1), "c2": (-2, -2), "c3": (0, 1)}


def test_attributes_and_names_of_images_are_texts():
    source = read("image,case_id,age\na.png,c1,nan\nb.png,c2,3\n")
    assert cases_of(source)["c1"].attributes == {"age": "nan"}
    expect_fault("image,case_id\nnan,c1\n", "cases.csv row 2: no such image: nan")


def test_a_blank_that_nobody_sees():
    expect_fault("image,case_id\na.png,\u200b\n", "cases.csv row 2: column case_id is blank")
    assert cases_of(read("image,case_id,patient_id\na.png,c,\ufeff\u200b\n"))["c"].patient_id == ""


@pytest.mark.parametrize("text", ["nan\u200b", "\ufeffNaN", "\u00a0nan"])
def test_words_with_something_that_nobody_sees(text):
    assert read(table(text, "label")).class_names == ("x",)
    assert cases_of(read(table(text, "patient_id")))["cb"].patient_id == ""
    with pytest.raises(ValueError, match="which stands for nothing"):
        read(table(text, "case_id"))


def test_a_finding_that_nobody_sees():
    source = read("image,case_id,Mass\na.png,c1,\u200b\nb.png,c2,1\u200b\n", findings="Mass")
    assert [case.images[0].findings for case in cases_of(source).values()] == [(-2,), (1,)]


def test_counts():
    missing = Missing()
    cells = [
        ("patient_id", "nan"),
        ("patient_id", "nan"),
        ("view", "NA"),
        ("view", "x"),
        ("view", ""),
    ]
    assert [missing.read("row", *cell) for cell in cells] == ["", "", "", "x", ""]
    assert missing.note() == (
        "taken for blank: nan in patient_id (2 rows), NA in view (1 row); --missing= takes such "
        "texts as they are"
    )
    assert Missing().note() == ""
