"""From rows to cases: by any key, with the labels that agree, and in splits by patient."""

import dataclasses

import pytest

from data_builders.case_builder import CaseConfig
from data_builders.examples import check_cases
from data_builders.grouping import ImageRow, ReadOptions, group_rows
from data_builders.image_files import ImageFile
from data_builders.images import ImageOptions
from data_builders.schema import BadData, BadImages
from data_builders.splits import choose_split
from tests.data_builders.manifests import cases_of, split_of

# image, case, patient, study, label
LESIONS = """
    i1 c1 p1 s1 nevus
    i2 c1 p1 s1 -
    i3 c2 p1 s1 wart
    i4 c2 p1 s2 wart
    i5 c3 p2 s3 -
    i6 c3 p2 s3 -
"""


def rows_of(text=LESIONS, folder="photos", **changes):
    """Rows from lines of image, case, patient, study and label, "-" for blank."""
    rows = []
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 2):
        image, case, patient, study, label = (w if w != "-" else "" for w in line.split())
        path = f"{folder}/{image}.png"
        file = ImageFile(path, path, 100 + number, path)
        row = ImageRow(f"t.csv row {number}", file, image, case, patient, study, label)
        rows.append(dataclasses.replace(row, **changes.get(image, {})))
    return rows


def expect_fault(message, rows, group_by="case", **options):
    with pytest.raises(BadData) as caught:
        group_rows(rows, ReadOptions(group_by), **options)
    assert str(caught.value) == message


