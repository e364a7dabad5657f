"""Several labels per image: in columns of values, or in a column of names."""

import pytest

from data_builders.derm_cases.manifest import read_manifest
from data_builders.reading.findings import parse_findings
from data_builders.schema import BadData
from tests.data_builders.manifests import cases_of, expect_fault, read

pytestmark = pytest.mark.usefixtures("image_folder")


def findings_of(manifest):
    """{image_id: its findings}."""
    return {
        image.image_id: image.findings
        for case in cases_of(manifest).values()
        for image in case.images
    }


def test_parse_findings():
    assert parse_findings("") == ()
    assert parse_findings(" Edema , Pleural Effusion") == ("Edema", "Pleural Effusion")


@pytest.mark.parametrize(
    "text, message",
    [
        ("Edema,,Mass", "--findings=Edema,,Mass: an empty name"),
        ("Edema, ", "--findings=Edema, : an empty name"),
        (" ", "--findings= : an empty name"),
        ("Edema,Mass, Edema", "--findings=Edema,Mass, Edema: Edema is named twice"),
        (
            "Edema,Mass,edema",
            "--findings=Edema,Mass,edema: it has both Edema and edema, which differ only by case; "
            "--ids=literal takes both",
        ),
    ],
)
@pytest.mark.parametrize("findings_column", ["", "found"])
def test_list_of_findings_that_is_wrong(text, message, findings_column):
    expect_fault(
        "image,case_id,Edema,Mass,found\na.png,c1,1,0,Edema\n",
        message,
        findings=text,
        findings_column=findings_column,
    )


# ---------------------------------------------------------------- columns of values


def test_columns_of_values():
    manifest = read(
        "image,case_id,Mass,Pleural Effusion,age,Edema\n"
        "a.png,c1,1,0,40,-1\nb.png,c2,1.0,0.0,40,-1.0\nc.png,c3,,,40,\nd.png,c4,,0,40, 1\n",
        findings="Edema,Pleural Effusion",
    )
    assert manifest.finding_names == ("Edema", "Pleural Effusion")
    assert manifest.class_names == ()
    assert findings_of(manifest) == {
        "a.png": (-1, 0),
        "b.png": (-1, 0),
        "c.png": (-2, -2),
        "d.png": (1, 0),
    }
    assert cases_of(manifest)["c1"].attributes == {"Mass": "1", "age": "40"}


@pytest.mark.parametrize("value", ["2", "-2", "yes", "1.5", "none", "inf", "1e-9", "1,0"])
def test_value_that_is_none(value):
    expect_fault(
        f'image,case_id,Mass,Edema\na.png,c1,1,0\n\nb.png,c2,,"{value}"\n',
        f"cases.csv row 4: column Edema holds {value}, expected 1, 0, -1 or blank",
        findings="Mass,Edema",
    )


@pytest.mark.parametrize(
    "text, value",
    [("1.00", 1), ("+1", 1), ("01", 1), ("1e0", 1), ("0e0", 0), ("-0.0", 0), ("-1.000", -1)],
)
def test_spellings_of_the_values(text, value):
    manifest = read(f"image,case_id,Edema\na.png,c1,{text}\n", findings="Edema")
    found = findings_of(manifest)["a.png"]
    assert found == (value,) and type(found[0]) is int


TAKEN = [
    ("image", "image"),
    ("lesion", "case_id"),
    ("patient_id", "patient_id"),
    ("view_position", "view"),
    ("split", "split"),
]


@pytest.mark.parametrize("column, use", TAKEN)
def test_columns_that_are_something_else_already(column, use):
    text = (
        "image,lesion,patient_id,view_position,split,label,Edema\n"
        "a.png,1,1,1,train,Mass,1\nb.png,0,0,0,test,Mass,0\n"
    )
    expect_fault(
        text,
        f"--findings_column={column}: column {column} is the {use} already",
        findings_column=column,
        columns="case_id=lesion",
    )
    expect_fault(
        text,
        f"--findings=Edema,{column}: column {column} is the {use} already",
        findings=f"Edema,{column}",
        columns="case_id=lesion",
    )


