"""Which columns of a manifest are ours."""

import pytest

from data_builders.reading.columns import column_places, exact_only, parse_columns
from data_builders.reading.tables import Table
from tests.data_builders.manifests import cases_of, expect_fault, read, split_of

pytestmark = pytest.mark.usefixtures("image_folder")


def places(header, columns=""):
    with open("cases.csv", "w", encoding="utf-8") as file:
        file.write(f"{header}\n")
    table = Table("cases.csv")
    found = column_places(table, parse_columns(columns))
    return {ours: table.header[place] for ours, place in found.items()}


@pytest.mark.parametrize(
    "header, columns, found",
    [
        ("image,case_id", "", {}),
        ("Image,Case_ID", "", {"image": "Image", "case_id": "Case_ID"}),
        ("IMAGE,CaseId", "", {"image": "IMAGE", "case_id": "CaseId"}),
        ("image,case-id,Patient ID", "", {"case_id": "case-id", "patient_id": "Patient ID"}),
        (
            "image,case id,patientID,StudyID",
            "",
            {"case_id": "case id", "patient_id": "patientID", "study_id": "StudyID"},
        ),
        (
            "image,case_id,LABEL,SPLIT,View",
            "",
            {"label": "LABEL", "split": "SPLIT", "view": "View"},
        ),
        ("image,case_id,ViewPosition", "", {"view": "ViewPosition"}),
        ("image,case_id,View Position", "", {"view": "View Position"}),
        ("image,case_id,view_position", "", {"view": "view_position"}),
        # An exact name wins.
        ("image,case_id,label,Label", "", {"label": "label"}),
        ("image,case_id,Label,label", "", {"label": "label"}),
        ("image,case_id,view_position,View", "", {"view": "view_position"}),
        ("image,case_id,view_position,view", "", {"view": "view"}),
        # Other letters count.
        ("image,case_id,labels,patient,Label2", "", {}),
        ("image,case_id,patient.id", "", {}),
        # --columns: what it names, in any spelling, and nothing where it names nothing.
        ("Image,Case_ID,dx", "label=dx", {"image": "Image", "case_id": "Case_ID", "label": "dx"}),
        ("image,case_id,DX", "label=dx", {"label": "DX"}),
        ("image,case_id,dx,DX", "label=dx", {"label": "dx"}),
        ("image,case_id,Split,label", "split=", {"label": "label"}),
        ("image,case_id,split,label", "split=,label=", {}),
        # What --columns names for another of ours is not taken for a name that is alike.
        ("image,case_id,Label", "patient_id=Label", {"patient_id": "Label"}),
        ("image,case_id,label", "patient_id=label", {"patient_id": "label", "label": "label"}),
    ],
)
def test_names(header, columns, found):
    assert places(header, columns) == {"image": "image", "case_id": "case_id"} | found


@pytest.mark.parametrize(
    "header, columns, message",
    [
        ("image,case_id,Label,LABEL", "",
         "cases.csv row 1: Label and LABEL may each be the column label; say which with "
         "--columns=label=Label"),
        ("image,case_id,Patient ID,PatientID", "",
         "cases.csv row 1: Patient ID and PatientID may each be the column patient_id; say which "
         "with --columns=patient_id=Patient ID"),
        ("image,case_id,View,ViewPosition", "",
         "cases.csv row 1: View and ViewPosition may each be the column view; say which with "
         "--columns=view=View"),
        ("image,case_id", "case_id=",
         "--columns=case_id=: 'case_id=' is not OURS=YOURS with OURS one of image, case_id, "
         "patient_id, study_id, label, view, split"),
    ],
)  # fmt: skip
def test_names_that_fit_twice(header, columns, message):
    expect_fault(f"{header}\na.png,c1,x,y\n", message, columns=columns)


def test_a_table_in_capitals_is_read_like_another():
    text = "image,case_id,patient_id,label,view,split\na.png,c1,p1,x,front,TRAIN\n"
    text += "b.png,c2,p2,y,side,Valid\nc.png,c3,p3,x,side,TEST\n"
    small, large = (
        read(text),
        read(
            text.replace(
                "image,case_id,patient_id,label,view,split",
                "Image,Case ID,PatientID,Label,VIEW,Split",
            )
        ),
    )
    assert split_of(small) == split_of(large) == {"c1": "train", "c2": "validation", "c3": "test"}
    assert small.fingerprint == large.fingerprint and large.notes == ()
    assert cases_of(large)["c2"].attributes == {}
    apart = read(text.replace(",split", ",Split"), columns="split=")
    assert cases_of(apart)["c2"].attributes == {"Split": "Valid"}


@pytest.mark.parametrize(
    "header, columns, note",
    [
        ("dx", "", "dx (label); to use them: --columns=label=dx"),
        (
            "Finding Labels",
            "",
            "Finding Labels (label); to use them: '--columns=label=Finding Labels'",
        ),
        (
            "diagnosis,subject",
            "",
            "subject (patient_id), diagnosis (label); to use them: "
            "--columns=patient_id=subject,label=diagnosis",
        ),
        ("lesion_id", "", "lesion_id (case_id); to use them: --columns=case_id=lesion_id"),
        ("dx,age", "view=age", "dx (label); to use them: --columns=view=age,label=dx"),
        ("label,dx", "", None),
        ("dx", "label=", None),
        ("dx,y", "label=y", None),
        ("age,sex", "", None),
    ],
)
def test_columns_that_look_like_ours(header, columns, note):
    row = ",".join(["x"] * (header.count(",") + 1))
    notes = read(f"image,case_id,{header}\na.png,c1,{row}\n", columns=columns).notes
    found = [text for text in notes if text.startswith("read as attributes")]
    expected = f"read as attributes, though their names look like ours: {note}"
    assert found == ([expected] if note else [])


def test_with_findings_a_label_is_an_attribute():
    source = read(
        "image,case_id,diagnosis,Label,Mass\na.png,c1,x,y,1\nb.png,c2,x,y,0\n", findings="Mass"
    )
    assert cases_of(source)["c1"].attributes == {"diagnosis": "x", "Label": "y"}
    assert not [note for note in source.notes if "look like" in note]


@pytest.mark.parametrize(
    "header, columns, exact",
    [
        ("image,case_id,label", "", ""),
        ("image,case_id,Label,view_position", "", "label="),
        ("image,case_id,Label,PatientID,x", "view=x", "view=x,patient_id=,label="),
        ("image,case_id,label,View", "", "view="),
    ],
)
def test_how_versions_before_read_them(header, columns, exact):
    places(header)
    assert exact_only(Table("cases.csv"), columns) == exact


def test_a_finding_that_is_called_like_a_column_of_ours():
    source = read("image,case_id,View,Mass\na.png,c1,1,0\nb.png,c2,0,1\n", findings="View,Mass")
    assert source.finding_names == ("View", "Mass")
    assert cases_of(source)["c1"].images[0].findings == (1, 0)


def test_a_column_that_is_not_a_split():
    expect_fault(
        "image,case_id,Split\na.png,c1,0\n",
        "cases.csv row 2: split 0 is not one of train, validation, test; if the column Split is "
        "not ours, say --columns=split=",
    )