def without(text, column):
    """The lines with one column blank."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    return "\n".join(" ".join(w if i != column else "-" for i, w in enumerate(x)) for x in lines)


PATIENT, STUDY = 2, 3


# ---------------------------------------------------------------- the key


@pytest.mark.parametrize(
    "group_by, members",
    [
        ("case", {"c1": "i1 i2", "c2": "i3 i4", "c3": "i5 i6"}),
        ("study", {"s1": "i1 i2 i3", "s2": "i4", "s3": "i5 i6"}),
        ("patient", {"p1": "i1 i2 i3 i4", "p2": "i5 i6"}),
        ("image", {f"i{n}": f"i{n}" for n in range(1, 7)}),
    ],
)
def test_who_belongs_together(group_by, members):
    source = group_rows(rows_of(), ReadOptions(group_by))
    cases = cases_of(source)
    found = {key: " ".join(image.image_id for image in case.images) for key, case in cases.items()}
    assert found == members
    patient = {image.image_id: case.patient_id for case in cases.values() for image in case.images}
    assert patient == dict(i1="p1", i2="p1", i3="p1", i4="p1", i5="p2", i6="p2")
    # A label is the case's own before cases are made of others: i2 is a nevus in any group.
    label = {i.image_id: i.class_label for case in cases.values() for i in case.images}
    assert source.class_names == ("nevus", "wart")
    assert label == dict(i1=0, i2=0, i3=1, i4=1, i5=-1, i6=-1)
    check_cases(source.cases)


@pytest.mark.parametrize(
    "group_by, shared", [("case", True), ("study", False), ("patient", False), ("image", True)]
)
def test_whether_labels_are_shared(group_by, shared):
    """A study here holds images of two lesions, which need not be of one class."""
    assert group_rows(rows_of(), ReadOptions(group_by)).labels_shared_by_case is shared
    by_flag = group_rows(rows_of(), ReadOptions(group_by, labels_shared_by_case=False))
    by_set = group_rows(rows_of(), ReadOptions(group_by), labels_shared_by_case=False)
    assert by_flag.labels_shared_by_case is by_set.labels_shared_by_case is False


def test_labels_are_shared_by_studies_that_are_cases():
    text = "i1 c1 p1 s1 a\n i2 c1 p1 s1 a\n i3 c2 p1 s2 b"
    source = group_rows(rows_of(text), ReadOptions("study"))
    assert source.labels_shared_by_case is True and sorted(cases_of(source)) == ["s1", "s2"]
    # By patient they are not, even where each has one case only.
    text = "i1 c1 p1 s1 a\n i2 c2 p2 s2 b"
    assert group_rows(rows_of(text), ReadOptions("patient")).labels_shared_by_case is False


def test_images_keep_their_labels_where_none_is_shared():
    source = group_rows(rows_of(), ReadOptions("patient", labels_shared_by_case=False))
    label = {i.image_id: i.class_label for case in cases_of(source).values() for i in case.images}
    assert label == dict(i1=0, i2=-1, i3=1, i4=1, i5=-1, i6=-1)


def test_findings_of_a_case_before_it_is_regrouped():
    findings = dict(
        i1=(1, -2), i2=(-2, 0), i3=(-2, -2), i4=(0, -1), i5=(-2, -2), i6=(-2, -2)
    )  # fmt: skip
    changes = {image: {"findings": values, "label": ""} for image, values in findings.items()}
    for group_by in ("case", "study", "patient", "image"):
        rows = rows_of(**changes)
        source = group_rows(rows, ReadOptions(group_by), finding_names=("Edema", "Mass"))
        found = {i.image_id: i.findings for c in cases_of(source).values() for i in c.images}
        assert found == dict(
            i1=(1, 0), i2=(1, 0), i3=(0, -1), i4=(0, -1), i5=(-2, -2), i6=(-2, -2)
        )  # fmt: skip


@pytest.mark.parametrize(
    "group_by, text, message",
    [
        (
            "study",
            without(LESIONS, STUDY),
            "--group_by=study: the data has no such key; it can be grouped by case, patient, image",
        ),
        (
            "patient",
            without(LESIONS, PATIENT),
            "--group_by=patient: the data has no such key; it can be grouped by case, study, image",
        ),
        (
            "patient",
            without(without(LESIONS, PATIENT), STUDY),
            "--group_by=patient: the data has no such key; it can be grouped by case, image",
        ),
        (
            "study",
            LESIONS.replace("c3 p2 s3", "c3 p2 -", 1),
            "--group_by=study: t.csv row 6 names no study",
        ),
        (
            "patient",
            LESIONS.replace("c2 p1", "c2 -"),
            "--group_by=patient: t.csv row 4 names no patient",
        ),
        (
            "study",
            LESIONS.replace("c2 p1 s2", "c2 p1 s1").replace("c3 p2 s3", "c3 p2 s1"),
            "t.csv row 6: case c3 is of patient p2, but p1 in t.csv row 2",
        ),
    ],
)
def test_keys_that_are_not_there(group_by, text, message):
    expect_fault(message, rows_of(text), group_by)


# ---------------------------------------------------------------- splits


def many(count=300, patients=True):
    return "\n".join(
        f"i{n} c{n // 2} {f'p{n // 6}' if patients else '-'} s{n // 3} -" for n in range(count)
    )


@pytest.mark.parametrize("group_by", ["case", "study", "patient", "image"])
def test_a_patient_has_one_split_however_his_images_are_grouped(group_by):
    source = group_rows(rows_of(many()), ReadOptions(group_by))
    assert source.notes == ("no split was given: made by patient: train, validation, test",)
    for split, cases in source.cases.items():
        assert {choose_split(f"patient {case.patient_id}") for case in cases} == {split}


def test_images_of_a_case_have_its_split_where_no_patient_is_known():
    by_case = group_rows(rows_of(many(patients=False)))
    source = group_rows(rows_of(many(patients=False)), ReadOptions("image"))
    assert source.notes == (
        "patients are not all known: the images of a case stay in one split",
        "no split was given: made by case: train, validation, test",
    )
    split, split_of_case = split_of(source), split_of(by_case)
    assert len(split) == 300 and set(split.values()) == {"train", "validation", "test"}
    for n in range(300):
        assert split[f"i{n}"] == split_of_case[f"c{n // 2}"] == choose_split(f"case c{n // 2}")
    check_cases(source.cases)  # which knows no cases but these
    together = {}
    for case in cases_of(source).values():
        together.setdefault(case.patient_id, []).append(case.case_id)
    assert sorted(map(len, together.values())) == [2] * 150


def test_some_patients_known():
    text = "i1 c1 p1 - -\n i2 c1 - - -\n i3 p1 - - -\n i4 p1 - - -\n i5 c5 - - -"
    source = group_rows(rows_of(text), ReadOptions("image"))
    check_cases(source.cases)
    split = split_of(source)
    assert split["i3"] == split["i4"]


def test_splits_that_are_stated():
    stated = {f"i{n}": {"split": ("train", "validation", "test")[n // 6 % 3]} for n in range(300)}
    for group_by in ("case", "study", "patient", "image"):
        source = group_rows(rows_of(many(), **stated), ReadOptions(group_by))
        assert source.notes == ()
        for split, cases in source.cases.items():
            for image in (image for case in cases for image in case.images):
                assert stated[image.image_id]["split"] == split


@pytest.mark.parametrize("group_by", ["case", "study", "patient", "image"])
def test_patient_in_two_splits(group_by):
    rows = rows_of(i1={"split": "train"}, i4={"split": "test"})
    expect_fault(
        "t.csv row 5: patient p1 is in test, but in train in t.csv row 2; "
        "a patient must stay in one split",
        rows,
        group_by,
    )


def test_case_in_two_splits_by_image():
    rows = rows_of(without(LESIONS, PATIENT), i5={"split": "validation"}, i6={"split": "test"})
    expect_fault(
        "t.csv row 7: case c3 is in test, but in validation in t.csv row 6; "
        "a patient must stay in one split",
        rows,
        "image",
    )


def test_shares_of_the_splits():
    source = group_rows(rows_of(many(1200)), shares=(0.3, 0.5))
    for split, cases in source.cases.items():
        keys = {f"patient {case.patient_id}" for case in cases}
        assert {choose_split(key, (0.3, 0.5)) for key in keys} == {split}


# ---------------------------------------------------------------- labels


def test_known_labels_stay_in_their_order():
    source = group_rows(rows_of(), class_names=("wart", "melanoma", "nevus"), notes=("a note",))
    assert source.class_names == ("wart", "melanoma", "nevus")
    assert [i.class_label for i in cases_of(source)["c1"].images] == [2, 2]
    assert source.notes[0] == "a note"


def test_label_that_is_not_known():
    expect_fault(
        "t.csv row 4: wart is not a known label; known are nevus, warts; did you mean warts?",
        rows_of(),
        class_names=("nevus", "warts"),
    )


def test_labels_that_contradict_each_other():
    rows = rows_of(LESIONS.replace("i4 c2 p1 s2 wart", "i4 c2 p1 s2 nevus"))
    expect_fault(
        "t.csv row 5: case c2 has label nevus, but wart in t.csv row 4; "
        "if the images of a case may differ, say --labels_shared_by_case=false",
        rows,
        "patient",
    )


# ---------------------------------------------------------------- attributes


@pytest.mark.parametrize(
    "group_by, case, attributes",
    [
        ("case", "c1", {"age": "40", "site": "arm"}),
        ("case", "c2", {"age": ["40", "41"], "site": ["arm", ""], "note": ["", "seen"]}),
        ("case", "c3", {}),
        ("study", "s1", {"age": "40", "site": "arm"}),
        ("patient", "p1", {
            "age": ["40", "40", "40", "41"], "site": ["arm", "arm", "arm", ""],
            "note": ["", "", "", "seen"],
        }),
        ("image", "i4", {"age": "41", "note": "seen"}),
    ],
)  # fmt: skip
def test_attributes_follow_the_images(group_by, case, attributes):
    said = {"age": "40", "site": "arm"}
    rows = rows_of(
        **{f"i{n}": {"attributes": said} for n in (1, 2, 3)},
        i4={"attributes": {"age": "41", "note": "seen"}},
    )
    assert cases_of(group_rows(rows, ReadOptions(group_by)))[case].attributes == attributes


# ---------------------------------------------------------------- files


def test_one_file_in_two_rows():
    rows = rows_of()
    rows[2] = dataclasses.replace(rows[2], file=rows[0].file)
    expect_fault("t.csv row 4: image i3 is in case c1 too (t.csv row 2)", rows, "patient")
    rows = rows_of()
    rows[1] = dataclasses.replace(rows[1], file=rows[0].file)
    expect_fault("t.csv row 3: image i2 is there twice (t.csv row 2)", rows)


def test_source_of_an_image_is_its_row_and_file():
    (image, _) = cases_of(group_rows(rows_of()))["c3"].images
    assert (image.where, image.source) == ("t.csv row 6", "t.csv row 6: photos/i5.png")


# ---------------------------------------------------------------- fingerprint


def fingerprint(text=LESIONS, group_by="case", options=None, **changes):
    rows = rows_of(text, **changes)
    return group_rows(rows, ReadOptions(group_by), **(options or {})).fingerprint


def test_fingerprint_counts_all_that_matters():
    seen = [
        fingerprint(),
        fingerprint(i1={"image": "i9"}),
        fingerprint(LESIONS.replace("c3", "c9")),
        fingerprint(LESIONS.replace("p2", "p9")),
        fingerprint(LESIONS.replace("nevus", "-")),
        fingerprint(LESIONS.replace("wart", "melanoma")),
        fingerprint(i1={"view": "close-up"}),
        fingerprint(i1={"split": "train"}),
        fingerprint(i5={"split": "train"}),
        fingerprint(i1={"attributes": {"age": "40"}}),
        fingerprint(i1={"attributes": {"age": "41"}}),
        fingerprint(i2={"attributes": {"age": "40"}}),
        fingerprint(i1={"file": ImageFile("photos/i1.png", "photos/i1.png", 1, "photos/i1.png")}),
        fingerprint(options={"class_names": ("nevus", "wart", "x")}),
        fingerprint(options={"class_names": ("wart", "nevus")}),
        fingerprint(options={"labels_shared_by_case": False}),
        fingerprint(group_by="study"),
        fingerprint(group_by="patient"),
        fingerprint(group_by="image"),
        fingerprint(options={"shares": (0.4, 0.4)}),
        fingerprint("\n".join(reversed(LESIONS.splitlines()))),
    ]
    assert len(set(seen)) == len(seen)
    findings = {f"i{n}": {"findings": (1, 0), "label": ""} for n in range(1, 7)}
    other = findings | {"i6": {"findings": (1, -1), "label": ""}}
    names = {"finding_names": ("Edema", "Mass")}
    seen += [
        fingerprint(options=names, **findings),
        fingerprint(options={"finding_names": ("Mass", "Edema")}, **findings),
        fingerprint(options=names | {"labels_shared_by_case": False}, **other),
    ]
    assert len(set(seen)) == len(seen)


def test_fingerprint_does_not_count_where_the_files_lie():
    first = fingerprint()
    assert first == fingerprint()
    assert first == group_rows(rows_of(folder="/elsewhere/photos")).fingerprint
    moved = [dataclasses.replace(row, where=f"other.csv {row.where}") for row in rows_of()]
    assert group_rows(moved).fingerprint == first
    assert len(first) == 64


def test_name_of_a_configuration():
    """It counts how images are stored and how many may be left out, too."""

    def name(limit=0, **images):
        source = group_rows(rows_of(), ReadOptions(bad_images=BadImages(limit)))
        return CaseConfig.of("set", source, ImageOptions(**images)).name

    names = [name(), name(1), name(max_pixels=9), name(max_image_side=9), name(jpeg_quality=9)]
    assert len(set(names)) == 5 and name() == names[0]
    assert all(text.startswith("set-") and len(text) == 16 for text in names)


def test_rows_of_no_image():
    with pytest.raises(BadData) as caught:
        group_rows([], named_in="t.csv")
    assert str(caught.value) == "t.csv: no images in it"