@pytest.mark.parametrize(
    "findings, message",
    [
        ("Mass,Hernia", "no column Hernia; it has image, case_id, Mass, Edema"),
        ("Edma", "no column Edma; it has image, case_id, Mass, Edema; did you mean Edema?"),
        ("edema", "no column edema; it has image, case_id, Mass, Edema; did you mean Edema?"),
    ],
)
def test_columns_that_are_not_there(findings, message):
    expect_fault(
        "image,case_id,,Mass,Edema\na.png,c1,x,1,0\n",
        f"--findings={findings}: cases.csv has {message}",
        findings=findings,
    )


def test_label_is_an_attribute_beside_findings():
    text = "image,case_id,label,Edema\na.png,c1,wart,1\nb.png,c1,nevus,1\nc.png,c2,,0\n"
    manifest = read(text, findings="Edema")
    assert manifest.class_names == ()
    assert cases_of(manifest)["c1"].attributes == {"label": ["wart", "nevus"]}
    assert {i.class_label for c in cases_of(manifest).values() for i in c.images} == {-1}
    named = read(text.replace("label", "dx"), findings="Edema", columns="label=dx")
    assert cases_of(named)["c1"].attributes == {"dx": ["wart", "nevus"]}


def test_findings_that_nobody_states():
    expect_fault(
        "image,case_id,Mass,Edema\na.png,c1,,\nb.png,c2, ,\n",
        "--findings=Mass,Edema: no row of cases.csv states any of them",
        findings="Mass,Edema",
    )
    expect_fault(
        "image,case_id,Edema\n\n", "--manifest=cases.csv: no images in it", findings="Edema"
    )


def test_manifest_without_findings_has_none():
    manifest = read("image,case_id,label,Edema\na.png,c1,x,1\n")
    assert manifest.finding_names == ()
    assert findings_of(manifest) == {"a.png": ()}
    assert cases_of(manifest)["c1"].attributes == {"Edema": "1"}


# ---------------------------------------------------------------- a column of names

NAMES = (
    "image,case_id,labels,age\n"
    "a.png,c1,Mass|Pleural  Effusion,40\nb.png,c2, Edema | Mass|Edema|,40\nc.png,c3,,40\n"
    "d.png,c4,No Finding,40\ne.png,c5,no finding,40\n"
)


def test_column_of_names():
    manifest = read(NAMES, findings_column="labels")
    assert manifest.finding_names == ("Edema", "Mass", "Pleural Effusion")
    assert manifest.class_names == ()
    assert findings_of(manifest) == {
        "a.png": (0, 1, 1),
        "b.png": (1, 1, 0),
        "c.png": (-2, -2, -2),
        "d.png": (0, 0, 0),
        "e.png": (0, 0, 0),
    }
    assert cases_of(manifest)["c1"].attributes == {"age": "40"}


def test_names_chosen_and_ordered():
    manifest = read(NAMES, findings="Pleural Effusion, Edema", findings_column=" labels ")
    assert manifest.finding_names == ("Pleural Effusion", "Edema")
    assert findings_of(manifest) == {
        "a.png": (1, 0),
        "b.png": (0, 1),
        "c.png": (-2, -2),
        "d.png": (0, 0),
        "e.png": (0, 0),
    }
    only_others = read(NAMES, findings="Edema", findings_column="labels")
    assert findings_of(only_others)["a.png"] == (0,)


def test_the_column_may_be_that_of_the_classes():
    manifest = read("image,case_id,label\na.png,c1,Mass|Edema\n", findings_column="label")
    assert (manifest.class_names, manifest.finding_names) == ((), ("Edema", "Mass"))
    assert cases_of(manifest)["c1"].attributes == {}


@pytest.mark.parametrize(
    "findings, hint",
    [
        ("Edema,Hernia", "Hernia; it has Edema, Mass, Pleural Effusion"),
        ("Edma", "Edma; it has Edema, Mass, Pleural Effusion; did you mean Edema?"),
        ("No Finding", "No Finding; it has Edema, Mass, Pleural Effusion"),
    ],
)
def test_names_that_never_occur(findings, hint):
    expect_fault(
        NAMES,
        f"--findings={findings}: column labels of cases.csv has no finding {hint}",
        findings=findings,
        findings_column="labels",
    )


@pytest.mark.parametrize("findings", ["", "edema", "Mass,Edema"])
def test_names_that_differ_only_by_case(findings):
    text = "image,case_id,labels\na.png,c1,Mass|edema\nb.png,c2,Edema\nc.png,c3,Mass\n"
    expect_fault(
        text,
        "--findings_column=labels: column labels of cases.csv has both Edema and edema, "
        "which differ only by case; --ids=literal takes both",
        findings=findings,
        findings_column="labels",
    )
    others = read(text, findings="Mass", findings_column="labels")
    assert findings_of(others) == {"a.png": (1,), "b.png": (0,), "c.png": (1,)}


@pytest.mark.parametrize("findings", ["", "Mass"])
def test_no_finding_beside_a_finding(findings):
    expect_fault(
        "image,case_id,labels\na.png,c1,Mass\nb.png,c2,No finding|Edema\n",
        "cases.csv row 3: column labels holds No finding|Edema, but No Finding stands alone",
        findings=findings,
        findings_column="labels",
    )


def test_column_of_names_that_is_not_there():
    expect_fault(
        NAMES,
        "--findings_column=label: cases.csv has no column label; "
        "it has image, case_id, labels, age; did you mean labels?",
        findings_column="label",
    )


@pytest.mark.parametrize("cells", [("", ""), ("No Finding", ""), ("|", " | ")])
def test_column_that_names_nothing(cells):
    expect_fault(
        f"image,case_id,labels\na.png,c1,{cells[0]}\nb.png,c2,{cells[1]}\n",
        "--findings_column=labels: no row of cases.csv names a finding",
        findings_column="labels",
    )


# ---------------------------------------------------------------- cases


ADVICE = "; if the images of a case may differ, say --labels_shared_by_case=false"


@pytest.mark.parametrize("value, other", [("1", "0"), ("0", "1"), ("-1", "1"), ("0", "-1")])
def test_findings_of_a_case_must_agree(value, other):
    text = f"image,case_id,Mass,Edema\na.png,c1,1,\nb.png,c1,1,{other}\nc.png,c1,,{value}\n"
    expect_fault(
        text,
        f"cases.csv row 4: case c1 has Edema {value}, but {other} in cases.csv row 3{ADVICE}",
        findings="Mass,Edema",
    )
    apart = read(text, findings="Mass,Edema", labels_shared_by_case=False)
    assert findings_of(apart) == {
        "a.png": (1, -2),
        "b.png": (1, int(other)),
        "c.png": (-2, int(value)),
    }


def test_names_of_a_case_must_agree():
    expect_fault(
        "image,case_id,labels\na.png,c1,Edema|Mass\nb.png,c2,\nc.png,c1,Edema\n",
        f"cases.csv row 4: case c1 has Mass 0, but 1 in cases.csv row 2{ADVICE}",
        findings_column="labels",
    )


def test_findings_of_one_image_are_those_of_its_case():
    text = "image,case_id,A,B,C\na.png,c1,,-1,\nb.png,c1,0,,\nc.png,c1,,-1,\nd.png,c2,,,1\n"
    case, other = (0, -1, -2), (-2, -2, 1)
    assert findings_of(read(text, findings="A,B,C")) == {
        "a.png": case,
        "b.png": case,
        "c.png": case,
        "d.png": other,
    }


# ---------------------------------------------------------------- folders and fingerprint


@pytest.mark.parametrize("flag", ["findings", "findings_column"])
def test_folders_have_no_columns(image_folder, flag):
    (image_folder / "cases" / "c1").mkdir(parents=True)
    with pytest.raises(BadData) as caught:
        read_manifest("cases", **{flag: "x"})
    assert str(caught.value) == f"--{flag}=x: --manifest=cases is a folder, not a CSV"


def test_fingerprint_covers_findings_and_their_names():
    text = "image,case_id,Mass,Edema\na.png,c1,1,0\nb.png,c2,0,\n"
    both = {"findings": "Mass,Edema"}
    seen = [
        read(text),
        read(text, **both),
        read(text, findings="Edema,Mass"),
        read(text, findings="Mass"),
        read(text.replace("c2,0,", "c2,1,"), **both),
        read(text.replace("c2,0,", "c2,0,0"), **both),
        read(text.replace("Edema", "Hernia"), findings="Mass,Hernia"),
        read(text, **both, labels_shared_by_case=False),
    ]
    assert len({manifest.fingerprint for manifest in seen}) == len(seen)
    again = read(text.replace("1,0\n", "1.0,0.0\n"), **both)
    assert again.fingerprint == seen[1].fingerprint
